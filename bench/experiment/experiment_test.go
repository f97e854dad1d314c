package experiment

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

func TestAll(t *testing.T) {
	var names []string
	seen := map[string]bool{}
	for _, e := range All() {
		names = append(names, e.Name)
		if seen[e.Name] || e.About == "" || strings.Contains(e.About, "\n") || (e.observe == nil) == (e.trials == nil) {
			t.Errorf("%q: named twice, or without a line of help, or without the one thing that it does", e.Name)
		}
		seen[e.Name] = true
		if !slices.Contains([]string{"", "standard", "thorough"}, e.From) || e.Always && e.From != "" {
			t.Errorf("%s: from profile %q", e.Name, e.From)
		}
		// What is part of every run has its time before the others share theirs.
		if e.Always != (e.Weight == 0) {
			t.Errorf("%s: always %v, weight %d", e.Name, e.Always, e.Weight)
		}
	}
	// A platform on which the workload cannot say who it is is not measured.
	if names[0] != "identity" {
		t.Errorf("the experiments are %v: identity must be the first", names)
	}
}

func TestPlan(t *testing.T) {
	subjects := []Subject{{Name: "process"}, {Name: "container"}}
	for _, tt := range []struct {
		name string
		e    Experiment
		l    Limits
		want harness.Plan
	}{
		{"the profile decides", Experiment{Name: "x", warmups: 2}, Limits{Rounds: 25, Budget: time.Minute, Settle: time.Second},
			harness.Plan{Experiment: "x", Warmups: 2, Rounds: 25, Budget: time.Minute, Settle: time.Second, Deadline: sampleDeadline}},
		{"the experiment has enough before", Experiment{Name: "x", most: 3}, Limits{Rounds: 25},
			harness.Plan{Experiment: "x", Rounds: 3, Deadline: sampleDeadline}},
		{"the profile has enough before", Experiment{Name: "x", most: 3}, Limits{Rounds: 2},
			harness.Plan{Experiment: "x", Rounds: 2, Deadline: sampleDeadline}},
		{"identity", identity, Limits{Rounds: 25}, harness.Plan{Experiment: "identity", Rounds: 1, Deadline: sampleDeadline}},
		{"startup", startup, Limits{Rounds: 25}, harness.Plan{Experiment: "startup", Warmups: 1, Rounds: 25, Deadline: sampleDeadline}},
		{"memory", memory, Limits{Rounds: 25}, harness.Plan{Experiment: "memory", Rounds: 25, Deadline: sampleDeadline}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.e.Plan(subjects, tt.l)
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(harness.Plan{}, "Trials")); diff != "" {
				t.Error(diff)
			}
			var names []string
			for _, trial := range got.Trials {
				names = append(names, trial.Platform)
			}
			if diff := cmp.Diff([]string{"process", "container"}, names); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestPlanPrecision: how well a median is to be known depends on the kind of platform, and
// a trial may say otherwise.
func TestPlanPrecision(t *testing.T) {
	subjects := []Subject{{Name: "process", Kind: "process"}, {Name: "vm-q35", Kind: "vm"}}
	l := Limits{HalfWidth: map[string]float64{"process": 0.01, "vm": 0.02}}
	type aim struct {
		Value     string
		HalfWidth float64
	}
	own := func(Subject, Limits) []harness.Trial {
		return []harness.Trial{{}, {Value: "own_ns", HalfWidth: 0.5}}
	}
	for _, tt := range []struct {
		name string
		e    Experiment
		l    Limits
		want []aim
	}{
		{"by kind", Experiment{value: "x_ns"}, l, []aim{{"x_ns", 0.01}, {"x_ns", 0.02}}},
		{"the profile asks for none", Experiment{value: "x_ns"}, Limits{}, []aim{{"x_ns", 0}, {"x_ns", 0}}},
		{"there is no main value", Experiment{}, l, []aim{{}, {}}},
		{"a trial's own", Experiment{value: "x_ns", trials: own}, l, []aim{{"x_ns", 0.01}, {"own_ns", 0.5}, {"x_ns", 0.02}, {"own_ns", 0.5}}},
	} {
		var got []aim
		for _, trial := range tt.e.Plan(subjects, tt.l).Trials {
			got = append(got, aim{trial.Value, trial.HalfWidth})
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
	}
}

// TestPlanKeepsSubjectsApart: each trial measures its own subject.
func TestPlanKeepsSubjectsApart(t *testing.T) {
	one, two := errors.New("the first"), errors.New("the second")
	p := startup.Plan([]Subject{{Name: "one", Prepared: &fake{startErr: one}}, {Name: "two", Prepared: &fake{startErr: two}}}, Limits{Rounds: 1})
	for i, want := range []error{one, two} {
		if _, err := p.Trials[i].Measure(t.Context()); !errors.Is(err, want) {
			t.Errorf("trial %d: error %v, want %v", i, err, want)
		}
	}
}

// quick observes nothing, or what a test wants.
func quick(observe func(ctx context.Context, i platform.Instance, s *result.Sample) error) Experiment {
	return Experiment{Name: "quick", observe: func(ctx context.Context, i platform.Instance, _ int64, s *result.Sample) error {
		return observe(ctx, i, s)
	}}
}

// TestMeasure: an instance that was started is stopped, once, whatever
// happens, and the sample's error is the one that explains most.
func TestMeasure(t *testing.T) {
	broken := errors.New("cannot observe")
	own := &platform.InstanceError{Err: errors.New("it ended by itself: exit status 2"), Output: "no memory"}
	stop := errors.New("it does not end")
	start := errors.New("no such program")
	ok := func(context.Context, platform.Instance, *result.Sample) error { return nil }
	fails := func(context.Context, platform.Instance, *result.Sample) error { return broken }
	for _, tt := range []struct {
		name    string
		observe func(context.Context, platform.Instance, *result.Sample) error
		start   error
		change  func(*instance)
		want    error
		text    string
		fault   result.Fault
	}{
		{"all is well", ok, nil, func(*instance) {}, nil, "", result.HarnessFault},
		{"observing fails", fails, nil, func(*instance) {}, broken, broken.Error(), result.HarnessFault},
		{"the instance's own error", fails, nil, func(i *instance) { i.err = own }, own, "it ended by itself: exit status 2; the end of its output:\nno memory", result.InstanceFault},
		// What it is asked for was seen: its end afterwards does not matter.
		{"it ends when all is seen", ok, nil, func(i *instance) { i.err = own }, nil, "", result.HarnessFault},
		{"stopping fails", ok, nil, func(i *instance) { i.stopErr = stop }, stop, "stopping the instance: it does not end", result.HarnessFault},
		{"observing and stopping fail", fails, nil, func(i *instance) { i.stopErr = stop }, broken, broken.Error() + "\nstopping the instance: it does not end", result.HarnessFault},
		{"all fails", fails, nil, func(i *instance) { i.err, i.stopErr = own, stop }, own, own.Error() + "\nstopping the instance: it does not end", result.InstanceFault},
		{"it does not start", ok, start, nil, start, start.Error(), result.HarnessFault},
		{"its start fails", ok, own, nil, own, own.Error(), result.InstanceFault},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, healthy)
			f.startErr = tt.start
			if tt.change != nil {
				f.change = tt.change
			}
			s, fault, err := measure(t, quick(tt.observe), f)
			if !errors.Is(err, tt.want) || (err != nil && err.Error() != tt.text) {
				t.Errorf("error %v, want %q", err, tt.text)
			}
			if fault != tt.fault {
				t.Errorf("fault %q, want %q", fault, tt.fault)
			}
			if tt.start != nil {
				if f.last != nil || s.Phases != nil {
					t.Errorf("an instance, with phases %v", s.Phases)
				}
				return
			}
			if n := f.last.stopped.Load(); n != 1 {
				t.Errorf("it was stopped %d times", n)
			}
			if len(s.Phases) != 2 {
				t.Errorf("phases %v: they belong to a failed sample as well", s.Phases)
			}
		})
	}
}

// TestMeasureCancelled: the end of the run ends the sample, and stopping the
// instance still has its time.
func TestMeasureCancelled(t *testing.T) {
	f := newFake(t, "exec sleep 60") // a workload that never says a word
	why := errors.New("no result within 30s")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
	_, _, err := measureIn(ctx, startup, f)
	if !errors.Is(err, why) || !strings.Contains(err.Error(), "waiting for the workload's first instruction") {
		t.Errorf("error %v", err)
	}
	if f.last.stopped.Load() != 1 || f.last.cancelled != nil {
		t.Errorf("it was stopped %d times, with a context that is: %v", f.last.stopped.Load(), f.last.cancelled)
	}
}

// TestMeasureKeepsValues: what was seen before a failure stays in the sample.
func TestMeasureKeepsValues(t *testing.T) {
	f := newFake(t, healthy)
	s, _, err := measure(t, quick(func(_ context.Context, _ platform.Instance, s *result.Sample) error {
		s.Values["seen"] = 1
		return errors.New("and then it broke")
	}), f)
	if err == nil || s.Values["seen"] != 1 {
		t.Errorf("error %v, values %v", err, s.Values)
	}
}

// TestUngroup: a group has no member that takes a thorough run's time, unless it is one.
func TestUngroup(t *testing.T) {
	for _, test := range []struct {
		thorough bool
		want     bool
	}{{false, false}, {true, true}} {
		got := Ungroup([]string{"startup", isolation.Group}, func(e Experiment) bool { return e.From == "" || test.thorough })
		if !slices.Contains(got, "startup") || !slices.Contains(got, "probes") || slices.Contains(got, "functions") != test.want {
			t.Errorf("thorough %v: %q", test.thorough, got)
		}
	}
	if got := Ungroup([]string{"functions"}, func(Experiment) bool { return false }); !slices.Equal(got, []string{"functions"}) {
		t.Errorf("by its own name: %q", got)
	}
}
