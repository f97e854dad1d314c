package experiment

import (
	"context"
	"fmt"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
)

// memoryMany is what several instances occupy that run side by side. The slope over their
// number is what one more costs (its marginal cost), and what is left at none is there
// once for all of them: the report makes both of the totals.
var memoryMany = Experiment{
	Name:     "memory-many",
	About:    "memory of 1, 2, 4, ... instances side by side: what one more costs",
	Weight:   8,
	From:     "standard",
	most:     8,
	deadline: time.Minute,
	trials: func(s Subject, l Limits) []harness.Trial {
		var list []harness.Trial
		for _, n := range numbers(isMachine(s), l.Budget) {
			f := &fleet{bound: bound(s)}
			list = append(list, harness.Trial{
				N:       n,
				Enter:   func(ctx context.Context) error { return f.start(ctx, repeat(s.Prepared, n)) },
				Measure: f.accounts,
				Leave:   f.stop,
			})
		}
		return list
	},
}

// numbers are how many instances are to run side by side: four numbers make a line with
// an interval in two rounds. Machines take seconds each.
func numbers(machines bool, budget time.Duration) []int {
	long := budget == 0 || budget > 8*time.Minute
	switch {
	case machines && long:
		return []int{1, 2, 4, 8}
	case machines:
		return []int{1, 2, 3, 4}
	case long:
		return []int{1, 8, 32, 128}
	}
	return []int{1, 4, 16, 64}
}

// isMachine tells whether instances are machines, with RAM of their own.
func isMachine(s Subject) bool { return s.Prepared.Facts().Accelerator != "" }

// bound is what one instance is taken to occupy at most, before it is started: a machine
// its RAM and QEMU, another less by far than its limit.
func bound(s Subject) float64 {
	const qemu, program = 128 << 20, 32 << 20
	if isMachine(s) {
		return float64(s.Workload.Memory) + qemu
	}
	return program
}

func repeat(p platform.Prepared, n int) []platform.Prepared {
	list := make([]platform.Prepared, n)
	for i := range list {
		list[i] = p
	}
	return list
}

// kept is the part of the host's memory that is to stay available, for all else.
const kept = 0.25

// fleetDeadline is how long it may take until all instances of a fleet are up.
const fleetDeadline = 2 * time.Minute

// A fleet are instances that run side by side, of one platform's variants.
type fleet struct {
	crowd
	bound  float64 // of one, in bytes
	before host    // when none ran
}

// start starts one instance of each, one after the other. It gives a
// [harness.OutOfReach] before one is started that there is no memory for.
func (f *fleet) start(ctx context.Context, list []platform.Prepared) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fleetDeadline, fmt.Errorf("%d instances were not up within %v", len(list), fleetDeadline))
	defer cancel()
	if f.before, err = readHost(); err != nil {
		return err
	}
	for n, p := range list {
		now, err := readHost()
		if err != nil {
			return err
		}
		// What those before will still take is not taken yet.
		if left := min(now.available, f.before.available-f.bound*float64(n)) - f.bound; left < kept*now.total {
			return &harness.OutOfReach{Reason: fmt.Sprintf("%d instances are not started side by side: after %d of them the next could leave %s of the host's memory, and %s (%.0f%%) are to stay available",
				len(list), n, result.FormatValue(max(0, left), "bytes"), result.FormatValue(kept*now.total, "bytes"), 100*kept)}
		}
		if err := f.add(ctx, p); err != nil {
			return fmt.Errorf("instance %d of %d: %w", n+1, len(list), err)
		}
	}
	return harness.Pause(ctx, idleFor)
}

// accounts are their sums.
func (f *fleet) accounts(ctx context.Context) (result.Sample, error) {
	s := result.Sample{Values: map[string]float64{}}
	return s, addAccounts(ctx, f.before, s.Values, f.running...)
}
