package selftest

import (
	"context"
	"math"
	"runtime"

	"golang.org/x/sys/unix"

	"vmctr/bench/harness"
	"vmctr/report/result"
)

// readings is how often the clock is read for one sample: some milliseconds.
const readings = 20_000

// measureClock reads the clock that every figure comes from, over and over.
func measureClock(context.Context) (result.Sample, error) {
	var resolution unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC, &resolution); err != nil {
		return result.Sample{}, err
	}
	step, backward := int64(math.MaxInt64), 0
	begin := harness.Now()
	last := begin
	for range readings {
		now := harness.Now()
		switch d := now - last; {
		case d < 0:
			backward++
		case d > 0:
			step = min(step, d)
		}
		last = now
	}
	return result.Sample{Values: map[string]float64{
		"resolution_ns": float64(resolution.Nano()),
		"read_ns":       float64(last-begin) / readings,
		"step_ns":       float64(step),
		"backward":      float64(backward),
	}}, nil
}

// offsets are by how much other clocks are ahead of CLOCK_MONOTONIC, in nanoseconds: of
// CLOCK_MONOTONIC_RAW, which no time server steers, and of CLOCK_REALTIME.
type offsets struct{ raw, realtime int64 }

func readOffsets() offsets {
	return offsets{ahead(unix.CLOCK_MONOTONIC_RAW), ahead(unix.CLOCK_REALTIME)}
}

// ahead reads a clock between two readings of ours, until these are close to each other.
func ahead(clock int32) int64 {
	best, offset := int64(math.MaxInt64), int64(0)
	for range 20 {
		var ts unix.Timespec
		before := harness.Now()
		unix.ClockGettime(clock, &ts)
		after := harness.Now()
		if d := after - before; d < best {
			best, offset = d, ts.Nano()-before-d/2
		}
	}
	return offset
}

// steps of the task: it takes some milliseconds.
const steps = 2_000_000

// measureHost does a fixed task, which needs a CPU and nothing else, and reads by how
// much other clocks have got ahead since the test began.
func (t *Test) measureHost(context.Context) (result.Sample, error) {
	begin := harness.Now()
	x := uint64(begin) | 1
	for range steps {
		x ^= x << 13 // Marsaglia, "Xorshift RNGs": each step needs the one before it
		x ^= x >> 7
		x ^= x << 17
	}
	end := harness.Now()
	runtime.KeepAlive(x) // or the compiler would leave the task out
	o := readOffsets()
	return result.Sample{Values: map[string]float64{
		"task_ns":     float64(end - begin),
		"raw_ns":      float64(o.raw - t.origin.raw),
		"realtime_ns": float64(o.realtime - t.origin.realtime),
	}}, nil
}
