package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// hold is where a template stops to be saved, and goes on in each machine that is
// restored from it: the workload's process is there, and has only to execute the
// program. It is nil in a machine that boots to run. No time passes in between, so the
// deadline of a boot is that of the boot and the rest together.
func (g *guest) hold() func() error {
	if g.spec.Annotations[wire.Template] == "" {
		return nil
	}
	return func() error {
		// What would come later comes now, and not in each machine again.
		g.loadLate()
		g.late = &moduleDir{}
		g.phaseAt(wire.PhaseHold, boottime())
		g.report(wire.Report{Event: wire.EventHeld})
		r := <-g.resumed
		g.later(wire.PhaseRenew)
		if r == nil {
			return errors.New("told to resume, and not as whom")
		}
		err := renew(r)
		g.later(wire.PhaseWorkload)
		return err
	}
}

// later reports a phase with the report that comes next: to tell it costs time.
func (g *guest) later(phase string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = phase
	g.pending = append(g.pending, wire.Report{Event: wire.EventPhase, Phase: phase, At: boottime()})
}

// renew makes the machine one of its own: the others that were restored from the same
// state have the same random numbers before them, the same time, name and addresses.
func renew(r *wire.Renewal) error {
	// First of all, so that nothing is drawn that others draw too.
	if err := reseed(r.Seed); err != nil {
		return fmt.Errorf("renewing the seed of the kernel's random numbers: %w", err)
	}
	if err := setClock(r.Time); err != nil {
		return fmt.Errorf("setting the clock: %w", err)
	}
	if r.Hostname != "" {
		if err := unix.Sethostname([]byte(r.Hostname)); err != nil {
			return fmt.Errorf("setting the host name %q: %w", r.Hostname, err)
		}
	}
	if r.Network != "" {
		return setNetwork(r.Network)
	}
	return nil
}

// reseed gives the kernel's generator bytes that nobody else has, and has it make a new
// key of them at once: otherwise it would go on with the old one for up to a minute
// (random(4)). A kernel with a driver for VMGENID is told by the hypervisor to do so,
// before anything runs; distributions' cloud kernels have none.
func reseed(seed []byte) error {
	if len(seed) < wire.SeedBytes {
		return fmt.Errorf("the host gives %d bytes, of %d", len(seed), wire.SeedBytes)
	}
	random, err := unix.Open("/dev/urandom", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/urandom", Err: err}
	}
	defer unix.Close(random)
	// struct rand_pool_info: how many bits of it count as random, and how many bytes.
	info := binary.NativeEndian.AppendUint32(nil, uint32(len(seed)*8))
	info = binary.NativeEndian.AppendUint32(info, uint32(len(seed)))
	info = append(info, seed...)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(random), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info[0]))); errno != 0 {
		return os.NewSyscallError("ioctl RNDADDENTROPY", errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(random), unix.RNDRESEEDCRNG, 0); errno != 0 {
		return os.NewSyscallError("ioctl RNDRESEEDCRNG", errno)
	}
	return nil
}

// setClock sets the wall clock. It stood still since the machine was saved.
func setClock(ns int64) error {
	ts := unix.NsecToTimespec(ns)
	return os.NewSyscallError("clock_settime", unix.ClockSettime(unix.CLOCK_REALTIME, &ts))
}
