package report

import (
	"strings"
	"testing"

	"vmctr/report/result"
)

// groupRun has platforms of several groups: three containers, machines that come up in
// three ways, and one that nobody knows.
func groupRun() *result.Run {
	run := synthetic{}.run()
	run.Platforms, run.Samples, run.Header.Platforms = nil, nil, nil
	for _, p := range []struct {
		name, kind, phase string
		emulated          bool
		ms                float64
		n                 int
	}{
		{"process", "process", "exec", false, 1, 8}, {"runc", "container", "runtime", false, 40, 8}, {"container", "container", "clone", false, 4, 8}, {"crun", "container", "runtime", false, 30, 3},
		{"vm-pc", "vm", "kernel", true, 1400, 8}, {"vm-q35", "vm", "kernel", true, 1200, 8}, {"vm-snapshot", "vm", "restore", true, 140, 8}, {"vm-bare", "vm", "qemu", true, 50, 8},
		{"wasm", "other", "", false, 2, 8}, {"process-2", "process", "exec", false, 1, 8},
	} {
		run.Platforms = append(run.Platforms, result.Platform{Name: p.name, Kind: p.kind, Status: result.Ready, Emulated: p.emulated})
		for i := range p.n {
			s := result.Sample{Experiment: "startup", Platform: p.name, Round: i, Values: map[string]float64{"first_instruction_ns": p.ms * ms * (1 + 0.01*float64(i))}}
			if p.phase != "" {
				s.Phases = []result.Phase{{Name: "start"}, {Name: p.phase, Ns: 1000}}
			}
			run.Samples = append(run.Samples, s)
		}
	}
	return run
}

// TestGroupWords: what is said of platforms together is true of each of them, and nothing
// is claimed that samples do not show.
func TestGroupWords(t *testing.T) {
	m := newModel(groupRun())
	got := strings.ReplaceAll(strings.Join(m.groupWords(m.metric("first_instruction_ns"), tookTime), "\n"), nbsp, " ")
	for _, want := range []string{
		"Plain processes (the fastest first: process and process-2) took 1.03 ms in the median: process-2 1.00 (0.967 to 1.03) times as long as the plain process.",
		"Containers (the fastest first: container, crun and runc) took 4.14 to 41.4 ms in the median: 4.00 to 40.0 times as long as the plain process.",
		"vm-snapshot (emulated), which goes on from a saved state, took 145 ms (140 to 148 ms, n = 8): 140 (135 to 145) times as long as the plain process and 3.50 (",
		"vm-bare (emulated), a machine without an operating system, took 51.8 ms",
		"Virtual machines that boot a kernel (the fastest first: vm-q35 and vm-pc, both emulated) took 1.24 to 1.45 s in the median: 1 200 to 1 400 times as long as the plain process and ",
		"wasm took 2.07 ms",
		"No difference was shown, since the interval of the ratio holds 1, between process-2 and the plain process",
		"Too few samples to give an interval, and so no difference for certain: crun and the plain process.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		t.Log("\n" + got)
	}
}

// TestByWay: each value is named once.
func TestByWay(t *testing.T) {
	m := newModel(groupRun())
	var values []valued
	for _, p := range m.platforms {
		values = append(values, valued{p, float64(len(p.Name)) * mib})
	}
	const want = "7.00 to 9.00 MiB on plain processes (process and process-2); 4.00 to 9.00 MiB on containers (runc, container and crun); 11.0 MiB on vm-snapshot (emulated); 7.00 MiB on vm-bare (emulated); " +
		"5.00 to 6.00 MiB on virtual machines that boot a kernel (vm-pc and vm-q35, both emulated); 4.00 MiB on wasm"
	if got := strings.ReplaceAll(m.byWay(values, bytesSpan), nbsp, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := m.byWay(nil, bytesSpan); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

// TestSides: each finding is where its interval puts it.
func TestSides(t *testing.T) {
	p := &platform{Platform: result.Platform{Name: "runc"}}
	nan := result.Compare([]float64{2}, []float64{1}, 1)
	got := sides([]finding{
		{p, result.Ratio{Ratio: 2, Low: 1.5, High: 3}, "with 10"}, {p, result.Ratio{Ratio: 1, Low: 0.9, High: 1.1}, ""}, {p, result.Ratio{Ratio: 0.5, Low: 0.4, High: 0.6}, ""}, {p, nan, ""},
	}, "With others", "Longer", "Shorter")
	want := points{
		"Longer: runc 2.00 (1.50 to 3.00) times with 10.", "Shorter: runc 0.500 (0.400 to 0.600) times.",
		"With others, no difference was shown, since the interval of the ratio holds 1: runc 1.00 (0.900 to 1.10) times.",
		"With others: 2.00 times as long, on runc. There are too few samples for an interval, so that nothing is certain.",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// TestMachineOf: a container in a machine is held against the machine that it is in.
func TestMachineOf(t *testing.T) {
	run := groupRun()
	for i := range run.Platforms {
		switch p := &run.Platforms[i]; p.Name {
		case "vm-pc":
			p.Details = map[string]string{"machine type": "pc"}
		case "vm-q35", "vm-snapshot":
			p.Details = map[string]string{"machine type": "q35"}
		}
	}
	m := newModel(run)
	for typ, want := range map[string]string{"q35": "vm-q35", "pc": "vm-pc", "microvm": "vm-pc", "": "vm-pc"} {
		p := &platform{Platform: result.Platform{Name: "nested", Details: map[string]string{"machine type": typ}}}
		if got := m.metric("first_instruction_ns").machineOf(p); got == nil || got.Platform.Name != want {
			t.Errorf("of %q: %+v", typ, got)
		}
	}
}

// TestChance: an interval that excludes 1 is not enough where the corrected test does not
// tell two platforms apart.
func TestChance(t *testing.T) {
	m := newModel(groupRun())
	ms := m.metric("first_instruction_ns")
	family := m.family(ms)
	for i := range family {
		if family[i].A.Platform.Name == "runc" {
			family[i].Holm = 0.2
		}
	}
	if got := strings.Join(m.groupWords(ms, tookTime), "\n"); !strings.Contains(got, "does not exclude chance: runc and the plain process.") {
		t.Error(got)
	}
}
