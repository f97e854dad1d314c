package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
)

// together is what it takes to start N instances at the same moment: N goroutines wait
// for one signal, and each then asks for an instance. The clock of all starts with the
// signal. How much later the last of them came to ask is a value of the sample (the
// skew): on a host with fewer CPUs than N, the goroutines themselves take turns.
var together = Experiment{
	Name:     "startup-together",
	About:    "startup of 1, 2, 4, 8, 16 and 32 instances at the same moment",
	Weight:   6,
	From:     "standard",
	stand:    true,
	deadline: 3 * time.Minute,
	trials: func(s Subject, l Limits) []harness.Trial {
		first := &taste{prepared: s.Prepared}
		var trials []harness.Trial
		for n := 1; n <= mostTogether; n *= 2 {
			trials = append(trials, harness.Trial{
				N:       n,
				Enter:   func(ctx context.Context) error { return first.allows(ctx, n, l.Budget/patience) },
				Measure: func(ctx context.Context) (result.Sample, error) { return startTogether(ctx, s.Prepared, n) },
			})
		}
		return trials
	},
}

const mostTogether = 32

// A taste is one start ahead of all, which tells what many would take.
type taste struct {
	prepared platform.Prepared
	took     time.Duration // 0 before
	memory   float64
}

// allows gives a [harness.OutOfReach] if n instances at once had no room on this host, or
// took longer than most.
func (t *taste) allows(ctx context.Context, n int, most time.Duration) error {
	if t.took == 0 {
		ctx, cancel := context.WithTimeoutCause(ctx, sampleDeadline, fmt.Errorf("no result within %v", sampleDeadline))
		defer cancel()
		begin := time.Now()
		s, err := Experiment{observe: func(ctx context.Context, i platform.Instance, begin int64, s *result.Sample) error {
			if err := observeStart(ctx, i, begin, s); err != nil {
				return err
			}
			pids, err := i.Processes()
			if err != nil {
				return err
			}
			return addProcesses(s.Values, pids)
		}}.measure(ctx, t.prepared)
		if err != nil {
			return fmt.Errorf("starting one ahead of all: %w", err)
		}
		t.took, t.memory = time.Since(begin), s.Values["rss_bytes"]
	}
	if n == 1 {
		return nil
	}
	rooms, err := hostRooms(0)
	if err != nil {
		return err
	}
	memory := rooms[0]
	used, err := memory.used()
	if err != nil {
		return err
	}
	if need := t.memory * float64(n); used+need > memory.most {
		return &harness.OutOfReach{Reason: fmt.Sprintf("%d instances at once are too many here: they would need %s of memory, where %s is in use, of %s at most", n,
			result.FormatValue(need, "bytes"), result.FormatValue(used, "bytes"), result.FormatValue(memory.most, "bytes"))}
	}
	if in := t.took * time.Duration(n); most > 0 && in > most {
		return &harness.OutOfReach{Reason: fmt.Sprintf("%d instances at once are too many here: in turn they would take %s, of %s at most for one sample", n, result.FormatValue(float64(in), "ns"), result.FormatValue(float64(most), "ns"))}
	}
	return nil
}

// startTogether starts n instances and stops them.
func startTogether(ctx context.Context, p platform.Prepared, n int) (s result.Sample, err error) {
	instances, began, at, errs := make([]platform.Instance, n), make([]int64, n), make([]int64, n), make([]error, n)
	var ready, done sync.WaitGroup
	signal := make(chan struct{})
	ready.Add(n)
	for k := range n {
		done.Go(func() {
			ready.Done()
			<-signal
			began[k] = harness.Now()
			if instances[k], errs[k] = p.Start(ctx); errs[k] == nil {
				at[k], errs[k] = instances[k].Output().FirstInstruction(ctx)
			}
		})
	}
	ready.Wait()
	begin := harness.Now()
	close(signal)
	done.Wait()

	var c crowd
	for k, i := range instances {
		if i == nil {
			continue
		}
		c.running = append(c.running, i)
		if errs[k] != nil {
			if own := i.Err(); own != nil {
				errs[k] = own
			}
		}
	}
	if k := slices.IndexFunc(errs, func(err error) bool { return err != nil }); k >= 0 {
		err = fmt.Errorf("instance %d of %d: %w", k+1, n, errs[k])
	}
	if stopErr := c.stop(context.WithoutCancel(ctx)); stopErr != nil {
		err = errors.Join(err, stopErr)
	}
	if err != nil {
		return s, err
	}
	order := make([]int, n)
	for k := range order {
		order[k] = k
	}
	slices.SortFunc(order, func(a, b int) int { return int(began[a] - began[b]) })
	first := make([]float64, n)
	for place, k := range order {
		first[place] = float64(at[k] - begin)
	}
	s.Each = map[string][]float64{"first_instruction_ns": first}
	s.Values = map[string]float64{
		"fastest_ns":  slices.Min(first),
		"makespan_ns": slices.Max(first),
		"skew_ns":     float64(slices.Max(began) - slices.Min(began)),
	}
	return s, nil
}
