package report

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// interferenceRun is a run in which the victim keeps half beside spin, and all beside the
// others; the container's is silent beside fork without limits.
func interferenceRun() *result.Run {
	run := synthetic{startup: 1, memory: 1, emulated: true}.run()
	for _, p := range []struct {
		name    string
		limited []bool
	}{{"process", []bool{false}}, {"container", []bool{false, true}}, {"vm-q35", []bool{true}}} {
		for _, limited := range p.limited {
			for _, n := range isolation.Neighbours {
				s := result.Sample{
					Experiment: "interference", Platform: p.name, Outcome: "reported", Each: map[string][]float64{},
					Interference: &isolation.Interference{Neighbour: n.Name, Limited: limited, Fate: isolation.Stopped, FateWhy: "it had 1 s", Files: "ext4", Network: "the host's loopback"},
					Values:       map[string]float64{"alone_requests": 1000, "alone_request_p99_ns": 1e5, "alone_request_p99_low_ns": 0.9e5, "alone_request_p99_high_ns": 1.1e5, "beside_requests": 300, "beside_request_p99_ns": 4e5},
				}
				for _, measure := range isolation.Measures {
					kept := 1.0
					if n.Name == "spin" {
						kept = 0.5
					}
					for i := range 6 {
						s.Each["before_"+measure.Name] = append(s.Each["before_"+measure.Name], 100+float64(i))
						s.Each["beside_"+measure.Name] = append(s.Each["beside_"+measure.Name], kept*(100+float64(i)))
					}
					s.Each["after_"+measure.Name] = []float64{101, 102}
				}
				if n.Name == "fork" && p.name == "container" && !limited {
					for _, measure := range []string{"request", "network"} {
						delete(s.Each, "beside_"+measure)
						s.Interference.Silent = append(s.Interference.Silent, measure)
					}
					delete(s.Values, "beside_requests")
					s.Outcome, s.Why = isolation.DidNotReport, "beside the neighbour: request: no answer within 5s"
				}
				run.Samples = append(run.Samples, s)
			}
		}
	}
	return run
}

func TestInterference(t *testing.T) {
	m := newModel(interferenceRun())
	s, any := m.interferenceSection()
	if !any {
		t.Fatal("there is no section")
	}
	text := interferenceText(s)
	for _, want := range []string{
		"with the whole interval below that: the plain process in 5 of 25, the container without limits in 5 of 23,", "The surest and largest losses: the plain process kept 50% (",
		"Beside a neighbour that starts processes without end, the container without limits did not report: beside the neighbour: request: no answer within 5s.",
		"of 23 comparisons, the victim kept clearly more in the container with them than without (the intervals do not touch) in 0, clearly less in 0, and in 23 no difference is shown",
		"4.00 *", "vm-q35 (emulated)", "An emulated machine competes as an emulator",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the section does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "How steady the host was") {
		t.Error("the host was steady, and the section says otherwise")
	}
	for _, b := range s.Blocks {
		f, ok := b.(*figure)
		if !ok {
			continue
		}
		if want := "container without limits beside fork: computing 100%"; !strings.Contains(f.Alt, want) || !strings.Contains(f.Alt, "sending did not report") {
			t.Errorf("the figure's text is %q", f.Alt)
		}
		if _, err := renderPNG(f); err != nil {
			t.Error(err)
		}
	}
	if _, any := newModel(synthetic{startup: 1}.run()).interferenceSection(); any {
		t.Error("a run without interference has a section on it")
	}
}

// interferenceText is the text of a section.
func interferenceText(s section) string {
	var b strings.Builder
	for _, block := range slices.Concat(s.Blocks, s.Details) {
		switch x := block.(type) {
		case paragraph:
			b.WriteString(x.Lead + " " + x.Text + "\n")
		case points:
			b.WriteString(strings.Join(x, "\n") + "\n")
		case *table:
			for _, row := range x.Rows {
				b.WriteString(strings.Join(row, " | ") + "\n")
			}
			b.WriteString(strings.Join(x.Notes, "\n") + "\n")
		}
	}
	return b.String()
}

// The journal's schema knows what a sample of it is.
func TestInterferenceSchema(t *testing.T) {
	schema := schemaOf(t, "journal")
	for _, s := range interferenceRun().Samples {
		b, err := json.Marshal(result.Record{Sample: &s})
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(t, schema, b); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
	}
	if valid(t, schema, []byte(`{"sample":{"experiment":"interference","platform":"process","round":0,"position":0,"at_ns":1,"interference":{"neighbour":7}}}`)) == nil {
		t.Error("the schema takes a neighbour that is a number")
	}
}

// A drift of the host is said, and what is missing in an old or broken journal breaks nothing.
func TestInterferenceOfAnUnsteadyHost(t *testing.T) {
	run := interferenceRun()
	for i := range run.Samples {
		s := &run.Samples[i]
		if s.Interference == nil {
			continue
		}
		s.Disturbed = "others used the CPU"
		s.Each["after_cpu"] = []float64{10}
		delete(s.Each, "before_disk")
		s.Each["beside_memory"] = []float64{math.Inf(1), 0}
		s.Values = nil
		if s.Interference.Neighbour == "alloc" && s.Interference.Limited {
			s.Interference.Fate = isolation.Killed
		}
	}
	s, _ := newModel(run).interferenceSection()
	text := interferenceText(s)
	for _, want := range []string{"How steady the host was: in 20 of 80 cases", "Before or during 20 of 20 visits other programs used the host.",
		`Which neighbours met a wall: out of memory, and so killed: "alloc" in the container with limits and "alloc" in vm-q35 (emulated).`} {
		if !strings.Contains(text, want) {
			t.Errorf("the section does not say %q:\n%s", want, text)
		}
	}
}

func TestLossCell(t *testing.T) {
	for _, c := range []struct {
		r    result.Ratio
		want string
	}{
		{result.Ratio{Ratio: 0.45, Low: 0.37, High: 0.51}, "55% (49 to 63)"},
		{result.Ratio{Ratio: 1.2, Low: 0.9, High: 1.5}, "−20% (−50 to 10)"},
		{result.Ratio{Ratio: 1.001, Low: 1, High: 1.002}, "0% (0 to 0)"},
		{result.Ratio{Ratio: 0.5, Low: math.NaN(), High: math.NaN()}, "50%"},
		{result.Ratio{Ratio: math.NaN()}, "–"},
	} {
		if got := lossCell(c.r); got != c.want {
			t.Errorf("lossCell(%+v) = %q, want %q", c.r, got, c.want)
		}
	}
}
