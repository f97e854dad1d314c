package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"vmctr/report/result"
)

// TestMethod: the report says how the sampling of each platform ended, what was disturbed,
// what the host was like, and that the run was stopped; of an older journal nothing.
func TestMethod(t *testing.T) {
	text := func(run *result.Run) string {
		var b bytes.Buffer
		writeMarkdown(&b, newModel(run).document())
		return strings.ReplaceAll(b.String(), nbsp, " ")
	}
	run := synthetic{startup: 25, memory: 8}.run()
	words := []string{"Measured until", "disturbed", "What the host was like", "Stopped and resumed", "When it is enough"}
	old := text(run)
	for _, w := range words {
		if strings.Contains(old, w) {
			t.Errorf("of a journal without such records, the report says %q", w)
		}
	}
	end := func(platform string, width, aim float64, reason result.Reason) {
		run.Endings = append(run.Endings, result.Ending{Experiment: "startup", Platform: platform, Value: "first_instruction_ns", Samples: 25, HalfWidth: &width, Aim: aim, Reason: reason})
	}
	end("process", 0.012, 0.015, result.PrecisionReached)
	end("container", 0.014, 0.015, result.PrecisionReached)
	end("vm-q35", 0.21, 0.05, result.BudgetSpent)
	run.Blocks = []result.Block{
		{Experiment: "startup", Pressure: map[string]float64{"cpu some": 0.10, "io some": 0}, Steal: 0.004, MHz: []float64{800, 3600}, Load: 0.5},
		{Experiment: "startup", Pressure: map[string]float64{"cpu some": 0.30, "io some": 0}, Steal: 0.25, MHz: []float64{900, 3500}, Load: 2},
	}
	run.Resumes = []result.Resume{{AtNs: 90e9, Time: time.Date(2026, 1, 2, 4, 4, 5, 0, time.UTC), Cut: 17, Changed: []result.Change{{What: "boot_id", Was: "a", Is: "b"}}}}
	quiet := text(run)
	n := 0
	for i := range run.Samples {
		if s := &run.Samples[i]; s.Experiment == "startup" && s.Platform == "vm-q35" && !s.Warmup && n < 15 {
			s.Disturbed = "CPU pressure was 50% before it"
			n++
		}
	}
	loud := text(run)
	for _, want := range []string{
		"Measured until the median was known as well as was aimed at: process (1.2%, aimed at 1.5%) and container (1.4%, aimed at 1.5%).",
		"Measured until the time of the experiment was spent: vm-q35 (21%, aimed at 5.0%).",
		"startup | 2 | 20% (30%) | – | 0% (0%) | 13% (25%) | 1.2 (2.0) | 800 to 3600 MHz",
		"Stopped and resumed.", "This run had run for 1m30s when it was stopped, and went on at 2026-01-02 04:04:05 UTC.",
		"cut off (17 bytes)", "boot id was a and was then b", "This run was stopped and went on later",
	} {
		if !strings.Contains(strings.ReplaceAll(strings.ReplaceAll(loud, "**", ""), `\`, ""), want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	for _, want := range []string{"15 of the 75 samples (20%) were disturbed by others on the host", "Disturbed: 15 of the 102 samples (15%) were taken while", "those of vm-q35: 15 of 25. None was left out", "Its samples that were not disturbed have a median of"} {
		if !strings.Contains(loud, want) || strings.Contains(quiet, want) {
			t.Errorf("%q: disturbed %v, not disturbed %v", want, strings.Contains(loud, want), strings.Contains(quiet, want))
		}
	}
	for i := range run.Samples {
		run.Samples[i].Disturbed = "steal"
	}
	if want := "All of the 75 samples were disturbed by others on the host. None was left out."; !strings.Contains(text(run), want) {
		t.Errorf("of a run that was all disturbed, the report does not say %q", want)
	}
	if want := "None of the 75 samples was disturbed by others"; !strings.Contains(quiet, want) {
		t.Errorf("of a run that was not disturbed, the report does not say %q", want)
	}
}
