package vm

import (
	"fmt"
	"strconv"
	"strings"

	"vmctr/vm/guest/wire"
)

// The descriptors that QEMU is started with, beside the standard streams.
const (
	fdQMP     = 3 + iota // a socket that listens, for the monitor
	fdControl            // a connected socket: the guest's reports, the host's commands
	fdOutput             // a connected socket: the workload's standard output
	fdConsole            // a file: the serial console
	fdError              // with Streams, a connected socket: the workload's standard error
	fdInput              // likewise, its standard input
)

// command is the command line of QEMU. It is pure.
func (c Config) command() []string {
	cmd := []string{c.QEMU}
	add := func(args ...string) { cmd = append(cmd, args...) }

	add("-name", escape(c.Name))
	// What the machine is made of is said here and nowhere else: no default
	// devices, no configuration files of the host.
	add("-nodefaults", "-no-user-config", "-display", "none")
	// System calls that QEMU does not need from now on are forbidden to it, as
	// libvirt does: a guest that breaks out of QEMU finds itself in a sandbox.
	add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
	// It waits to be told (cont), so that no event is missed; and a guest that
	// reboots (as its kernel does after a panic) ends.
	add("-S", "-no-reboot")

	add("-machine", strings.Join(append([]string{c.Type, "accel=" + string(c.Accelerator)}, machineOptions[c.Type]...), ","))
	add("-cpu", c.Accelerator.cpu(), "-smp", strconv.Itoa(c.CPUs), "-m", strconv.FormatInt(c.Memory>>20, 10)+"M")

	add("-kernel", c.Kernel, "-initrd", c.Initramfs, "-append", c.cmdline())

	add("-chardev", "socket,id=qmp,server=on,wait=off,fd="+strconv.Itoa(fdQMP), "-mon", "chardev=qmp,mode=control")
	add("-chardev", "file,id=console,path=/proc/self/fd/"+strconv.Itoa(fdConsole), "-serial", "chardev:console")
	add("-device", "virtio-serial-pci")
	type port struct {
		id, name string
		fd       int
	}
	ports := []port{{"control", wire.ControlPort, fdControl}, {"output", wire.OutputPort, fdOutput}}
	if c.Streams {
		ports = append(ports, port{"error", wire.ErrorPort, fdError}, port{"input", wire.InputPort, fdInput})
	}
	for _, port := range ports {
		add("-chardev", "socket,id="+port.id+",fd="+strconv.Itoa(port.fd))
		add("-device", "virtserialport,chardev="+port.id+",name="+port.name)
	}
	for i, disk := range c.Layers {
		id := "layer" + strconv.Itoa(i)
		add("-drive", "if=none,format=raw,readonly=on,id="+id+",file="+escape(disk))
		add("-device", "virtio-blk-pci,drive="+id+",serial="+wire.Serial(strconv.Itoa(i))+layerAddress(i))
	}
	for i, disk := range c.Disks {
		id := "disk" + strconv.Itoa(i)
		add("-drive", "if=none,format=raw,id="+id+",file="+escape(disk), "-device", "virtio-blk-pci,drive="+id)
	}
	add("-device", "pvpanic-pci")
	return cmd
}

// The bus has 32 slots, and an image may have more layers than that. But a device
// in a slot may have eight functions, each of which is a device for the guest: so
// eight disks share a slot. Slots below and above are left to what else there is.
const (
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

// machineOptions leave out what a machine type brings and nobody here uses.
var machineOptions = map[string][]string{
	"q35": {"usb=off", "sata=off", "smbus=off", "vmport=off"},
}

// cmdline is the kernel's command line (Documentation/admin-guide/
// kernel-parameters.rst). Quiet is not for looks: each byte on the console is
// an exit to QEMU. Errors and panics are printed all the same. After a panic
// it reboots at once, which ends the machine.
func (c Config) cmdline() string {
	words := []string{"console=ttyS0", "quiet", "panic=-1"}
	if c.Accelerator == TCG {
		// An emulator that a busy host gives no time misses ticks, by which the
		// kernel checks its timer, and it panics. Under KVM it knows, and does not.
		words = append(words, "no_timer_check")
	}
	if c.Cmdline != "" {
		words = append(words, c.Cmdline)
	}
	return strings.Join(words, " ")
}

// escape writes a value of a QEMU option, in which a comma would end it.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }
