package report

import (
	"testing"

	"vmctr/report/result"
)

// TestAbsent: why a platform has no figure is said in a word, and a value that none has
// is left out.
func TestAbsent(t *testing.T) {
	run := &result.Run{
		Header: result.Header{Experiments: []string{"startup"}},
		Platforms: []result.Platform{
			{Name: "process", Kind: "process", Status: result.Ready}, {Name: "crun", Kind: "container", Status: result.Ready},
			{Name: "runc", Kind: "container", Status: result.Unavailable}, {Name: "vm-q35", Kind: "vm", Status: result.Ready},
		},
		Samples: []result.Sample{
			{Experiment: "startup", Platform: "process", Values: map[string]float64{"first_instruction_ns": 1e6, "http_ns": 2e6}},
			{Experiment: "startup", Platform: "crun", Values: map[string]float64{"first_instruction_ns": 2e7}},
		},
	}
	for _, tt := range []struct{ value, platform, want string }{
		{"http_ns", "crun", "no network"},
		{"http_ns", "runc", "unavailable"},
		{"http_ns", "vm-q35", "not measured"}, // it has no first instruction either
		{"first_instruction_ns", "vm-q35", "not measured"},
	} {
		m := newModel(run)
		for _, p := range m.platforms {
			if got := m.absent(m.metric(tt.value), p); p.Name == tt.platform && got != tt.want {
				t.Errorf("%s of %s: %q, want %q", tt.value, tt.platform, got, tt.want)
			}
		}
	}
	titles := func(want ...string) {
		t.Helper()
		var got []string
		for _, row := range newModel(run).tableRows(&notes{numbers: map[string]int{}}) {
			if row[1] == "" && row[5] == "" {
				got = append(got, row[0])
			}
		}
		if len(got) != len(want) {
			t.Errorf("the table is about %q, want %q", got, want)
		}
	}
	titles("Startup time", "First HTTP response")
	delete(run.Samples[0].Values, "http_ns") // as in a journal of an earlier version
	titles("Startup time")
}
