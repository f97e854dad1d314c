package report

import (
	"strings"
	"testing"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

func TestUseCases(t *testing.T) {
	of := func(run *result.Run) map[string]useCase {
		by := map[string]useCase{}
		for _, u := range newModel(run).useCases() {
			by[u.Name] = u
		}
		return by
	}
	times := func(run *result.Run, platform string, factor float64) *result.Run {
		for i := range run.Samples {
			if s := &run.Samples[i]; s.Platform == platform {
				for name := range s.Values {
					s.Values[name] *= factor
				}
			}
		}
		return run
	}
	sameKernel := synthetic{startup: 25, memory: 8}.run()
	for i := range sameKernel.Samples {
		if id := sameKernel.Samples[i].Identity; id != nil {
			id.BootID = hostBoot
		}
	}
	panics := wallsRun("rrrr", "bbbr", "bbrr", "bbbb", false)
	for platform, outcome := range map[string]isolation.FaultOutcome{"container": isolation.NotPossible, "vm-q35": isolation.Held} {
		panics.Samples = append(panics.Samples, result.Sample{Experiment: "faults", Platform: platform, Faults: []isolation.Fault{{Kind: "panic", Outcome: outcome}}})
	}
	for _, tt := range []struct {
		name string
		run  *result.Run
		use  string
		mark markOf
		want string
	}{
		{"complete", synthetic{startup: 25, memory: 8}.run(), "Legacy applications", partly, "of its own (Linux" + nbsp + "6.1.0-28-cloud-amd64)"},
		{"one kernel", sameKernel, "Legacy applications", disagrees, "vm-q35 by the host's kernel"},
		{"complete", synthetic{startup: 25, memory: 8}.run(), "Several operating systems", partly, "no other operating system was started"},
		{"one kernel", sameKernel, "Several operating systems", unasked, "no machine was there to bring another one"},
		{"no attempts", synthetic{startup: 25, memory: 8}.run(), "Security-critical applications", unasked, "not made"},
		{"attempts", wallsRun("rrrr", "bbbr", "bbrr", "bbbb", false), "Security-critical applications", agrees, "From the container, 2 of 4" + nbsp + "attempts to get out reached the host; from vm-q35, 0 of 4."},
		{"panics", panics, "Security-critical applications", agrees, "on purpose: not possible from the container, contained from vm-q35."},
		{"attempts against it", wallsRun("rrrr", "bbbr", "bbbb", "brbb", false), "Security-critical applications", disagrees, "from vm-q35, 1 of 4."},
		{"complete", synthetic{startup: 25, memory: 8}.run(), "Microservices", agrees, "would do for"},
		{"a large container", times(synthetic{startup: 25, memory: 8}.run(), "container", 1000), "Microservices", disagrees, "GiB in the container"},
		{"emulated", synthetic{startup: 25, memory: 8, emulated: true}.run(), "Microservices", agreesEmulated, "vm-q35 (emulated)"},
		{"no memory", synthetic{startup: 25}.run(), "Microservices", unasked, "container (not measured)"},
		{"complete", synthetic{startup: 25, memory: 8}.run(), "CI/CD pipelines", agrees, "times as long. For that to be 5% of the time"},
		{"a slow container", times(synthetic{startup: 25, memory: 8}.run(), "container", 1000), "CI/CD pipelines", disagrees, "0.0"},
		{"few samples", synthetic{startup: 4, memory: 8}.run(), "CI/CD pipelines", undecided, "times as long"},
		{"complete", synthetic{startup: 25, memory: 8}.run(), "DevOps", partly, "equal SHA-256"},
		{"none", synthetic{startup: 25, memory: 8}.run(), "Both at once", unasked, "No container in a machine"},
		{"nested", nestedRun(), "Both at once", agrees, "in a container there"},
		{"empty", &result.Run{}, "Both at once", unasked, ""},
		{"empty", &result.Run{}, "CI/CD pipelines", unasked, "not asked for startup"},
	} {
		got := of(tt.run)[tt.use]
		if got.Mark != tt.mark || !strings.Contains(got.Text, tt.want) {
			t.Errorf("%s: %s: %s: %s, want %s with %q", tt.name, tt.use, got.Mark, got.Text, tt.mark, tt.want)
		}
	}
}

func TestFits(t *testing.T) {
	for bytes, want := range map[float64]string{1 << 30: "1", 1 << 31: "–", 300 << 20: "3", 0: "–", -5: "–"} {
		if got := fitsText(bytes); got != want {
			t.Errorf("%v bytes: %s, want %s", bytes, got, want)
		}
	}
}
