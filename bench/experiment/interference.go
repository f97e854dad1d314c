package experiment

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"vmctr/bench/harness"
	interfering "vmctr/bench/isolation/interference"
	"vmctr/bench/platform"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// interference is what an instance loses beside another of the same platform that uses up
// one thing that both share (Matthews et al., "Quantifying the Performance Isolation
// Properties of Virtualization Systems", ExpCS 2007). Both run from the start, and for a
// while the neighbour idles; then it is told to begin, and then it is stopped: so each
// sample has windows alone before and after those beside it, and a drift of the host shows.
//
// Containers are tried twice: with limits on both and with none. A machine has its RAM and
// its processors always, and a plain process has no limits ever.
var interference = Experiment{
	Name:     "interference",
	About:    "what an instance loses beside a neighbour that spins, allocates, forks, syncs or floods the network, with limits and without",
	Group:    isolation.Group,
	Weight:   6,
	From:     "standard",
	stand:    true,
	most:     1,
	deadline: 2 * time.Minute,
	trials: func(s Subject, l Limits) []harness.Trial {
		if s.Name == platform.ThrowawayName || infoOf(s.Name).NoSystem {
			return nil
		}
		if !l.Every && (s.Kind == "nested" || s.Kind == "container" && s.Name != "container") {
			return nil // there is not the time for more than one of each kind
		}
		var trials []harness.Trial
		for _, limited := range limitsOf(s) {
			for _, n := range isolation.Neighbours {
				trials = append(trials, harness.Trial{Series: series(n.Name, limited), Measure: func(ctx context.Context) (result.Sample, error) {
					return interfere(ctx, s, n.Name, limited)
				}})
			}
		}
		return trials
	},
}

// limitsOf tells whether a platform is tried with limits, without, or both.
func limitsOf(s Subject) []bool {
	switch {
	case s.Kind == "process":
		return []bool{false}
	case isMachine(s):
		return []bool{true}
	}
	return []bool{true, false}
}

func series(neighbour string, limited bool) string {
	if limited {
		return neighbour + ", with limits"
	}
	return neighbour + ", without limits"
}

// The windows of a victim: of this length, so many of each kind in a turn, and so many turns
// before the neighbour begins, beside it, and after it. A median needs six for an interval.
const (
	window      = 50 * time.Millisecond
	inTurn      = 2
	turnsBefore = 2
	turnsBeside = 3
	turnsAfter  = 1
	warmUp      = 5 * time.Millisecond   // the first turn's windows, which are not kept
	silence     = 5 * time.Second        // a victim that is not heard of for so long beside a neighbour does not report
	patienceFor = 20 * time.Second       // alone, it is the host that is busy
	rampUp      = 200 * time.Millisecond // from the neighbour's word that it works to the first window
	restFor     = 200 * time.Millisecond // from its end to the next
)

// interfere is one sample: a victim and a neighbour, from their start to their end.
func interfere(ctx context.Context, s Subject, kind string, limited bool) (sample result.Sample, err error) {
	prepare := func(verb string, args ...string) (platform.Prepared, error) {
		return insidePrepared(ctx, s, series(verb, limited), func(w *platform.Workload) {
			w.Port = s.Workload.Port
			if !limited {
				w.Memory, w.CPUs, w.Pids = 0, 0, 0
			}
		}, append(append([]string{verb}, args...), ":"+strconv.Itoa(int(s.Workload.Port)))...)
	}
	victims, err := prepare(interfering.VictimVerb, window.String(), strconv.Itoa(inTurn))
	if err != nil {
		return sample, err
	}
	neighbours, err := prepare(interfering.NeighbourVerb)
	if err != nil {
		return sample, err
	}
	v := &victim{sample: &sample, latencies: map[string][]float64{}, patience: patienceFor}
	n := &neighbour{}
	sample.Interference = &isolation.Interference{Neighbour: kind, Limited: limited}
	sample.Values, sample.Each = map[string]float64{}, map[string][]float64{}
	stop := func(i *platform.Instance) error {
		if *i == nil {
			return nil
		}
		err := (*i).Stop(context.WithoutCancel(ctx))
		*i = nil
		return err
	}
	defer func() { err = errors.Join(err, stop(&n.i), stop(&v.i)) }()
	// Both come up at the same time, which takes machines half as long.
	group, starting := errgroup.WithContext(ctx)
	group.Go(func() (err error) { v.i, err = up(starting, victims); return err })
	group.Go(func() (err error) { n.i, err = up(starting, neighbours); return err })
	if err := group.Wait(); err != nil {
		return sample, err
	}
	if err := errors.Join(v.hello(ctx, s), n.ready(ctx)); err != nil {
		return sample, err
	}
	order, err := orderFor(ctx, s, kind, limited, v.i)
	if err != nil {
		return sample, err
	}

	for range turnsBefore {
		if err := v.turn(ctx, "before"); err != nil {
			return sample, err
		}
	}
	if err := n.begin(ctx, order); err != nil {
		return sample, err
	}
	if err := harness.Pause(ctx, rampUp); err != nil {
		return sample, err
	}
	v.patience = silence
	v.beside(ctx, n)
	v.patience = patienceFor
	if ctx.Err() != nil {
		return sample, context.Cause(ctx)
	}
	n.end(ctx, kind, sample.Interference, sample.Values)
	if err := stop(&n.i); err != nil {
		return sample, fmt.Errorf("stopping the neighbour: %w", err)
	}
	if err := harness.Pause(ctx, restFor); err != nil {
		return sample, err
	}
	if err := v.again(ctx); err != nil && ctx.Err() != nil {
		return sample, context.Cause(ctx)
	}
	v.percentiles()
	return sample, nil
}

// up starts an instance and waits for its first instruction. One that does not come up is
// stopped.
func up(ctx context.Context, p platform.Prepared) (platform.Instance, error) {
	i, err := p.Start(ctx)
	if err != nil {
		return nil, err
	}
	if _, err = i.Output().FirstInstruction(ctx); err == nil {
		return i, nil
	}
	if own := i.Err(); own != nil && ctx.Err() == nil {
		err = own
	}
	return nil, errors.Join(err, i.Stop(context.WithoutCancel(ctx)))
}

// orderFor is the neighbour's order. Behind a wall that holds, it may try to take twice as
// much as it gets; without one it takes no more of the host than that can spare.
func orderFor(ctx context.Context, s Subject, kind string, limited bool, victim platform.Instance) (o interfering.Order, err error) {
	o = interfering.Order{Kind: kind, For: interfering.MostTime}
	h, err := readHost()
	if err != nil {
		return o, err
	}
	most, err := mostTasks()
	if err != nil {
		return o, err
	}
	running, err := runningTasks()
	if err != nil {
		return o, err
	}
	const page = 256 << 10 // about what a small process takes, with its tables and its stack in the kernel
	memory, tasks := int64(h.available/4), int64(max(most-running, 0)/4)
	if limited {
		memory, tasks = min(memory, 2*s.Workload.Memory), min(tasks, 4*s.Workload.Pids)
	}
	o.Bytes, o.Processes = memory, int(min(tasks, memory/page))
	if kind == "sync" {
		o.Bytes = 64 << 20
	}
	// It floods the victim, over the network that both are on. Without that, its own gateway.
	if a, err := victim.Address(ctx); err == nil && (s.Kind == "process" || !a.Addr().IsLoopback()) {
		o.Target = fmt.Sprintf("%v:%d", a.Addr(), interfering.Discard)
	}
	return o, nil
}

// filesOf says what the victim's files lie on. Of an overlay its upper layer is meant.
func filesOf(s Subject, seen string) string {
	var st unix.Statfs_t
	switch {
	case isMachine(s):
		return seen + ", in the guest's memory"
	case seen == "overlay" && s.Name == "docker" || s.Name == "podman":
		return seen
	case seen == "overlay" && unix.Statfs(s.Workload.NetworkDir, &st) == nil:
		return seen + " on " + interfering.FileSystem(int64(st.Type))
	}
	return seen
}
