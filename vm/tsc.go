package vm

import (
	"sync"
	"time"
)

// tscWindow is how long the counter is watched, twice: the clock is read to 100 ns,
// so the frequency is known to some parts in 100,000.
const tscWindow = 10 * time.Millisecond

// hostTSC is the frequency of the host's time stamp counter in kHz, measured once
// in the life of a process; 0 if it has none, or none that is steady.
//
// QEMU's emulator gives a guest this very counter. The guest's kernel would find
// out its frequency from a second clock of the machine, a PIT, and on a busy host
// fails: the emulator is not running when the PIT is, and the two do not agree
// (Linux, arch/x86/kernel/tsc.c, pit_calibrate_tsc). A machine that has no third
// clock then hangs, since no timer was ever started. Under KVM a guest asks its
// hypervisor (kvm-clock).
var hostTSC = sync.OnceValue(func() int64 {
	a, b := countTSC(), countTSC()
	if a == 0 || max(a, b)-min(a, b) > a/1000 {
		return 0
	}
	return (a + b) / 2
})

// countTSC gives the counter's ticks in a millisecond.
func countTSC() int64 {
	ticks, begin := readTSC()
	time.Sleep(tscWindow)
	after, end := readTSC()
	if after <= ticks || end <= begin {
		return 0
	}
	return int64(float64(after-ticks) / float64(end-begin) * 1e6)
}

// readTSC reads the counter and the clock at the same time: of a few tries, the one
// in which least time passed between.
func readTSC() (ticks uint64, at int64) {
	least := uint64(1) << 63
	for range 5 {
		before := rdtsc()
		t := now()
		after := rdtsc()
		if took := after - before; took < least {
			least, ticks, at = took, before+took/2, t
		}
	}
	return ticks, at
}
