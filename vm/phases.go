package vm

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A Mark is the begin of a phase.
type Mark struct {
	Phase string
	Ns    int64 // of the host's CLOCK_MONOTONIC
	// Error is by how many nanoseconds Ns may be off, earlier or later, as far as
	// this boot itself shows; 0 if it shows nothing. The package's table of
	// phases says what else there is.
	Error int64
}

// The phases of a start that the host sees. Those that follow are the guest's
// (vm/guest/wire).
const (
	PhaseQEMU     = "qemu"     // QEMU's program runs: it builds the machine
	PhaseFirmware = "firmware" // the machine runs: its firmware looks what there is
	PhaseLoader   = "loader"   // it copies the kernel, the initramfs and the command line to the guest's RAM
	PhaseRestore  = "restore"  // of a snapshot, in their place: QEMU reads the state of the devices
	PhaseResume   = "resume"   // the machine runs where it was saved, and is told who it is
	PhaseEntry    = "entry"    // it has jumped to the kernel, whose first code keeps no time yet
)

// Timeline is when each phase of the start began, as far as it has come. No phase
// begins before the one that it follows: where an error of the methods says so, it
// begins with it.
//
// The loader and the kernel's entry are missing where QEMU does not trace them (one
// that was built without the log backend, or whose guests have no firmware) and
// where the host's clock was set during the boot: the phase before then holds them.
func (m *Machine) Timeline() []Mark {
	marks := append(m.marks[:len(m.marks):len(m.marks)], m.handOver()...)
	marks = append(marks, m.control.marks()...)
	for i := 1; i < len(marks); i++ {
		marks[i].Ns = max(marks[i].Ns, marks[i-1].Ns)
	}
	return marks
}

// Synchronize asks PID 1 of the guest a few times what its clock says, so that the
// guest's marks are known the better: until it answers at once, which one that still
// loads drivers does not. The guest has to be Running.
func (m *Machine) Synchronize(ctx context.Context) error {
	const most, quick = 20, time.Millisecond
	for range most {
		if took, err := m.Ping(ctx); err != nil || took < quick {
			return err
		}
	}
	return nil
}

// handOver are the marks of the firmware, out of QEMU's trace.
//
// A PC's firmware gets the kernel from QEMU through a device, fw_cfg
// (docs/specs/fw_cfg.rst): it selects an item by its number and reads it. The first
// item of the kernel's that it selects begins the loader's work, and the last, which
// is small or is read in one copy, ends it.
func (m *Machine) handOver() []Mark {
	wall, ok := m.wall.steady(wallOffset())
	if !ok {
		return nil
	}
	const most = 1 << 20 // a firmware selects some dozens of items; a guest that goes on is not read on
	b := make([]byte, most)
	n, _ := m.trace.ReadAt(b, 0)
	loader, entry, ok := parseTrace(b[:n])
	if !ok {
		return nil
	}
	loader, entry = loader-wall.ns, entry-wall.ns
	if loader < m.marks[len(m.marks)-1].Ns || entry > now() {
		return nil // not of this boot, whatever it is
	}
	errs := wall.err + traceResolution
	return []Mark{{PhaseLoader, loader, errs}, {PhaseEntry, entry, errs}}
}

// traceResolution is what a trace's times are cut to: microseconds.
const traceResolution = 1000

// kernelItems are the items of fw_cfg that hold what -kernel, -initrd and -append
// name, and where it goes (include/standard-headers/linux/qemu_fw_cfg.h).
func kernelItem(key uint64) bool {
	switch key {
	case 0x07, 0x08, // address and size of the kernel
		0x0a, 0x0b, 0x12, // of the initramfs, and itself
		0x10, 0x11, // the kernel's entry, and itself
		0x13, 0x14, 0x15, // the command line
		0x16, 0x17, 0x18: // the real-mode part of a bzImage
		return true
	}
	return false
}

// parseTrace reads the lines of the event fw_cfg_select as QEMU's log backend
// writes them (scripts/tracetool/backend/log.py), with the thread and the wall
// clock before the event, which since QEMU 6.0 are there with -msg timestamp=on:
//
//	27062@1795546645.057179:fw_cfg_select 0x562100ecfac0 key 0x0010 'kernel_entry', ret: 1
//
// It gives the times of the first and the last item of the kernel's, in nanoseconds
// of CLOCK_REALTIME. Lines of any other form are passed over.
func parseTrace(b []byte) (first, last int64, ok bool) {
	for line := range bytes.Lines(b) {
		prefix, event, found := bytes.Cut(line, []byte(":fw_cfg_select "))
		_, key, hasKey := bytes.Cut(event, []byte(" key 0x"))
		_, at, hasTime := bytes.Cut(prefix, []byte("@"))
		seconds, micros, hasMicros := bytes.Cut(at, []byte("."))
		if !found || !hasKey || !hasTime || !hasMicros || len(micros) != 6 {
			continue
		}
		end := bytes.IndexAny(key, " ,\n")
		if end < 0 {
			continue
		}
		n, errKey := strconv.ParseUint(string(key[:end]), 16, 16)
		s, errSeconds := strconv.ParseUint(string(seconds), 10, 33)
		us, errMicros := strconv.ParseUint(string(micros), 10, 32)
		if errKey != nil || errSeconds != nil || errMicros != nil || !kernelItem(n) {
			continue
		}
		last = int64(s)*1e9 + int64(us)*1e3
		if !ok {
			first, ok = last, true
		}
	}
	return first, last, ok && first <= last
}

// An offset is by how much the host's wall clock, CLOCK_REALTIME, is ahead of
// CLOCK_MONOTONIC, in nanoseconds, and the error of that.
type offset struct{ ns, err int64 }

// wallOffset reads both clocks, a few times, since a reader may lose its CPU
// between the two: the reading that took least counts.
func wallOffset() offset {
	best := offset{err: 1 << 62}
	for range 5 {
		before := now()
		var wall unix.Timespec
		unix.ClockGettime(unix.CLOCK_REALTIME, &wall)
		after := now()
		// The wall clock was read somewhere between the two.
		if half := (after - before + 1) / 2; half < best.err {
			best = offset{wall.Nano() - before - half, half}
		}
	}
	return best
}

// steady tells whether the offset is the same now as it was, and gives the better
// reading of it. Both clocks are slewed by the same (adjtimex(2)), so they differ
// only if somebody has set the wall clock, or a leap second was put in.
func (o offset) steady(now offset) (offset, bool) {
	differ := max(o.ns-now.ns, now.ns-o.ns)
	if now.err < o.err {
		o = now
	}
	return o, differ <= stepTolerance
}

// stepTolerance is by how many nanoseconds two readings of an offset may differ on a
// host that has more to do: a reading that was interrupted each time is off.
const stepTolerance = 100_000
