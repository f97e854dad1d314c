// Package selftest measures the harness with itself: every figure is a sample of a trial
// of the harness, in its journal, in its random order, as those of bench all are. What
// they show, package report/selftest says.
package selftest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
	checks "vmctr/report/selftest"
)

// A Subject is a platform that is ready.
type Subject struct {
	Name, Kind string
	Prepared   platform.Prepared
}

// A Test is one selftest.
type Test struct {
	Harness  *harness.Harness
	Subjects []Subject
	Time     time.Duration // for all of it, from Begin on
	Begin    time.Time

	origin offsets
}

// Shares of the time. What the comparisons of A with A take is left to them, since there
// is a number of them that makes the test; the injected delays have what is left.
const (
	exitShare = 0.2
	// sliceOf is how long a part of the injected delays takes: between two the host's
	// speed is measured.
	sliceOf = 8 * time.Second
	// brief is a test that leaves out what only adds to it.
	brief = 2 * time.Minute
)

// deadline is how long a sample may take: a machine under an emulator needs some seconds.
const deadline = 30 * time.Second

// Run measures. It ends early only when ctx does or the journal cannot be written.
func (t *Test) Run(ctx context.Context) error {
	t.origin = readOffsets()
	for _, part := range []func(context.Context) error{t.clock, t.delays, t.same, t.exits, t.pairs, t.injected, t.drift} {
		if err := t.drift(ctx); err != nil {
			return err
		}
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *Test) left() time.Duration { return t.Time - time.Since(t.Begin) }

func (t *Test) isBrief() bool { return t.Time < brief }

// subject is the platform of a name, if it is ready.
func (t *Test) subject(name string) (Subject, bool) {
	for _, s := range t.Subjects {
		if s.Name == name {
			return s, true
		}
	}
	return Subject{}, false
}

// clock measures what the clock can do.
func (t *Test) clock(ctx context.Context) error {
	return t.Harness.Rounds(ctx, harness.Plan{Experiment: checks.Clock, Warmups: 1, Rounds: 15, Deadline: deadline,
		Trials: []harness.Trial{{Platform: checks.Host, Measure: measureClock}}})
}

// drift measures how fast the host is now.
func (t *Test) drift(ctx context.Context) error {
	return t.Harness.Rounds(ctx, harness.Plan{Experiment: checks.Drift, Warmups: 1, Rounds: 15, Deadline: deadline,
		Trials: []harness.Trial{{Platform: checks.Host, Measure: t.measureHost}}})
}

// delays measures how late a line of the workload's comes: through a pipe several times,
// and in a machine, which takes seconds to boot, once.
func (t *Test) delays(ctx context.Context) error {
	pipes := harness.Plan{Experiment: checks.Delay, Warmups: 1, Rounds: 10, Deadline: deadline, Budget: t.Time / 10}
	machines := harness.Plan{Experiment: checks.Delay, Rounds: 1, Deadline: deadline}
	for _, s := range t.Subjects {
		trial := harness.Trial{Platform: s.Name, Fault: fault, Measure: func(ctx context.Context) (result.Sample, error) { return measureDelay(ctx, s.Prepared) }}
		if s.Kind == "vm" || s.Kind == "nested" {
			if !t.isBrief() || len(machines.Trials) == 0 {
				machines.Trials = append(machines.Trials, trial)
			}
		} else {
			pipes.Trials = append(pipes.Trials, trial)
		}
	}
	if err := t.Harness.Rounds(ctx, pipes); err != nil {
		return err
	}
	return t.Harness.Rounds(ctx, machines)
}

// same compares the process with itself: in each round a comparison, of which all starts
// are dealt out at random.
func (t *Test) same(ctx context.Context) error {
	s, ok := t.subject("process")
	if !ok {
		return nil
	}
	p := harness.Plan{Experiment: checks.AA, Warmups: 1, Rounds: checks.Comparisons, Deadline: deadline, Budget: max(t.left()-reserve, time.Second)}
	for n := range checks.SeriesSize {
		// Each has a number, and so a place of its own in the round's random order.
		for _, series := range []string{checks.A, checks.B} {
			trial := s.start(series, nil)
			trial.N = n + 1
			p.Trials = append(p.Trials, trial)
		}
	}
	return t.Harness.Rounds(ctx, p)
}

// pairs does so with one of each in a round.
func (t *Test) pairs(ctx context.Context) error {
	s, ok := t.subject("process")
	if !ok || t.isBrief() {
		return nil
	}
	return t.Harness.Rounds(ctx, harness.Plan{Experiment: checks.AARounds, Warmups: 1, Rounds: checks.Comparisons * checks.SeriesSize, Deadline: deadline, Budget: max(t.left()-reserve, time.Second),
		Trials: []harness.Trial{s.start(checks.A, nil), s.start(checks.B, nil)}})
}

// reserve is what is kept of the time for the end.
const reserve = 2 * time.Second

// injected puts delays into the starts of the container, as long as there is time; in
// three parts of five the one that must be found.
func (t *Test) injected(ctx context.Context) error {
	s, ok := t.subject("container")
	if !ok {
		return nil
	}
	var starts []float64
	known := s.start(checks.None, nil)
	measure := known.Measure
	known.Measure = func(ctx context.Context) (result.Sample, error) {
		sample, err := measure(ctx)
		if err == nil {
			starts = append(starts, sample.Values["first_instruction_ns"])
		}
		return sample, err
	}
	if err := t.Harness.Rounds(ctx, harness.Plan{Experiment: checks.Injected, Warmups: 50, Deadline: deadline, Trials: []harness.Trial{known}}); err != nil {
		return err
	}
	if len(starts) == 0 {
		return nil // it has said why
	}
	median := result.Summarize(starts).Median
	trials := func(percents ...int) []harness.Trial {
		list := []harness.Trial{s.start(checks.None, nil)}
		for _, percent := range percents {
			list = append(list, s.start(checks.Series(percent), func() int64 { return int64(median * float64(percent) / 100) }))
		}
		return list
	}
	must := harness.Plan{Experiment: checks.Injected, Trials: trials(checks.MustFind)}
	others := harness.Plan{Experiment: checks.Others, Trials: trials(checks.OtherDelays...)}
	for i := 0; t.left() > reserve; i++ {
		p := []harness.Plan{must, others, must, others, must}[i%5]
		p.Rounds, p.Deadline, p.Budget = 1<<20, deadline, min(sliceOf, t.left()-reserve)
		if err := errors.Join(t.Harness.Rounds(ctx, p), t.drift(ctx)); err != nil {
			return err
		}
		if len(t.Harness.Failures(s.Name)) > 2 {
			return nil // each can cost a deadline
		}
	}
	return nil
}

// start is the trial of a platform's start, which a delay makes longer.
func (s Subject) start(series string, delay func() int64) harness.Trial {
	return harness.Trial{Platform: s.Name, Series: series, Fault: fault, Measure: func(ctx context.Context) (result.Sample, error) {
		return measureStart(ctx, s.Prepared, delay)
	}}
}

func fault(err error) result.Fault {
	if platform.IsInstanceFault(err) {
		return result.InstanceFault
	}
	return result.HarnessFault
}

// measureStart starts an instance, waits for its first instruction, and stops it. The
// delay is waited for first, as a part of the start.
//
// It is waited for in a loop and not by nanosleep(2), which comes back some 60 us late:
// the kernel may let a timer of an ordinary thread expire that much later
// (PR_SET_TIMERSLACK in prctl(2)), and the thread then has to be scheduled. One percent
// of a start is as much.
func measureStart(ctx context.Context, p platform.Prepared, delay func() int64) (s result.Sample, err error) {
	s.Values = map[string]float64{}
	begin := harness.Now()
	if delay != nil {
		wait := delay()
		now := begin
		for now-begin < wait {
			now = harness.Now()
		}
		s.Values["injected_ns"] = float64(now - begin)
	}
	i, err := p.Start(ctx)
	if err != nil {
		return s, err
	}
	defer stop(ctx, i, &err)
	at, err := i.Output().FirstInstruction(ctx)
	if err == nil {
		s.Values["first_instruction_ns"] = float64(at - begin)
	}
	return s, err
}

// stop stops an instance; one that ended by itself says why, which explains more than
// what err does.
func stop(ctx context.Context, i platform.Instance, err *error) {
	if *err != nil {
		if own := i.Err(); own != nil {
			*err = own
		}
	}
	if e := i.Stop(context.WithoutCancel(ctx)); e != nil {
		*err = errors.Join(*err, fmt.Errorf("stopping the instance: %w", e))
	}
}

// measureDelay measures how long a line is under way, five times.
func measureDelay(ctx context.Context, p platform.Prepared) (s result.Sample, err error) {
	begin := harness.Now()
	i, err := p.Start(ctx)
	if err != nil {
		return s, err
	}
	defer stop(ctx, i, &err)
	at, err := i.Output().FirstInstruction(ctx)
	if err != nil {
		return s, err
	}
	if _, err := i.Output().Identity(ctx); err != nil {
		return s, err
	}
	var delays []float64
	for range 5 {
		d, err := i.Delay(ctx)
		if err != nil {
			return s, fmt.Errorf("measuring how long its output is under way: %w", err)
		}
		delays = append(delays, float64(d))
	}
	s.Values = map[string]float64{"first_instruction_ns": float64(at - begin), "delay_ns": result.Summarize(delays).Median}
	return s, nil
}
