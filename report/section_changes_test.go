package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"vmctr/report/result"
)

// changesRun is a run whose starts take longer the more there is, on the container, and
// not on the machine.
func changesRun() *result.Run {
	run := synthetic{emulated: true}.run()
	run.Samples = nil
	add := func(s result.Sample, ms ...float64) {
		for i, v := range ms {
			s.Round = i
			s.Values = map[string]float64{"first_instruction_ns": v * 1e6}
			if s.Experiment == togetherExperiment {
				s.Values = map[string]float64{"makespan_ns": v * 1e6, "fastest_ns": v * 1e6 / 2, "skew_ns": 5e4}
			}
			if s.Experiment == sizeExperiment && i == 0 && s.N > 0 {
				s.Values["prepare_ns"], s.Values["unpack_ns"] = 2e6, 3e7
			}
			run.Samples = append(run.Samples, s)
		}
	}
	for _, n := range []int{1000, 0, 10, 1, 100} { // in the random order of a round
		t := 6 + float64(n)/100
		add(result.Sample{Experiment: runningExperiment, Platform: "container", N: n}, t, t*1.01, t*1.02, t*0.99, t*0.98, t*1.03, t)
	}
	for _, n := range []int{0, 8} {
		add(result.Sample{Experiment: runningExperiment, Platform: "vm-q35", N: n}, 2000, 2010, 1990, 2020, 1980, 2005, 1995)
	}
	for _, n := range []int{4, 1, 2} {
		t := 6 * float64(n)
		add(result.Sample{Experiment: togetherExperiment, Platform: "container", N: n}, t, t*1.01, t*1.02, t*0.99, t*0.98, t*1.03, t)
	}
	for _, n := range []int{0, 256} {
		add(result.Sample{Experiment: sizeExperiment, Platform: "container", Series: "data", N: n}, 6, 6.1, 5.9, 6.2, 5.8, 6, 6)
	}
	add(result.Sample{Experiment: sizeExperiment, Platform: "container", Series: "files", N: 1000}, 6)
	add(result.Sample{Experiment: coldExperiment, Platform: "container", Series: "warm"}, 6, 6.1, 5.9, 6.2, 5.8, 6, 6)
	add(result.Sample{Experiment: coldExperiment, Platform: "container", Series: "cold"}, 12, 12.1, 11.9, 12.2, 11.8, 12, 12)
	run.Notes = append(run.Notes, result.Note{Text: "startup-running: vm-q35: 32 instances are too many here: judged by the first 8, the memory in use would be 20 GiB, of 18 GiB at most",
		Experiment: runningExperiment, Platform: "vm-q35", N: 32})
	for _, n := range []int{64, 16} {
		run.Notes = append(run.Notes, result.Note{Text: fmt.Sprintf("startup-running: vm-q35: %d instances are too many here: why", n), Experiment: runningExperiment, Platform: "vm-q35", N: n})
	}
	return run
}

func TestChanges(t *testing.T) {
	m := newModel(changesRun())
	s, any := m.changesSection()
	if !any {
		t.Fatal("there is no section")
	}
	var b bytes.Buffer
	writeMarkdown(&b, &document{Sections: []section{s, {Blocks: s.Details}}})
	text := strings.ReplaceAll(b.String(), nbsp, " ")
	for _, want := range []string{
		"- Longer than with none running: the container 2.67 (2.61 to 2.72) times with 1,000.",
		"- With others running, no difference was shown, since the interval of the ratio holds 1: vm-q35 (emulated) 1.00 (0.993 to 1.01) times with 8.",
		"| container | 0 | 7 |",
		"|  | 1,000 | 7 |",
		"- vm-q35: 16 instances are too many here: why. Nor was there room or time for 32, 64.",
		"- Slower than if the CPUs were shared without loss: the container 2.00 (1.96 to 2.04) times with 4.",
		"| container | 4 | 12.0 ms | 24.0 ms | 4.00 (3.92 to 4.08) | 2.00 |",
		"with the most at once by 50.0 µs in the median.",
		"holds 1: the container 1.00 (0.968 to 1.02) times with 256 MiB.",
		"- With more small files: 1.00 times as long, on the container. There are too few samples for an interval",
		"| 256 MiB more | container | 30.0 ms | 2.00 ms |",
		"- Longer with cold caches than with warm ones: the container 2.00 (",
		"the host of this virtual machine (KVM)",
		emulatedNote,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	doc := m.document()
	var names []string
	for _, f := range doc.figures() {
		if strings.HasPrefix(f.Name, "startup-") {
			names = append(names, f.Name)
			if _, err := renderSVG(f); err != nil {
				t.Error(err)
			}
		}
	}
	if got := strings.Join(names, " "); got != "startup-running startup-together startup-size startup-cold" {
		t.Errorf("figures: %s", got)
	}
	if _, err := renderPDF(doc, A4); err != nil {
		t.Error(err)
	}
	// What was out of reach stands where it matters, and not on the first page.
	if strings.Contains(strings.Join(m.alerts(), "\n"), "too many here") {
		t.Errorf("alerts: %q", m.alerts())
	}
	if _, any := newModel(synthetic{startup: 4}.run()).changesSection(); any {
		t.Error("a run without such samples has the section")
	}
	// Where the caches could not be emptied, that is all there is to say.
	only := synthetic{}.run()
	only.Notes = []result.Note{{Text: "startup-cold: container: no cold page cache: permission denied", Experiment: coldExperiment, Platform: "container"}}
	s, any = newModel(only).changesSection()
	b.Reset()
	writeMarkdown(&b, &document{Sections: []section{s}})
	if !any || !strings.Contains(b.String(), "container: no cold page cache: permission denied.") {
		t.Errorf("%v: %s", any, b.String())
	}
}

func TestNumberTicks(t *testing.T) {
	var labels []string
	for _, tick := range numberTicks([]int{0, 1, 2, 4, 8, 10, 16, 32, 64, 100, 1000}) {
		if tick.Label != "" {
			labels = append(labels, tick.Label)
		}
	}
	if got := strings.Join(labels, " "); got != "0 1 2 4 10 16 32 64 100 1,000" {
		t.Errorf("labels %s", got)
	}
}
