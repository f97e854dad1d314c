package isolation

import (
	"maps"
	"reflect"
	"slices"
	"testing"
)

func tried(variant string, verdicts map[string]Verdict) Probing {
	p := Probing{Variant: variant}
	for _, name := range slices.Sorted(maps.Keys(verdicts)) {
		p.Findings = append(p.Findings, Finding{Probe: name, Verdict: verdicts[name]})
	}
	return p
}

func TestEffect(t *testing.T) {
	const m = "seccomp"
	for _, tt := range []struct {
		name                     string
		bare, all, without, only Verdict
		mechanism, needed        string
		onlyNeeded               Verdict
		opened, alone            Answer
	}{
		{name: "necessary and sufficient", bare: Reached, all: Blocked, without: Reached, only: Blocked, opened: Yes, alone: Yes},
		{name: "one of several that suffice", bare: Reached, all: Blocked, without: Blocked, only: Blocked, opened: No, alone: Yes},
		{name: "it has no part in it", bare: Reached, all: Blocked, without: Blocked, only: Reached, opened: No, alone: No},
		{name: "necessary together with another", bare: Reached, all: Blocked, without: Reached, only: Reached, opened: Yes, alone: No},
		{name: "the container does not block it", bare: Reached, all: Reached, without: Reached, only: Reached, opened: No, alone: No},
		{name: "the control failed", bare: Blocked, all: Blocked, without: Blocked, only: Blocked},
		{name: "no control", all: Blocked, without: Reached, only: Blocked},
		{name: "could not be tried without it", bare: Reached, all: Blocked, without: Inconclusive, only: Blocked, alone: Yes},
		{name: "was not tried with it alone", bare: Reached, all: Blocked, without: Reached, opened: Yes},
		{name: "the container is unknown", bare: Reached, all: Inconclusive, without: Reached, only: Reached, alone: No},
		{name: "what it needs blocks it too", mechanism: "devices", needed: "mount namespace", bare: Reached, all: Blocked, without: Blocked, only: Blocked, onlyNeeded: Blocked, opened: No, alone: No},
		{name: "what it needs does not block it", mechanism: "devices", needed: "mount namespace", bare: Reached, all: Blocked, without: Reached, only: Blocked, onlyNeeded: Reached, opened: Yes, alone: Yes},
		{name: "of what it needs nothing is known", mechanism: "devices", needed: "mount namespace", bare: Reached, all: Blocked, without: Reached, only: Blocked, opened: Yes},
	} {
		mechanism := tt.mechanism
		if mechanism == "" {
			mechanism = m
		}
		var ps []Probing
		for variant, v := range map[string]Verdict{Bare: tt.bare, Contained: tt.all, Without(mechanism): tt.without, Only(mechanism): tt.only, Only(tt.needed): tt.onlyNeeded} {
			if v != "" {
				ps = append(ps, tried(variant, map[string]Verdict{"x": v}))
			}
		}
		if got, want := Ablate(ps).Effect("x", mechanism), (Effect{tt.opened, tt.alone}); got != want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, want)
		}
	}
}

func TestAblation(t *testing.T) {
	ps := []Probing{
		tried(Bare, map[string]Verdict{"zebra": Reached, "see-process": Reached, "lone": Reached}),
		tried(Contained, map[string]Verdict{"zebra": Blocked, "see-process": Blocked, "lone": Blocked}),
	}
	for _, m := range Mechanisms {
		without := map[string]Verdict{"zebra": Blocked, "see-process": Blocked, "lone": Blocked}
		only := map[string]Verdict{"zebra": Reached, "see-process": Reached, "lone": Reached}
		switch m.Name {
		case "pid namespace":
			without["see-process"] = Reached
		case "seccomp", "capabilities":
			only["zebra"] = Blocked
		case "limits":
			without["lone"] = Inconclusive
		}
		ps = append(ps, tried(Without(m.Name), without), tried(Only(m.Name), only))
	}
	ps = append(ps, tried(Bare, map[string]Verdict{"zebra": Blocked})) // the first one counts
	a := Ablate(ps)
	if want := []string{"see-process", "lone", "zebra"}; !slices.Equal(a.Probes, want) {
		t.Errorf("the probes are %q, want %q: those of Probes in their order, and then the others", a.Probes, want)
	}
	for m, want := range map[string][2]int{"pid namespace": {1, 0}, "seccomp": {0, 1}, "capabilities": {0, 1}, "limits": {0, 0}} {
		if opened, alone := a.Count(m); [2]int{opened, alone} != want {
			t.Errorf("%s opens %d and blocks %d alone, want %v", m, opened, alone, want)
		}
	}
	if got, want := a.Redundant(), map[string]int{"zebra": 2}; !maps.Equal(got, want) {
		t.Errorf("blocked by more than one: %v, want %v", got, want)
	}
}

func TestControlled(t *testing.T) {
	one := func(name string, v Verdict) Finding { return Finding{Probe: name, Verdict: v} }
	bare := func(findings ...Finding) Probing { return Probing{Variant: Bare, Findings: findings} }
	bad := Finding{Probe: "bad", Verdict: Blocked, Evidence: "open: ENOENT"}
	other := Probing{Variant: Contained, Findings: []Finding{one("good", Blocked)}}
	for _, tt := range []struct {
		name  string
		arena []Probing
		want  []Control
	}{
		{"all reach", []Probing{bare(one("good", Reached)), other, bare(one("good", Reached))}, nil},
		{"one never does", []Probing{bare(one("good", Reached), bad), bare(one("good", Reached), bad), other}, []Control{{"bad", "blocked: open: ENOENT"}}},
		{"each does once", []Probing{bare(one("good", Reached), bad), bare(one("good", Blocked), one("bad", Reached)), other}, nil},
		{"one no longer does", []Probing{bare(one("good", Reached)), other, bare(one("good", Inconclusive)), bare(one("good", Blocked))}, []Control{{"good", "reached at first, and when all else was done inconclusive"}}},
		{"one does so at the second time", []Probing{bare(one("good", Reached)), other, bare(one("good", Inconclusive)), bare(one("good", Reached))}, nil},
		{"there is none", []Probing{other}, nil},
	} {
		if got := FailedControls(tt.arena); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: failed are %v, want %v", tt.name, got, tt.want)
		}
	}
	arena := []Probing{bare(one("good", Reached), bad), other}
	findings := []Finding{one("good", Blocked), {Probe: "bad", Verdict: Blocked, Evidence: "EPERM"}, one("bad", Reached)}
	want := []Finding{
		one("good", Blocked),
		{Probe: "bad", Verdict: Inconclusive, Evidence: "its control failed (blocked: open: ENOENT); here: EPERM"},
		one("bad", Reached), // which needs no control
	}
	if got := Controlled(findings, arena); !reflect.DeepEqual(got, want) {
		t.Errorf("beside their controls: %+v, want %+v", got, want)
	}
	if got := Controlled(findings, nil); !reflect.DeepEqual(got, findings) {
		t.Errorf("without any control: %+v, want them as they are", got)
	}
}

// Every mechanism is tried missing and alone, once, and the control first and last.
func TestVariants(t *testing.T) {
	all := Variants()
	if all[0] != Bare || all[1] != Contained || all[len(all)-1] != Bare || len(all) != 3+2*len(Mechanisms) {
		t.Errorf("%q", all)
	}
	for _, m := range Mechanisms {
		if !slices.Contains(all, Without(m.Name)) || !slices.Contains(all, Only(m.Name)) {
			t.Errorf("%s is not tried", m.Name)
		}
	}
}
