package experiment

import (
	"context"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
)

// running is the startup of one more instance, with N of the same platform running and
// idle. They are started anew for every visit of a round: the levels come in random order
// as platforms do, so that no drift of the host looks like an effect of their number,
// and among them 0 is what the others are compared with. With levels that grow by
// factors this costs little more than to go through them in ascending order. Of each
// visit a few starts are measured; those share the same N instances.
var running = Experiment{
	Name:     "startup-running",
	About:    "startup of one more instance, with 0, 1, 10, 100, ... running already",
	value:    "first_instruction_ns",
	Weight:   8,
	From:     "standard",
	stand:    true,
	deadline: time.Minute,
	trials: func(s Subject, l Limits) []harness.Trial {
		c := &crowd{}
		var trials []harness.Trial
		for _, n := range levels(s.Prepared.Facts(), l.Budget) {
			trials = append(trials, harness.Trial{
				N: n, Times: perVisit,
				Enter: func(ctx context.Context) error {
					rooms, err := hostRooms(l.Budget / patience)
					if err != nil {
						return err
					}
					return c.grow(ctx, s.Prepared, n, rooms)
				},
				Measure: func(ctx context.Context) (result.Sample, error) { return start(ctx, s.Prepared) },
				Leave:   c.stop,
			})
		}
		return trials
	},
}

const (
	// perVisit is how many starts are measured with the same instances running.
	perVisit = 3
	// long is the budget from which on there is time for the highest levels.
	long = 5 * time.Minute
	// patience is the part of the budget that one building up may take: there are a dozen
	// of them in a round.
	patience = 12
)

// levels are the numbers of instances that run. A machine takes a thousand times as long
// to start as a process, and as much memory: its levels are lower.
func levels(f platform.Facts, budget time.Duration) []int {
	switch machine, short := f.Accelerator != "", budget > 0 && budget < long; {
	case machine && short:
		return []int{0, 2, 8, 32}
	case machine:
		return []int{0, 1, 2, 4, 8, 16, 32, 64}
	case short:
		return []int{0, 1, 10, 100}
	}
	return []int{0, 1, 10, 100, 1000}
}

// start measures one start, to the first instruction.
func start(ctx context.Context, p platform.Prepared) (result.Sample, error) {
	return Experiment{observe: observeStart}.measure(ctx, p)
}

func observeStart(ctx context.Context, i platform.Instance, begin int64, s *result.Sample) error {
	_, err := firstInstruction(ctx, i, begin, s)
	return err
}
