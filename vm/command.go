package vm

import (
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
	for _, port := range []struct {
		id, name string
		fd       int
	}{{"control", wire.ControlPort, fdControl}, {"output", wire.OutputPort, fdOutput}} {
		add("-chardev", "socket,id="+port.id+",fd="+strconv.Itoa(port.fd))
		add("-device", "virtserialport,chardev="+port.id+",name="+port.name)
	}
	for i, disk := range c.Disks {
		id := "disk" + strconv.Itoa(i)
		add("-drive", "if=none,format=raw,id="+id+",file="+escape(disk), "-device", "virtio-blk-pci,drive="+id)
	}
	add("-device", "pvpanic-pci")
	return cmd
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
	if c.Cmdline != "" {
		words = append(words, c.Cmdline)
	}
	return strings.Join(words, " ")
}

// escape writes a value of a QEMU option, in which a comma would end it.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }
