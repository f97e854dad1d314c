package harness

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"vmctr/report/result"
)

// A Trial measures one thing once, for one platform.
type Trial struct {
	Platform string
	// Series and N are those of its samples (result.Sample).
	Series string
	N      int
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
	Rand     *rand.Rand
	Start    int64 // CLOCK_MONOTONIC when the run began

	failures map[string][]error // by platform
}

// Failures are the errors of a platform's samples so far.
func (h *Harness) Failures(platform string) []error { return h.failures[platform] }

// Rounds runs a plan. In each round every trial runs once, in a new random
// order, so that neither a drift of the host nor what ran before falls on one
// platform only. It ends early only when ctx does or the journal cannot be
// written.
func (h *Harness) Rounds(ctx context.Context, p Plan) error {
	if h.failures == nil {
		h.failures = map[string][]error{}
	}
	begin := time.Now()
	inARow := map[result.Key]int{}
	trials := append([]Trial(nil), p.Trials...)
	var longest time.Duration
	for n := 0; n < p.Warmups+p.Rounds && len(trials) > 0; n++ {
		warmup, round := n < p.Warmups, n-p.Warmups
		if warmup {
			round = n
		}
		if used := time.Since(begin); p.Budget > 0 && n > p.Warmups && used+longest > p.Budget {
			break
		}
		roundBegin := time.Now()
		h.Rand.Shuffle(len(trials), func(i, j int) { trials[i], trials[j] = trials[j], trials[i] })
		kept := trials[:0:0]
		for i, t := range trials {
			again, err := h.visit(ctx, p, t, result.Sample{Round: round, Position: i, Warmup: warmup}, inARow)
			if err != nil {
				return err
			}
			if again {
				kept = append(kept, t)
			}
		}
		trials = kept
		longest = max(longest, time.Since(roundBegin))
	}
	return nil
}

// visit takes a trial's samples in one round, whose place is at, and tells whether it
// is to be tried again.
func (h *Harness) visit(ctx context.Context, p Plan, t Trial, at result.Sample, inARow map[result.Key]int) (again bool, err error) {
	at.Experiment, at.Platform, at.Series, at.N = p.Experiment, t.Platform, t.Series, t.N
	record := func(s result.Sample, err error) error {
		s.Experiment, s.Platform, s.Series, s.N, s.Round, s.Position, s.Warmup = at.Experiment, at.Platform, at.Series, at.N, at.Round, at.Position, at.Warmup
		if failed := h.Journal.Append(result.Record{Sample: &s}); failed != nil {
			return failed
		}
		if err == nil {
			inARow[at.Key()] = 0
			return nil
		}
		h.failures[t.Platform] = append(h.failures[t.Platform], err)
		h.Progress.Say("%s: %s: %v", p.Experiment, t.Platform, err)
		inARow[at.Key()]++
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
			return false, context.Cause(ctx)
		case errors.As(err, &far):
			return false, h.note(result.Note{Text: fmt.Sprintf("%s: %s: %s", p.Experiment, t.Platform, far.Reason), Experiment: p.Experiment, Platform: t.Platform, Series: t.Series, N: t.N})
		case err != nil:
			s := result.Sample{AtNs: began}
			fail(&s, t, err)
			if err := record(s, err); err != nil {
				return false, err
			}
			return inARow[at.Key()] < maxFailures, h.giveUp(p, t, inARow[at.Key()])
		}
	}
	for range max(1, t.Times) {
		if err := Pause(ctx, p.Settle); err != nil {
			return false, err
		}
		h.Progress.Step(p.Experiment, t.Platform, at.Round, at.Warmup)
		s, err := h.measure(ctx, p, t)
		if ctx.Err() != nil {
			// A sample that the end of the run cut short is not one.
			return false, context.Cause(ctx)
		}
		if err := record(s, err); err != nil {
			return false, err
		}
		if inARow[at.Key()] >= maxFailures {
			break
		}
	}
	return inARow[at.Key()] < maxFailures, h.giveUp(p, t, inARow[at.Key()])
}

// giveUp notes that a trial is no longer tried.
func (h *Harness) giveUp(p Plan, t Trial, inARow int) error {
	if inARow < maxFailures {
		return nil
	}
	return h.Note("%s: %s failed %d times in a row and is no longer tried", p.Experiment, t.Platform, maxFailures)
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

// pause waits, but not when ctx has ended.
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
