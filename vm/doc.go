// Package vm runs a QEMU machine: a kernel of its own on (virtual) hardware of
// its own, in which PID 1 (vm/guest) starts one process from an image.
//
//	config.go      what a machine is made of
//	command.go     the QEMU command line that makes it (qemu-system-x86_64(1))
//	cmdline.go     the kernel's command line
//	machine.go     start, watch, stop
//	control.go     what the guest reports, on the host's clock
//	channel.go     what carries that: a port of virtio-serial, or
//	vsock.go       a connection over virtio-vsock
//	disk.go        the host's files as its disks
//	qcow2.go       an overlay over a disk, which is written instead of it
//	accelerator.go who runs the guest's instructions: the CPU or an emulator
//	bootsector.go  the smallest guest there is, which finds that out, or gives a sign
//	snapshot.go    a machine that has booted once, and goes on many times
//	tsc.go         the counter by which an emulated guest tells the time
//	memory.go      what a machine occupies, and what of it is what
//	smaps.go       the mappings of a process
//	pagecache.go   the files that machines share, in the host's page cache
//	merge.go       the pages of guests' RAM that are equal
//	balloon.go     RAM that is given back
//	initramfs.go   what the guest finds in its memory: PID 1, drivers, the image
//
// A machine is a process of the host, QEMU, whose memory is the guest's RAM and
// whose threads are its CPUs. So it is started as any other process is: by
// package container, with no namespaces and, for its account, a cgroup.
//
// A small image is in the initramfs, and so in the guest's memory. A larger one is
// on disks, one for each of its layers, read-only (package images/erofs writes
// them): virtio-blk devices with serial numbers, which PID 1 mounts and joins by an
// overlay, as package container joins folders. What the guest writes is in memory, but
// for what it writes to disks of its own.
//
// Four descriptors connect it. QMP, by which the host controls QEMU (vm/qmp);
// two ports of a virtio-serial device, one for the workload's standard output
// and one for the reports of PID 1 (vm/guest/wire); and a serial console, on
// which the kernel says why it dies. The reports go over virtio-vsock in place of their
// port, if Config.Vsock says so. A machine whose program a user runs (bench run --on)
// has two ports more, for its standard error and its standard input. A terminal, if the
// program has one, is the guest's, and these ports carry its bytes (vm/guest/terminal.go).
package vm
