package harness

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vmctr/report/result"
)

// TestVisit: what the samples of one visit share is made before and removed after them,
// whatever happens, and a trial that is out of reach is noted and is no failure.
func TestVisit(t *testing.T) {
	var did []string
	do := func(what string, err error) func(context.Context) error {
		return func(context.Context) error { did = append(did, what); return err }
	}
	trial := func(name string, enter error) Trial {
		return Trial{
			Platform: name, Series: "s", N: 8, Times: 3, Enter: do("enter", enter), Leave: do("leave", nil),
			Measure: func(context.Context) (result.Sample, error) {
				did = append(did, "measure")
				return result.Sample{Values: map[string]float64{"x_ns": 1}}, nil
			},
		}
	}
	for _, tt := range []struct {
		name     string
		enter    error
		did      []string
		failures int
		notes    []result.Note
	}{
		{"it goes well", nil, []string{"enter", "measure", "measure", "measure", "leave", "enter", "measure", "measure", "measure", "leave"}, 0, nil},
		{"out of reach", &OutOfReach{"no memory"}, []string{"enter", "leave"}, 0,
			[]result.Note{{Text: "x: a: no memory", Experiment: "x", Platform: "a", Series: "s", N: 8}}},
		{"it fails", errors.New("no"), []string{"enter", "leave", "enter", "leave"}, 2, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			did = nil
			f := newFake(t, 1)
			if err := f.Rounds(t.Context(), Plan{Experiment: "x", Trials: []Trial{trial("a", tt.enter)}, Rounds: 2}); err != nil {
				t.Fatal(err)
			}
			run := f.read(t)
			if diff := cmp.Diff(tt.did, did); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.notes, run.Notes, cmpopts.IgnoreFields(result.Note{}, "AtNs")); diff != "" {
				t.Error(diff)
			}
			if n := len(run.Failures("x", "a")); n != tt.failures || len(f.Failures("a")) != n {
				t.Errorf("%d failures in the journal and %d in all, want %d", n, len(f.Failures("a")), tt.failures)
			}
			for _, s := range run.Samples {
				if s.Key() != (result.Key{Experiment: "x", Platform: "a", Series: "s", N: 8}) {
					t.Errorf("a sample of %+v", s.Key())
				}
			}
		})
	}
	// What cannot be removed ends the run: it would be part of all that is measured later.
	stays := errors.New("it stays")
	left := trial("a", nil)
	left.Leave = do("leave", stays)
	if err := newFake(t, 1).Rounds(t.Context(), Plan{Trials: []Trial{left}, Rounds: 2}); !errors.Is(err, stays) {
		t.Errorf("error %v", err)
	}
	// The end of the run removes it too.
	did = nil
	ctx, cancel := context.WithCancelCause(t.Context())
	cut := trial("a", nil)
	cut.Measure = func(context.Context) (result.Sample, error) { cancel(ErrInterrupted); return result.Sample{}, nil }
	if err := newFake(t, 1).Rounds(ctx, Plan{Trials: []Trial{cut}, Rounds: 2}); !errors.Is(err, ErrInterrupted) || !cmp.Equal(did, []string{"enter", "leave"}) {
		t.Errorf("error %v after %v", err, did)
	}
}
