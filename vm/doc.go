// Package vm runs a QEMU machine: a kernel of its own on (virtual) hardware of
// its own, in which PID 1 (vm/guest) starts one process from an image.
//
//	config.go      what a machine is made of
//	command.go     the QEMU command line that makes it (qemu-system-x86_64(1))
//	cmdline.go     the kernel's command line
//	machine.go     start, watch, stop
//	phases.go      when each phase of a boot began, on the host's clock
//	control.go     what the guest reports
//	printed.go     what its kernel and QEMU print
//	namespaces.go  those of the guest, for a container in it
//	channel.go     what carries that: a port of virtio-serial, or
//	vsock.go       a connection over virtio-vsock
//	failure.go     what has become of a guest, known by its kind
//	fits.go        whether a machine has room for what it boots
//	watch.go       what QEMU does that says nothing
//	disk.go        the host's files as its disks
//	qcow2.go       an overlay over a disk, which is written instead of it
//	architecture.go what differs between one processor's machines and another's
//	accelerator.go who runs the guest's instructions: the CPU or an emulator
//	choose_once.go the same, found out once for each boot of the host
//	bootsector.go  the smallest guest there is, which finds that out, or gives a sign
//	snapshot.go    a machine that has booted once, and goes on many times
//	portable.go    the same as a file, and what it needs to go on elsewhere
//	tsc.go         the counter by which an emulated guest tells the time
//	memory.go      what a machine occupies, and what of it is what
//	smaps.go       the mappings of a process
//	pagecache.go   the files that machines share, in the host's page cache
//	merge.go       the pages of guests' RAM that are equal
//	balloon.go     RAM that is given back
//	initramfs.go   what the guest finds in its memory: PID 1, drivers, the image
//	initramfs_base.go the part of it that is kept (package vm/cache)
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
// The process can be a container too ([Initramfs].Container): PID 1 then starts it with
// all that a container has, as package container does on the host
// (vm/guest/container.go).
//
// # The phases of a boot
//
// Each lasts until the next begins. All times are of the host's CLOCK_MONOTONIC; how
// they get there, and how far they are off:
//
//	phase     it begins when                     known from                      error
//	start     Start is called                    the host's clock                none
//	qemu      QEMU has been executed             our process sees it             late by the time in which we are woken: some 10 us
//	firmware  QMP's greeting is here; the        likewise                        likewise; what QMP's greeting and capabilities take is QEMU's
//	          machine is let go next
//	loader    the firmware asks for the          QEMU's trace of fw_cfg          1 us, and that of the difference between the host's two clocks,
//	          kernel's first item                                                which is measured at both ends of the boot; none if one was set
//	entry     it has asked for the last one      likewise                        early by what reading that item takes: an address or a command line
//	                                                                             microseconds, an initramfs (Qboot with a bzImage) milliseconds
//	kernel    the guest's clock begins           PID 1's reports say when they   late by at most the way there and back of a message less the time
//	                                             were written, by that clock     in which PID 1 answers (Mark.Error); and late by the ticks that
//	                                                                             the kernel missed before it took the CPU's counter for a clock
//	init ...  PID 1 says so                      likewise                        as above, without the ticks: from here on the clock is good
//	running
//
// The workload's first instruction is its own line on the port of its output, stamped
// when it arrives: late by what the channel takes, of which half a message there and
// back (Ping) is the measure.
//
// Four descriptors connect it. QMP, by which the host controls QEMU (vm/qmp);
// two ports of a virtio-serial device, one for the workload's standard output
// and one for the reports of PID 1 (vm/guest/wire); and a serial console, on
// which the kernel says why it dies. The reports go over virtio-vsock in place of their
// port, if Config.Vsock says so. A machine whose program a user runs (bench run --on)
// has two ports more, for its standard error and its standard input. A terminal, if the
// program has one, is the guest's, and these ports carry its bytes (vm/guest/terminal.go).
package vm
