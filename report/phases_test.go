package report

import (
	"strings"
	"testing"

	"vmctr/report/result"
)

// TestUntraced: a machine whose QEMU did not tell the firmware's phases apart is not
// taken for one that has them.
func TestUntraced(t *testing.T) {
	for _, tt := range []struct {
		name   string
		phases []result.Phase
		note   bool
	}{
		{"traced", []result.Phase{{Name: "start"}, {Name: "qemu", Ns: 10}, {Name: "firmware", Ns: 20}, {Name: "loader", Ns: 30}, {Name: "kernel", Ns: 40}}, false},
		{"not traced", []result.Phase{{Name: "start"}, {Name: "qemu", Ns: 10}, {Name: "firmware", Ns: 20}, {Name: "kernel", Ns: 40}}, true},
		{"restored", []result.Phase{{Name: "start"}, {Name: "qemu", Ns: 10}, {Name: "restore", Ns: 20}}, false},
	} {
		run := &result.Run{
			Header:    result.Header{Experiments: []string{"startup"}},
			Platforms: []result.Platform{{Name: "vm-q35", Kind: "vm", Status: result.Ready}},
			Samples:   []result.Sample{{Experiment: "startup", Platform: "vm-q35", Values: map[string]float64{"first_instruction_ns": 100}, Phases: tt.phases}},
		}
		m := newModel(run)
		lines := m.timelines("startup", m.metric("first_instruction_ns").present())
		if len(lines) != 1 || len(lines[0].Phases) != len(tt.phases) {
			t.Fatalf("%s: %+v", tt.name, lines)
		}
		sum := 0.0
		for _, p := range lines[0].Phases {
			sum += p.Took
		}
		if sum != lines[0].Total {
			t.Errorf("%s: the phases take %v of %v", tt.name, sum, lines[0].Total)
		}
		if got := strings.Contains(strings.Join(phaseTable("", lines).Notes, "\n"), `"firmware" is all until`); got != tt.note {
			t.Errorf("%s: the notes say so: %v", tt.name, got)
		}
		method := phaseMethod(lines)
		if method == nil {
			t.Fatalf("%s: no word on how a machine's phases are timed", tt.name)
		}
		for _, row := range method.Rows {
			if row[0] == "loader" && tt.name != "traced" {
				t.Errorf("%s: tells how the loader was timed, which it was not", tt.name)
			}
		}
	}
}

// TestLanes: every phase that the report can explain has somebody who works in it.
func TestLanes(t *testing.T) {
	for kind, phases := range phaseMeans {
		for phase := range phases {
			if laneOf(kind, phase) == "other" {
				t.Errorf("%s: nobody works in %q", kind, phase)
			}
		}
	}
	for _, tt := range []struct{ kind, phase, want string }{
		{"process", "exec", "host"}, {"container", "network", "new process"}, {"vm", "network", "guest's PID 1"},
		{"container", "engine", "engine"}, {"nested", "engine", "guest's PID 1"}, {"vm", "soup", "other"},
	} {
		if got := laneOf(tt.kind, tt.phase); got != tt.want {
			t.Errorf("%s: %q is of %q, not %q", tt.kind, tt.phase, got, tt.want)
		}
	}
}
