package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vmctr/bench/isolation/breakage"
	"vmctr/bench/platform"
	"vmctr/report/result/isolation"
)

// What the arena has told before its machine was lost is kept, and the fault by which it was
// lost is a result.
func TestFaultsInMachine(t *testing.T) {
	done := func(kind string) breakage.Line {
		return breakage.Line{Fault: &isolation.Fault{Kind: kind, Of: "process", Outcome: isolation.Held, Why: "x"}}
	}
	next := func(kind string) breakage.Line { return breakage.Line{Next: "process/" + kind} }
	panicked := &platform.InstanceError{Err: errors.New("the guest's kernel has panicked: give it more RAM"), Output: "[ 1.0] Kernel panic - not syncing: sysrq triggered crash\n[ 1.1] more"}
	for _, tt := range []struct {
		name, script string
		own          error
		want         []isolation.FaultOutcome
		why, error   string
	}{
		{"all", saying(t, "", next("crash"), done("crash"), next("forks"), done("forks")), nil, []isolation.FaultOutcome{isolation.Held, isolation.Held}, "x", ""},
		{"the machine panics", saying(t, "", next("crash"), done("crash"), next("panic")), panicked, []isolation.FaultOutcome{isolation.Held, isolation.Lost}, "Kernel panic - not syncing: sysrq triggered crash", ""},
		{"it does not report", saying(t, "exec sleep 60", next("forks")), nil, []isolation.FaultOutcome{isolation.Lost}, "did not report for 1s", ""},
		{"it ends between two", saying(t, "", next("crash"), done("crash"), breakage.Line{}), nil, nil, "", ""},
		{"it does not come up", "exit 1", &platform.InstanceError{Err: errors.New("no such program")}, nil, "", "no such program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.script)
			f.change = func(i *instance) { i.err = tt.own }
			got, err := inMachine(t.Context(), f, time.Second)
			if (err == nil) != (tt.error == "") || err != nil && !strings.Contains(err.Error(), tt.error) {
				t.Fatalf("error %v, want %q", err, tt.error)
			}
			var outcomes []isolation.FaultOutcome
			for _, g := range got {
				outcomes = append(outcomes, g.Outcome)
			}
			if tt.want != nil && !slices.Equal(outcomes, tt.want) {
				t.Errorf("%q, want %q", outcomes, tt.want)
			}
			if tt.why != "" && (len(got) == 0 || !strings.Contains(got[len(got)-1].Why, tt.why)) {
				t.Errorf("%+v, want %q", got, tt.why)
			}
			if f.last.stopped.Load() != 1 {
				t.Error("it was not stopped")
			}
		})
	}
}

func TestLastWords(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&platform.InstanceError{Err: errors.New("it ended by itself: killed by signal SIGSEGV"), Output: "[ 1.2] reboot: Power down"}, "killed by signal SIGSEGV"},
		{&platform.InstanceError{Err: errors.New("the guest's kernel has panicked"), Output: "[ 1.1] Kernel panic - not syncing: sysrq\n[ 1.2] more"}, "Kernel panic - not syncing: sysrq"},
		{fmt.Errorf("waiting: %w", context.DeadlineExceeded), "waiting: context deadline exceeded"},
	} {
		if got := lastWords(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

// A container that breaks on this host is held, and others go on.
func TestFaultsOfContainer(t *testing.T) {
	s := isolated(t, "container")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sample, err := breakInstances(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]isolation.FaultOutcome{"crash": isolation.Held, "memory": isolation.Held, "forks": isolation.Held, "panic": isolation.NotPossible}
	if len(sample.Faults) != len(want) {
		t.Fatalf("%+v", sample.Faults)
	}
	for _, f := range sample.Faults {
		if f.Outcome == isolation.TooSlow || f.Outcome == isolation.Disturbed && strings.Contains(f.Why, "was silent for") { // on a busy host
			t.Logf("%s: %s", f.Kind, f.Why)
			continue
		}
		if f.Outcome != want[f.Kind] || len(f.Witnesses) != 2 || f.Witnesses[0].Beats == 0 || f.Witnesses[1].Beats == 0 {
			t.Errorf("%+v, want %q", f, want[f.Kind])
		}
	}
}

// A panic takes the machine with it, and is refused to a container in it.
func TestPanicInArena(t *testing.T) {
	s := isolated(t, platform.ThrowawayName)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := insidePrepared(ctx, s, "panic", nil, "fault", "container/panic", "process/panic")
	if err != nil {
		t.Fatal(err)
	}
	got, err := inMachine(ctx, p, arenaSilence)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if f := got[0]; f.Outcome != isolation.NotPossible && f.Outcome != isolation.Disturbed || len(f.Attempts) < 4 {
		t.Errorf("of a container: %+v", f)
	}
	if f := got[1]; f.Outcome != isolation.Lost || !strings.Contains(f.Why, "Kernel panic - not syncing: sysrq triggered crash") {
		t.Errorf("of a process: %+v", f)
	}
}
