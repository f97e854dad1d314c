package report

import (
	"strings"
	"testing"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

func faultsRun() *result.Run {
	f := func(of, kind string, o isolation.FaultOutcome, why string) isolation.Fault {
		return isolation.Fault{Kind: kind, Of: of, Outcome: o, Why: why}
	}
	return &result.Run{
		Header: result.Header{Experiments: []string{"faults"}},
		Platforms: []result.Platform{
			{Name: "container", Kind: "container", Status: result.Ready}, {Name: "vm-q35", Kind: "vm", Status: result.Ready, Emulated: true},
			{Name: "throwaway", Kind: "vm", Experiment: isolation.Group, Status: result.Ready, Emulated: true, Details: map[string]string{"guest memory": "512 MiB"}},
		},
		Samples: []result.Sample{
			{Experiment: "faults", Platform: "throwaway", Faults: []isolation.Fault{
				f("container", "crash", isolation.Held, "it ended: SIGSEGV"), f("container", "panic", isolation.NotPossible, "all that was tried was refused: reboot(2): EPERM"),
				f("process", "crash", isolation.Held, "it ended: SIGSEGV"), f("process", "memory", isolation.Disturbed, "the host had no memory left"),
				f("process", "forks", isolation.NotHeld, "none was refused"), f("process", "panic", isolation.Lost, "Kernel panic - not syncing"),
			}},
			{Experiment: "faults", Platform: "container", Faults: []isolation.Fault{f("", "crash", isolation.Held, "it ended"), f("", "forks", isolation.Held, "60 at once")}},
			{Experiment: "faults", Platform: "vm-q35", Error: "it did not come up"},
		},
	}
}

func TestFaults(t *testing.T) {
	s, any := newModel(faultsRun()).faultsSection()
	if !any {
		t.Fatal("there is no section")
	}
	text := interferenceText(s)
	for _, want := range []string{
		"The plain process in the throwaway machine: a panic of the kernel took the host with it; taking all memory disturbed the host; forking without end was held by nothing but its own bound; a crash was contained.",
		"The container in the throwaway machine: a crash was contained; a panic of the kernel was not possible, as far as the attempts show.",
		"a crash and forking without end were contained.",
		"it crashes | contained | contained | contained",
		"it panics the kernel | host lost | not possible | not tried",
		"panic | process ° | Kernel panic - not syncing",
		"whose kernel stands for the host's (emulated).",
		"(512 MiB)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the section does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "vm-q35") {
		t.Error("a platform of which nothing is known has a column")
	}
	if _, any := newModel(synthetic{startup: 1}.run()).faultsSection(); any {
		t.Error("a run without faults has a section on them")
	}
	// Without the throwaway machine nothing is said of it.
	run := faultsRun()
	run.Platforms, run.Samples = run.Platforms[:2], run.Samples[1:]
	s, any = newModel(run).faultsSection()
	if text := interferenceText(s); !any || strings.Contains(text, "thrown away") || strings.Contains(text, "°") {
		t.Errorf("without the machine: %s", text)
	}
}
