package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"vmctr/report/result"
)

// fake is a harness with a journal in a folder of its own.
type fake struct {
	*Harness
	dir string
}

func newFake(t *testing.T, seed uint64) *fake {
	t.Helper()
	dir := t.TempDir()
	j, err := result.Create(dir, result.Header{ID: "bench-fakefake"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return &fake{&Harness{Journal: j, Seed: seed, Start: Now()}, dir}
}

func (f *fake) read(t *testing.T) *result.Run {
	t.Helper()
	r, err := result.Read(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// value is a measurement that goes well.
func value(v float64) func(context.Context) (result.Sample, error) {
	return func(context.Context) (result.Sample, error) {
		return result.Sample{Values: map[string]float64{"x_ns": v}}, nil
	}
}

func trials(names ...string) []Trial {
	var list []Trial
	for i, name := range names {
		list = append(list, Trial{Platform: name, Measure: value(float64(i))})
	}
	return list
}

// order are the platforms of each round, warm-ups first.
func order(r *result.Run) [][]string {
	var rounds [][]string
	for i, s := range r.Samples {
		if s.Position == 0 {
			rounds = append(rounds, nil)
		}
		rounds[len(rounds)-1] = append(rounds[len(rounds)-1], s.Platform)
		if s.Position != len(rounds[len(rounds)-1])-1 {
			panic(fmt.Sprintf("sample %d has position %d", i, s.Position))
		}
	}
	return rounds
}

func TestRounds(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	plan := Plan{Experiment: "startup", Trials: trials(names...), Warmups: 2, Rounds: 10}
	f := newFake(t, 1)
	if err := f.Rounds(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	run := f.read(t)
	rounds := order(run)
	if len(rounds) != 12 {
		t.Fatalf("%d rounds, want 2 warm-ups and 10", len(rounds))
	}
	orders := map[string]bool{}
	for i, round := range rounds {
		orders[strings.Join(round, "")] = true
		if sorted := slices.Sorted(slices.Values(round)); !slices.Equal(sorted, names) {
			t.Errorf("round %d ran %v: want each trial once", i, round)
		}
	}
	if len(orders) < 6 {
		t.Errorf("12 rounds of 4 trials came in %d orders only", len(orders))
	}
	for i, s := range run.Samples {
		n := i / 4
		warmup, round := n < 2, n-2
		if warmup {
			round = n
		}
		if s.Warmup != warmup || s.Round != round || s.Experiment != "startup" {
			t.Errorf("sample %d is %+v, want round %d, warm-up %v", i, s, round, warmup)
		}
		if i > 0 && s.AtNs < run.Samples[i-1].AtNs {
			t.Errorf("sample %d is from before the one ahead of it", i)
		}
	}
	if got := run.Values("startup", "c", "x_ns"); len(got) != 10 {
		t.Errorf("%d counted values, want 10 without the warm-ups", len(got))
	}
	if !slices.EqualFunc(plan.Trials, trials(names...), func(a, b Trial) bool { return a.Platform == b.Platform }) {
		t.Error("the plan's own list was shuffled")
	}

	orderWith := func(seed uint64) [][]string {
		f := newFake(t, seed)
		if err := f.Rounds(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
		return order(f.read(t))
	}
	if d := cmp.Diff(rounds, orderWith(1)); d != "" {
		t.Errorf("one seed gave two orders:\n%s", d)
	}
	if cmp.Equal(rounds, orderWith(2)) {
		t.Error("two seeds gave one order")
	}
}

func TestRoundsFailures(t *testing.T) {
	broken := errors.New("no kernel")
	count := map[string]int{}
	fails := func(name string, when func(n int) bool) Trial {
		return Trial{
			Platform: name,
			Measure: func(context.Context) (result.Sample, error) {
				count[name]++
				s := result.Sample{Values: map[string]float64{"x_ns": 1}}
				if when(count[name]) {
					return s, fmt.Errorf("starting: %w", broken)
				}
				return s, nil
			},
			Fault: func(err error) result.Fault {
				if errors.Is(err, broken) {
					return result.InstanceFault
				}
				return result.HarnessFault
			},
		}
	}
	always := fails("always", func(int) bool { return true })
	now := fails("now and then", func(n int) bool { return n%3 != 0 }) // two in a row, never three
	bare := fails("bare", func(n int) bool { return n == 1 })
	bare.Fault = nil
	f := newFake(t, 1)
	err := f.Rounds(t.Context(), Plan{Experiment: "startup", Trials: []Trial{always, now, bare}, Warmups: 1, Rounds: 8})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"always": 3, "now and then": 9, "bare": 9}; !cmp.Equal(count, want) {
		t.Errorf("measured %v times, want %v", count, want)
	}
	run := f.read(t)
	if len(run.Notes) != 1 || !strings.Contains(run.Notes[0].Text, "always failed 3 times in a row") {
		t.Errorf("notes = %+v", run.Notes)
	}
	// The failures are those of the measurement, and so are those in the journal.
	for name, want := range map[string]int{"always": 3, "now and then": 6, "bare": 1, "other": 0} {
		failures := f.Failures(name)
		if len(failures) != want || len(run.Failures("startup", name)) != want {
			t.Errorf("%s: %d failures, %d in the journal, want %d", name, len(failures), len(run.Failures("startup", name)), want)
		}
		for _, err := range failures {
			if !errors.Is(err, broken) {
				t.Errorf("%s: failure %v is not that of Measure", name, err)
			}
		}
	}
	for _, s := range run.Failures("startup", "always") {
		if s.Error != "starting: no kernel" || s.Fault != result.InstanceFault || s.Values["x_ns"] != 1 {
			t.Errorf("journalled %+v", s)
		}
	}
	if s := run.Failures("startup", "bare")[0]; s.Fault != result.HarnessFault {
		t.Errorf("without a Fault function: %+v", s)
	}
}

func TestRoundsAllFail(t *testing.T) {
	f := newFake(t, 1)
	none := Trial{Platform: "a", Measure: func(context.Context) (result.Sample, error) { return result.Sample{}, errors.New("no") }}
	if err := f.Rounds(t.Context(), Plan{Trials: []Trial{none}, Rounds: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if n := len(f.read(t).Samples); n != 3 {
		t.Errorf("%d samples, want 3 and an end", n)
	}
}

func TestRoundsNotANumber(t *testing.T) {
	f := newFake(t, 1)
	odd := Trial{Platform: "a", Measure: func(context.Context) (result.Sample, error) {
		return result.Sample{Values: map[string]float64{"good": 1, "nan": math.NaN(), "inf": math.Inf(1)}}, nil
	}}
	if err := f.Rounds(t.Context(), Plan{Trials: []Trial{odd}, Rounds: 1}); err != nil {
		t.Fatalf("one value that JSON cannot hold ended the run: %v", err)
	}
	s := f.read(t).Samples[0]
	if !cmp.Equal(s.Values, map[string]float64{"good": 1}) || !strings.Contains(s.Error, "nan gave NaN") || s.Fault != result.HarnessFault {
		t.Errorf("journalled %+v", s)
	}
}

// The tests below run in a bubble whose clock is false, and exact.

func TestRoundsBudget(t *testing.T) {
	slow := Trial{Platform: "a", Measure: func(context.Context) (result.Sample, error) {
		time.Sleep(9 * time.Second)
		return result.Sample{}, nil
	}}
	tests := []struct {
		name   string
		plan   Plan
		counts int           // samples that are counted
		takes  time.Duration // of all
	}{
		// A round takes 10 s. After six, the seventh would end at 70 s.
		{"budget", Plan{Rounds: 100, Budget: 65 * time.Second}, 6, 60 * time.Second},
		{"exactly", Plan{Rounds: 100, Budget: 60 * time.Second}, 6, 60 * time.Second},
		{"warm-ups cost too", Plan{Rounds: 100, Warmups: 2, Budget: 65 * time.Second}, 4, 60 * time.Second},
		{"at least one round", Plan{Rounds: 100, Warmups: 1, Budget: time.Second}, 1, 20 * time.Second},
		{"rounds", Plan{Rounds: 3, Budget: time.Hour}, 3, 30 * time.Second},
		{"no limit", Plan{Rounds: 30}, 30, 300 * time.Second},
		{"no rounds", Plan{}, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 1)
				tt.plan.Trials, tt.plan.Settle = []Trial{slow}, time.Second
				begin := time.Now()
				if err := f.Rounds(t.Context(), tt.plan); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took != tt.takes {
					t.Errorf("took %v, want %v", took, tt.takes)
				}
				if n := len(f.read(t).Samples) - tt.plan.Warmups; n != tt.counts {
					t.Errorf("%d samples, want %d", n, tt.counts)
				}
			})
		})
	}
}

func TestRoundsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		stuck := Trial{Platform: "stuck", Measure: func(ctx context.Context) (result.Sample, error) {
			<-ctx.Done()
			return result.Sample{}, errors.New("signal: killed")
		}}
		says := Trial{Platform: "says", Measure: func(ctx context.Context) (result.Sample, error) {
			<-ctx.Done()
			return result.Sample{}, fmt.Errorf("waiting: %w", context.Cause(ctx))
		}}
		begin := time.Now()
		err := f.Rounds(t.Context(), Plan{Trials: []Trial{stuck, says}, Rounds: 1, Deadline: 7 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 14*time.Second {
			t.Errorf("took %v, want the deadline of each", took)
		}
		for _, s := range f.read(t).Samples {
			want := map[string]string{"stuck": "no result within 7s: signal: killed", "says": "waiting: no result within 7s"}[s.Platform]
			if s.Error != want {
				t.Errorf("%s: %q, want %q", s.Platform, s.Error, want)
			}
		}
	})
}

func TestRoundsCancel(t *testing.T) {
	second := 0
	tests := []struct {
		name    string
		settle  time.Duration
		measure func(ctx context.Context) (result.Sample, error)
		after   time.Duration
		samples int
	}{
		{"while it settles", time.Hour, value(1), 3 * time.Minute, 0},
		{"while it measures", 0, func(ctx context.Context) (result.Sample, error) {
			if second++; second == 1 {
				return result.Sample{}, nil
			}
			<-ctx.Done()
			return result.Sample{Values: map[string]float64{"half": 1}}, ctx.Err()
		}, 3 * time.Minute, 1},
		// The sample looks whole, and may still have been hurried.
		{"while it measures, unnoticed", 0, func(ctx context.Context) (result.Sample, error) {
			<-ctx.Done()
			return result.Sample{}, nil
		}, 3 * time.Minute, 0},
		{"before it begins", 0, func(context.Context) (result.Sample, error) {
			t.Error("measured after the end")
			return result.Sample{}, nil
		}, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 1)
				ctx, cancel := context.WithCancelCause(t.Context())
				if tt.after == 0 {
					cancel(ErrInterrupted)
				}
				stop := time.AfterFunc(tt.after, func() { cancel(ErrInterrupted) })
				defer stop.Stop()
				begin := time.Now()
				trial := Trial{Platform: "a", Measure: tt.measure}
				err := f.Rounds(ctx, Plan{Trials: []Trial{trial}, Rounds: 5, Settle: tt.settle, Deadline: 24 * time.Hour})
				if !errors.Is(err, ErrInterrupted) {
					t.Errorf("error = %v, want the cause of the end", err)
				}
				if took := time.Since(begin); took != tt.after {
					t.Errorf("ended after %v, want at once, after %v", took, tt.after)
				}
				if n := len(f.read(t).Samples); n != tt.samples {
					t.Errorf("%d samples, want %d: the one that was cut is none", n, tt.samples)
				}
				if f := f.Failures("a"); len(f) != 0 {
					t.Errorf("the end counts as a failure: %v", f)
				}
			})
		})
	}
}

func TestRoundsJournalFails(t *testing.T) {
	f := newFake(t, 1)
	f.Journal.Close()
	measured := 0
	trial := Trial{Platform: "a", Measure: func(context.Context) (result.Sample, error) {
		measured++
		return result.Sample{}, nil
	}}
	if err := f.Rounds(t.Context(), Plan{Trials: []Trial{trial}, Rounds: 5}); err == nil {
		t.Error("no error")
	}
	if measured != 1 {
		t.Errorf("measured %d times with no journal to write to", measured)
	}
}

func TestProgressPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&out, false, time.Minute)
		f := newFake(t, 1)
		f.Progress = p
		slow := Trial{Platform: "vm-q35", Measure: func(context.Context) (result.Sample, error) {
			time.Sleep(4 * time.Second)
			return result.Sample{}, nil
		}}
		if err := f.Rounds(t.Context(), Plan{Experiment: "startup", Trials: []Trial{slow}, Warmups: 1, Rounds: 4}); err != nil {
			t.Fatal(err)
		}
		if err := f.Note("look at %s", "this"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		p.Step("memory", "process", 0, false)
		p.Close()
		// The first at once, then one every ten seconds at most.
		want := `bench: 1m0s left at most, startup warm-up 1: vm-q35
bench: 48s left at most, startup round 3: vm-q35
bench: look at this
bench: almost done, memory round 1: process
`
		if d := cmp.Diff(want, out.String()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

func TestProgressTerminal(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out, true, time.Nanosecond)
	p.Step("startup", "process", 0, false)
	p.Say("a line")
	time.Sleep(500 * time.Millisecond) // two refreshes, past the end of the budget
	p.Say("another line")
	p.Close()
	for _, want := range []string{"bench: a line\n", "bench: another line\n", "almost done, startup round 1: process"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing from %q", want, out.String())
		}
	}
}

func TestProgressSilent(t *testing.T) {
	var p *Progress
	p.Step("startup", "process", 0, false)
	p.Say("nobody listens")
	p.Close()
}
