package main

import (
	"slices"
	"strings"
	"testing"

	"vmctr/bench/experiment"
	"vmctr/bench/platform"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// TestProfileDoes: a longer profile does what a shorter one does, and more.
func TestProfileDoes(t *testing.T) {
	for _, tt := range []struct {
		from string
		does []bool // in quick, standard, thorough
	}{
		{"", []bool{true, true, true}},
		{"standard", []bool{false, true, true}},
		{"thorough", []bool{false, false, true}},
	} {
		for i, p := range profiles {
			if got := p.does(experiment.Experiment{From: tt.from}); got != tt.does[i] {
				t.Errorf("%s does an experiment from %q on: %v", p.name, tt.from, got)
			}
		}
	}
}

// TestAllChooses: the experiment with a dozen machines of its own is done if asked
// for, or if there is time and nothing else was said.
func TestAllChooses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		c      allCommand
		matrix bool
	}{
		{"quick", allCommand{Profile: "quick"}, false},
		{"quick, asked for", allCommand{Profile: "quick", Experiments: []string{"startup", "vm-matrix"}}, true},
		{"standard", allCommand{Profile: "standard"}, true},
		{"thorough", allCommand{Profile: "thorough"}, true},
		{"standard, another one", allCommand{Profile: "standard", Experiments: []string{"startup"}}, false},
		{"standard, on a few platforms", allCommand{Profile: "standard", Platforms: []string{"process"}}, false},
		{"asked for, on a few platforms", allCommand{Profile: "standard", Platforms: []string{"process"}, Experiments: []string{"vm-matrix"}}, true},
	} {
		ch, err := tt.c.validate()
		if err != nil {
			t.Fatal(err)
		}
		var experiments, variants, others []string
		for _, e := range ch.experiments {
			experiments = append(experiments, e.Name)
		}
		for _, p := range ch.platforms {
			switch p.Info().Experiment {
			case "":
				others = append(others, p.Info().Name)
			case isolation.Group: // it is one for all profiles
			default:
				variants = append(variants, p.Info().Name)
			}
		}
		if slices.Contains(experiments, "probes") != slices.ContainsFunc(ch.platforms, func(p platform.Platform) bool { return p.Info().Name == platform.ThrowawayName }) {
			t.Errorf("%s: experiments %q, and the throwaway machine", tt.name, experiments)
		}
		if slices.Contains(experiments, "vm-matrix") != tt.matrix || (len(variants) > 0) != tt.matrix {
			t.Errorf("%s: experiments %q, variants %q", tt.name, experiments, variants)
		}
		if !slices.Contains(experiments, "identity") || !slices.Contains(others, "process") {
			t.Errorf("%s: experiments %q on %q", tt.name, experiments, others)
		}
		for _, e := range ch.experiments {
			for _, p := range ch.platforms {
				of := "" // the platforms that take part are for this
				if strings.HasPrefix(e.Name, "vm-") {
					of = e.Name
				}
				also := e.Group != "" && p.Info().Experiment == e.Group
				if takesPart(p, e) != (p.Info().Experiment == of || also) {
					t.Errorf("%s: %s on %s: %v", tt.name, e.Name, p.Info().Name, takesPart(p, e))
				}
			}
		}
	}
}

// TestChangedSince: a platform that is not what it was when its run was stopped is not
// measured on: only what its figures depend on counts.
func TestChangedSince(t *testing.T) {
	details := func(change ...string) map[string]string {
		d := map[string]string{"accelerator": "tcg, a probe took 1 s", "guest kernel": "6.1", "saved": "in 3 s"}
		for i := 0; i < len(change); i += 2 {
			d[change[i]] = change[i+1]
		}
		return d
	}
	s := &stopped{run: &result.Run{Platforms: []result.Platform{{Name: "vm", Accelerator: "tcg", Details: details()}, {Name: "never ready"}}}}
	for _, tt := range []struct {
		name string
		now  result.Platform
		want string
	}{
		{"the same", result.Platform{Name: "vm", Accelerator: "tcg", Details: details()}, ""},
		{"prepared anew", result.Platform{Name: "vm", Accelerator: "tcg", Details: details("accelerator", "tcg, a probe took 2 s", "saved", "in 4 s")}, ""},
		{"another accelerator", result.Platform{Name: "vm", Accelerator: "kvm", Details: details()}, `accelerator has changed from "tcg" to "kvm"`},
		{"another kernel", result.Platform{Name: "vm", Accelerator: "tcg", Details: details("guest kernel", "6.12")}, `guest kernel has changed from "6.1" to "6.12"`},
		{"it was never ready", result.Platform{Name: "never ready", Details: details()}, ""},
		{"it was never reached", result.Platform{Name: "other", Details: details()}, ""},
	} {
		if got := s.changedSince(tt.now); got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want)) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
