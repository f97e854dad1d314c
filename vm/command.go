package vm

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vmctr/vm/guest/wire"
)

// The roles of the descriptors that QEMU is started with, beside the standard
// streams. Which number each has, Config.descriptors says.
const (
	roleQMP     = "qmp"     // a socket that listens, for the monitor
	roleControl = "control" // a connected socket: the guest's reports, the host's commands
	roleOutput  = "output"  // a connected socket: the workload's standard output
	roleError   = "error"   // with Streams, a connected socket: the workload's standard error
	roleInput   = "input"   // likewise, its standard input
	roleConsole = "console" // a file: the serial console
	roleTrace   = "trace"   // a file: what the firmware asks QEMU for
	roleBoot    = "boot"    // with a boot sector, the file of the disk that it is on
	roleRAM     = "ram"     // of a template and what is restored from it, the file that is the machine's RAM
	roleState   = "state"   // of a machine that is restored, a connected socket: the state of its devices
	roleTap     = "tap"     // with a tap, the file whose other end is a port of a bridge
	roleVhost   = "vhost"   // with Network.Vhost, the kernel's own end of the card
	roleVsock   = "vsock"   // with Vsock, in place of control, the kernel's end of that
)

// descriptors are the roles of QEMU's descriptors, the first being number 3.
func (c Config) descriptors() []string {
	if c.BootSector != nil {
		return []string{roleQMP, roleOutput, roleTrace, roleBoot}
	}
	control := roleControl
	if c.Vsock {
		control = roleVsock
	}
	roles := []string{roleQMP, roleConsole, control, roleOutput, roleTrace}
	if c.Streams {
		roles = append(roles, roleError, roleInput)
	}
	if c.Template {
		roles = append(roles, roleRAM)
	}
	if c.restored != nil {
		roles = append(roles, roleState)
	}
	if c.Network != nil && c.Network.Tap != nil {
		roles = append(roles, roleTap)
		if c.Network.Vhost {
			roles = append(roles, roleVhost)
		}
	}
	return roles
}

// fd is the number of the descriptor of a role, as QEMU's options have it.
func (c Config) fd(role string) string {
	return strconv.Itoa(3 + slices.Index(c.descriptors(), role))
}

// command is the command line of QEMU. It is pure.
func (c Config) command() []string {
	cmd := []string{c.QEMU}
	add := func(args ...string) { cmd = append(cmd, args...) }

	add("-name", escape(c.Name))
	if !c.Defaults {
		// What the machine is made of is said here and nowhere else: no default
		// devices, no configuration files of the host.
		add("-nodefaults", "-no-user-config")
	}
	add("-display", "none")
	// System calls that QEMU does not need from now on are forbidden to it, as
	// libvirt does: a guest that breaks out of QEMU finds itself in a sandbox.
	add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
	// It waits to be told (cont), so that no event is missed; and a guest that
	// reboots (as its kernel does after a panic) ends.
	add("-S", "-no-reboot")
	// One event is logged, with the time: that the firmware selects an item of what
	// QEMU holds for it (phases.go).
	add("-msg", "timestamp=on", "-trace", "fw_cfg_select", "-D", "/proc/self/fd/"+c.fd(roleTrace))

	add(c.machine()...)
	if c.BootSector == nil {
		add("-kernel", c.Kernel, "-initrd", c.Initramfs, "-append", c.cmdline())
	}
	add("-chardev", "socket,id=qmp,server=on,wait=off,fd="+c.fd(roleQMP), "-mon", "chardev=qmp,mode=control")
	if c.BootSector != nil {
		add("-drive", "if=none,format=raw,readonly=on,id=boot,file=/proc/self/fd/"+c.fd(roleBoot), "-device", "virtio-blk-pci,drive=boot")
		add("-chardev", "socket,id=output,fd="+c.fd(roleOutput), "-device", fmt.Sprintf("isa-debugcon,iobase=%#x,chardev=output", OutputIOPort))
		return cmd
	}
	add("-chardev", "file,id=console,path=/proc/self/fd/"+c.fd(roleConsole), "-serial", "chardev:console")
	add("-device", "virtio-serial-pci")
	for _, port := range []struct{ role, name string }{
		{roleControl, wire.ControlPort}, {roleOutput, wire.OutputPort}, {roleError, wire.ErrorPort}, {roleInput, wire.InputPort},
	} {
		if slices.Contains(c.descriptors(), port.role) {
			add("-chardev", "socket,id="+port.role+",fd="+c.fd(port.role))
			add("-device", "virtserialport,chardev="+port.role+",name="+port.name)
		}
	}
	if c.Vsock {
		add("-device", c.vsock.qemu(c.fd(roleVsock)))
	}
	for i, disk := range c.Layers {
		id := "layer" + strconv.Itoa(i)
		add("-drive", "if=none,format=raw,readonly=on,id="+id+",file="+escape(disk))
		add("-device", "virtio-blk-pci,drive="+id+",serial="+wire.Serial(strconv.Itoa(i))+layerAddress(i))
	}
	for i, disk := range c.Disks {
		id := "disk" + strconv.Itoa(i)
		add("-drive", "if=none,format="+disk.format()+disk.access()+",id="+id+",file="+escape(disk.Path), "-device", "virtio-blk-pci,drive="+id)
	}
	if n := c.Network; n != nil {
		add("-netdev", n.backend(c.fd), "-device", n.card())
	}
	if c.balloon() {
		device := "virtio-balloon-pci"
		if c.FreePageReporting {
			device += ",free-page-reporting=on"
		}
		add("-device", device)
	}
	add("-device", "pvpanic-pci")
	if c.restored != nil {
		// It waits for the state, and is told first how that comes.
		add("-incoming", "defer")
	}
	return cmd
}

// machine is what the machine is made of, before anything is plugged in.
func (c Config) machine() []string {
	t := machineTypes[c.Type]
	options := []string{c.Type, "accel=" + string(c.Accelerator)}
	if !c.Defaults {
		options = append(options, t.options...)
	}
	if c.Template || c.SmallPages {
		options = append(options, "memory-backend=ram")
	}
	m := []string{"-machine", strings.Join(options, ",")}
	if cpu := cmp.Or(c.CPU, c.cpu()); !c.Defaults {
		m = append(m, "-cpu", cpu)
	}
	m = append(m, "-smp", strconv.Itoa(c.CPUs), "-m", strconv.FormatInt(c.Memory>>20, 10)+"M")
	if c.Template {
		// What a template writes is to be in the file; what is restored from it gets
		// copies of the pages that it writes (MAP_PRIVATE).
		share := "on"
		if c.restored != nil {
			share = "off"
		}
		m = append(m, "-object", fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=/proc/self/fd/%s,share=%s", c.Memory>>20, c.fd(roleRAM), share))
	}
	if c.SmallPages {
		m = append(m, "-object", fmt.Sprintf("memory-backend-memfd,id=ram,size=%dM,share=on", c.Memory>>20))
	}
	if c.Firmware != "" {
		m = append(m, "-bios", t.firmware[c.Firmware])
	}
	return m
}

// The bus has 32 slots, and an image may have more layers than that. But a device
// in a slot may have eight functions, each of which is a device for the guest: so
// eight disks share a slot. Slots below and above are left to what else there is: each
// of the machine's own disks has one of those below, and so comes first for the guest.
const (
	maxDisks       = 8
	firstLayerSlot = 0x0e
	slotFunctions  = 8
	maxLayers      = (0x1f - firstLayerSlot) * slotFunctions // q35 has its own devices in slot 0x1f
)

func layerAddress(i int) string {
	address := fmt.Sprintf(",addr=%#x.%d", firstLayerSlot+i/slotFunctions, i%slotFunctions)
	if i%slotFunctions == 0 {
		address += ",multifunction=on"
	}
	return address
}

// A machineType is what is to be known of one.
type machineType struct {
	options  []string          // of -machine: they leave out what it brings and nobody here uses
	firmware map[string]string // the files, beside QEMU's program, of the names that Config.Firmware has; none if QEMU starts its kernel itself
	arch     string            // of its processor, as Go names it; "" for amd64
	ram      uint64            // the guest-physical address at which its RAM begins
}

// machineTypes are the types that are known here (qemu-system-x86_64 -machine help).
var machineTypes = map[string]machineType{
	// The PC of 1996: an Intel 440FX, with a PCI bus.
	"pc": {
		options:  []string{"usb=off", "vmport=off"},
		firmware: map[string]string{SeaBIOS: "bios-256k.bin", Qboot: "qboot.rom"},
	},
	// A PC of 2009: an Intel Q35, with a PCI Express bus.
	"q35": {
		options:  []string{"usb=off", "sata=off", "smbus=off", "vmport=off"},
		firmware: map[string]string{SeaBIOS: "bios-256k.bin", Qboot: "qboot.rom"},
	},
	// No PC of any year: what a cloud needs, and no more (QEMU, system/i386/microvm).
	// PCI Express is an option, and distributions' kernels find the bus by ACPI alone.
	// Its ACPI is of the kind without a PC's clock and interrupt controller, so Linux
	// would not use them; without the calendar clock it waits for one for two seconds.
	"microvm": {
		options:  []string{"acpi=on", "pcie=on", "rtc=on", "pit=off", "pic=off"},
		firmware: map[string]string{SeaBIOS: "bios-microvm.bin", Qboot: "qboot.rom"},
	},
	// No board of any year either: QEMU's own, of arm64 processors, with a PCI Express
	// bus, which kernels find by the device tree that QEMU gives them (virt.rst).
	"virt": {options: []string{"gic-version=max"}, arch: "arm64", ram: 1 << 30},
}

// escape writes a value of a QEMU option, in which a comma would end it.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }
