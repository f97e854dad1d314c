package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"vmctr/report/result"
)

// A Trial measures one thing once, for one platform.
type Trial struct {
	Platform string
	// Series and N are those of its samples (result.Sample).
	Series string
	N      int
	// Value is the main one of its samples, and HalfWidth how well its median is to be
	// known: half of its 95% interval, as a share of the median. No more samples are taken
	// then. Without either, the plan alone decides.
	Value     string
	HalfWidth float64
	// Measure starts an instance, measures it and stops it. What it has
	// measured before an error stays in the sample.
	Measure func(ctx context.Context) (result.Sample, error)
	// Times is how many samples are taken in a row in each round; 0 stands for 1.
	Times int
	// Enter makes what these samples have in common, and Leave removes it, also after an
	// Enter that failed; nil for nothing. Neither is part of a sample.
	Enter, Leave func(ctx context.Context) error
	// Fault says whose fault an error of Measure is.
	Fault func(error) result.Fault
}

// OutOfReach is what Enter gives of a trial that there is no room or no time for on
// this host. That is no failure: it is noted, and the trial not tried again.
type OutOfReach struct{ Reason string }

func (e *OutOfReach) Error() string { return e.Reason }

// A Plan is one experiment: its trials, and when it ends.
type Plan struct {
	Experiment string
	Trials     []Trial
	Warmups    int           // rounds that are journalled and not counted
	Rounds     int           // at most
	Budget     time.Duration // no round begins that would not end in it; 0 is no limit
	Settle     time.Duration // the host rests between samples
	Deadline   time.Duration // for one sample
}

// maxFailures is how often in a row a trial may fail before it is no longer
// tried: each failure can cost a whole deadline.
const maxFailures = 3

// A Harness runs plans and writes the journal.
type Harness struct {
	Journal  *result.Journal
	Progress *Progress
	Seed     uint64
	Start    int64 // CLOCK_MONOTONIC when the run began, had it never been stopped
	// Past is what the journal holds of the same run, before it was stopped; nil for nothing.
	Past *result.Run

	failures map[string][]error // by platform
}

// Failures are the errors of a platform's samples so far.
func (h *Harness) Failures(platform string) []error { return h.failures[platform] }

// Rounds runs a plan. In each round every trial runs once, in a new random
// order, so that neither a drift of the host nor what ran before falls on one
// platform only. A trial whose median is known well enough, or that fails again and
// again, takes part no longer. Otherwise it ends early only when ctx does or the journal
// cannot be written.
//
// What [Harness.Past] has of the plan is not measured again: of the last round that was
// begun, what is missing is, and then the rounds after it.
func (h *Harness) Rounds(ctx context.Context, p Plan) error {
	if h.failures == nil {
		h.failures = map[string][]error{}
	}
	past := h.past(p.Experiment)
	begin := time.Now().Add(-past.spent)
	all := newSeries(p.Trials, past)
	reason := result.RoundsDone
	for n := 0; n < p.Warmups+p.Rounds && all.running(); n++ {
		at := place{n < p.Warmups, n - p.Warmups}
		if at.warmup {
			at.round = n
		}
		if !past.begun(at) {
			if past.ended != "" {
				break
			}
			if p.Budget > 0 && n > p.Warmups && time.Since(begin)+all.round() > p.Budget {
				reason = result.BudgetSpent
				break
			}
		}
		if err := h.round(ctx, p, at, all, past); err != nil {
			return err
		}
		if !at.warmup {
			all.judge()
		}
		if err := h.end(p, all); err != nil {
			return err
		}
	}
	for _, s := range all {
		s.end(cmp.Or(past.ended, reason))
	}
	return h.end(p, all)
}

// A place is a round: warm-ups have numbers of their own.
type place struct {
	warmup bool
	round  int
}

// round is one round, or what is missing of it.
func (h *Harness) round(ctx context.Context, p Plan, at place, all allSeries, past past) error {
	begin, ran := host.reading(), false
	for i, t := range shuffled(h.Seed, p.Experiment, at.warmup, at.round, p.Trials) {
		s := all[t.key(p.Experiment)]
		if s.reason != "" {
			continue
		}
		have := past.samples[at][s.key]
		for _, sample := range have {
			s.count(sample)
			if sample.Error != "" {
				h.failures[t.Platform] = append(h.failures[t.Platform], errors.New(sample.Error))
			}
		}
		if err := h.giveUp(p, s); err != nil {
			return err
		}
		if s.reason != "" || len(have) >= max(1, t.Times) || past.complete(at) {
			continue
		}
		ran = true
		visitBegin := time.Now()
		if err := h.visit(ctx, p, s, result.Sample{Round: at.round, Position: i, Warmup: at.warmup}, max(1, t.Times)-len(have)); err != nil {
			return err
		}
		s.longest = max(s.longest, time.Since(visitBegin))
	}
	if !ran {
		return nil
	}
	b := host.block(begin)
	b.Experiment, b.Round, b.Warmup, b.AtNs = p.Experiment, at.round, at.warmup, begin.at-h.Start
	return h.Journal.Append(result.Record{Block: &b})
}

// visit takes so many of a trial's samples in one round, whose place is at.
func (h *Harness) visit(ctx context.Context, p Plan, of *series, at result.Sample, times int) (err error) {
	t := of.trial
	at.Experiment, at.Platform, at.Series, at.N = p.Experiment, t.Platform, t.Series, t.N
	record := func(s result.Sample, err error) error {
		s.Experiment, s.Platform, s.Series, s.N, s.Round, s.Position, s.Warmup = at.Experiment, at.Platform, at.Series, at.N, at.Round, at.Position, at.Warmup
		if failed := h.Journal.Append(result.Record{Sample: &s}); failed != nil {
			return failed
		}
		of.count(s)
		if err != nil {
			h.failures[t.Platform] = append(h.failures[t.Platform], err)
			h.Progress.Say("%s: %s: %v", p.Experiment, t.Platform, err)
		}
		return nil
	}
	if t.Leave != nil {
		defer func() {
			if failed := t.Leave(context.WithoutCancel(ctx)); failed != nil {
				err = errors.Join(err, fmt.Errorf("%s: %s: %w", p.Experiment, t.Platform, failed))
			}
		}()
	}
	if t.Enter != nil {
		h.Progress.Step(p.Experiment, t.Platform, at.Round, at.Warmup)
		began := Now() - h.Start
		err := t.Enter(ctx)
		var far *OutOfReach
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &far):
			of.end(result.NotPossible)
			return h.note(result.Note{Text: fmt.Sprintf("%s: %s: %s", p.Experiment, t.Platform, far.Reason), Experiment: p.Experiment, Platform: t.Platform, Series: t.Series, N: t.N})
		case err != nil:
			s := result.Sample{AtNs: began}
			fail(&s, t, err)
			if err := record(s, err); err != nil {
				return err
			}
			return h.giveUp(p, of)
		}
	}
	for range times {
		// What Enter has made runs in the pause: then nobody knows whose load it is.
		disturbed, rested, err := settle(ctx, p.Settle, t.Enter == nil)
		if err != nil {
			return err
		}
		h.Progress.Step(p.Experiment, t.Platform, at.Round, at.Warmup)
		s, err := h.measure(ctx, p, t)
		if ctx.Err() != nil {
			// A sample that the end of the run cut short is not one.
			return context.Cause(ctx)
		}
		s.Disturbed = join(disturbed, rested.until(host.reading()).during())
		if err := record(s, err); err != nil {
			return err
		}
		if of.failed >= maxFailures {
			break
		}
	}
	return h.giveUp(p, of)
}

// giveUp ends a series that fails again and again, and notes it, once.
func (h *Harness) giveUp(p Plan, s *series) error {
	if s.reason != "" || s.failed < maxFailures {
		return nil
	}
	s.reason = result.GaveUp
	text := fmt.Sprintf("%s: %s failed %d times in a row and is no longer tried", p.Experiment, s.trial.Platform, maxFailures)
	if h.Past != nil && slices.ContainsFunc(h.Past.Notes, func(n result.Note) bool { return n.Text == text }) {
		return nil
	}
	return h.note(result.Note{Text: text})
}

func (h *Harness) measure(ctx context.Context, p Plan, t Trial) (result.Sample, error) {
	deadline := p.Deadline
	if deadline == 0 {
		deadline = time.Minute
	}
	sampleCtx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("no result within %v", deadline))
	defer cancel()
	at := Now() - h.Start
	s, err := t.Measure(sampleCtx)
	s.AtNs = at
	if cause := context.Cause(sampleCtx); err != nil && ctx.Err() == nil && cause != nil && !errors.Is(err, cause) {
		// "signal: killed" alone would not tell that the deadline did it.
		err = fmt.Errorf("%w: %w", cause, err)
	}
	for name, v := range s.Values {
		// JSON has no NaN and no infinity: one such value would end the run.
		if math.IsNaN(v) || math.IsInf(v, 0) {
			delete(s.Values, name)
			err = errors.Join(err, fmt.Errorf("measuring %s gave %v", name, v))
		}
	}
	if err != nil {
		fail(&s, t, err)
	}
	return s, err
}

// fail writes an error into a sample.
func fail(s *result.Sample, t Trial, err error) {
	s.Error, s.Fault = err.Error(), result.HarnessFault
	if t.Fault != nil {
		s.Fault = t.Fault(err)
	}
}

// Note writes a warning to the journal and shows it.
func (h *Harness) Note(format string, args ...any) error {
	return h.note(result.Note{Text: fmt.Sprintf(format, args...)})
}

func (h *Harness) note(n result.Note) error {
	h.Progress.Say("%s", n.Text)
	n.AtNs = Now() - h.Start
	return h.Journal.Append(result.Record{Note: &n})
}

// settle lets the host rest, and tells what others did meanwhile that disturbs the sample
// to come, if nothing of ours ran.
func settle(ctx context.Context, d time.Duration, quiet bool) (disturbed string, rested reading, err error) {
	begin := host.reading()
	if err := Pause(ctx, d); err != nil {
		return "", begin, err
	}
	rested = host.reading()
	if quiet && time.Duration(rested.at-begin.at) >= leastWatch {
		disturbed = begin.until(rested).before()
	}
	return disturbed, rested, nil
}

// Pause waits, but not when ctx has ended.
func Pause(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// ErrInterrupted is why a run that a signal ended did.
var ErrInterrupted = errors.New("interrupted")
