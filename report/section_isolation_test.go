package report

import (
	"slices"
	"strings"
	"testing"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// found are verdicts on probes by the letters b, r and i, in the order of the catalogue.
func found(verdicts string) (all []isolation.Finding) {
	for i, v := range verdicts {
		all = append(all, isolation.Finding{Probe: isolation.Probes[i].Name, Evidence: "kill(2): EPERM",
			Verdict: map[rune]isolation.Verdict{'b': isolation.Blocked, 'r': isolation.Reached, 'i': isolation.Inconclusive}[v]})
	}
	return all
}

// wallsRun is a run of probes, of so many of them.
func wallsRun(bare, contained, container, vm string, emulated bool) *result.Run {
	run := synthetic{startup: 1, memory: 1, emulated: emulated}.run()
	run.Header.Experiments = append(run.Header.Experiments, "probes")
	run.Platforms = append(run.Platforms, result.Platform{Name: "throwaway", Kind: "vm", Experiment: isolation.Group, Status: result.Ready, Emulated: emulated})
	probing := func(variant, verdicts string) isolation.Probing {
		return isolation.Probing{Variant: variant, BootID: "a", HostBootID: "a", Findings: found(verdicts)}
	}
	if bare != "" {
		arena := []isolation.Probing{probing(isolation.Bare, bare), probing(isolation.Contained, contained)}
		for _, mech := range isolation.Mechanisms {
			arena = append(arena, probing(isolation.Without(mech.Name), contained), probing(isolation.Only(mech.Name), bare))
		}
		// Without the first one, what the first probe tries comes through; the second wall alone stops it.
		arena[2].Findings[0].Verdict = isolation.Reached
		arena[5].Findings[0].Verdict = isolation.Blocked
		run.Samples = append(run.Samples, result.Sample{Experiment: "probes", Platform: "throwaway", Probings: arena})
	}
	run.Samples = append(run.Samples, result.Sample{Experiment: "probes", Platform: "container", Probings: []isolation.Probing{probing("", container)}})
	own := probing("", vm)
	own.BootID = "b"
	own.Findings[1].Own = true
	run.Samples = append(run.Samples, result.Sample{Experiment: "probes", Platform: "vm-q35", Probings: []isolation.Probing{own}})
	return run
}

func TestWalls(t *testing.T) {
	m := newModel(wallsRun("rrrr", "bbbr", "bbri", "bbbi", false))
	s, any := m.wallsSection()
	if !any {
		t.Fatal("there is no section")
	}
	text := interferenceText(s)
	title := func(i int) string { return lowerFirst(isolation.Probes[i].Title) }
	for _, want := range []string{
		"The container: of 3" + nbsp + "attempts to get out, 2 were blocked, and 1 reached the host: " + title(2) + ". 1 more could not be tried there.",
		"vm-q35: of 3" + nbsp + "attempts to get out, 3 were blocked (1 of these were carried out, by and on the machine's own kernel: the host did not notice), and none reached the host. 1 more",
		"each of the 4 attempts reached its target",
		isolation.Probes[2].Title + " | container | " + isolation.Probes[2].About,
		"Walls that nothing else stands in for: without them, and with all others, some attempts come through. User mapping (1" + nbsp + "attempt).",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the section does not say %q:\n%s", want, text)
		}
	}
	if got := m.walls.stoppedBy(isolation.Probes[0].Name); got != "user mapping" {
		t.Errorf("the first is stopped by %q", got)
	}
	if got := m.walls.stoppedBy(isolation.Probes[3].Name); got != "nothing" {
		t.Errorf("the last, which the container lets through, is stopped by %q", got)
	}
	evidence, any := m.wallEvidence()
	if text := interferenceText(evidence); !any || !strings.Contains(text, "blocked: kill(2): EPERM") || !strings.Contains(text, "only its own: kill(2)") {
		t.Errorf("the evidence: %s", text)
	}
	// Every figure can be drawn, whatever is missing.
	for _, run := range []*result.Run{wallsRun("rrrr", "bbbr", "bbri", "bbbi", true), wallsRun("", "", "bbri", "bbbi", false), wallsRun("rrbi", "bbbb", "bbbb", "iiii", false)} {
		doc := newModel(run).document()
		for _, f := range doc.figures() {
			if _, err := renderSVG(f); err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
		}
		for _, f := range doc.figures() {
			if !slices.Contains(plotNames, f.Name) {
				t.Errorf("the plot %s is not among those that bench owns", f.Name)
			}
		}
	}
	if _, any := newModel(synthetic{startup: 1}.run()).wallsSection(); any {
		t.Error("a run without probes has a section on them")
	}
}

// TestControlFailed: what its control does not reach says nothing, and is said so.
func TestControlFailed(t *testing.T) {
	m := newModel(wallsRun("rrbr", "bbbb", "bbbb", "bbbb", false))
	s, _ := m.wallsSection()
	text := interferenceText(s)
	for _, want := range []string{"The control failed for 1 of 4 attempts", isolation.Probes[2].Name, "The container: of 3", "1 more could not be tried there"} {
		if !strings.Contains(text, want) {
			t.Errorf("the section does not say %q:\n%s", want, text)
		}
	}
}

// TestJudgeIsolation: the lecture's row says what the attempts that were tried on both show, and no more.
func TestJudgeIsolation(t *testing.T) {
	for _, tt := range []struct {
		name                           string
		bare, contained, container, vm string
		emulated                       bool
		mark                           markOf
		says                           string
	}{
		{"the container lets more through", "rrrr", "bbbr", "bbbr", "bbbb", false, agrees, "Of the 4 attempts to get out that were tried on both, 1 reached the host from the container and not from vm-q35"},
		{"so it does beside an emulator", "rrrr", "bbbr", "bbbr", "bbbb", true, agreesEmulated, "an emulator's"},
		{"the machine lets more through", "rrrr", "bbbb", "bbbb", "brbb", false, disagrees, "from vm-q35 and not from the container"},
		{"each lets something through", "rrrr", "bbbb", "rbbb", "brbb", false, partly, "neither is closed"},
		{"no difference", "rrrr", "bbbb", "bbbr", "bbbr", false, undecided, "these attempts show no difference"},
		{"what only one could try does not count", "rrrr", "bbbb", "bbbr", "bbbi", false, undecided, "Of the 3 attempts"},
		{"without a control", "", "", "bbbr", "bbbb", false, partly, "was not tried"},
		{"nothing tried", "rrrr", "bbbb", "iiii", "bbbb", false, undecided, "No attempt"},
	} {
		v := newModel(wallsRun(tt.bare, tt.contained, tt.container, tt.vm, tt.emulated)).judgeIsolation()
		if v.Mark != tt.mark || !strings.Contains(v.Text, tt.says) {
			t.Errorf("%s: %s %s", tt.name, v.Mark, v.Text)
		}
	}
	if v := newModel(synthetic{startup: 1}.run()).judgeIsolation(); v.Mark != partly || !strings.Contains(v.Text, "was not measured in this run") {
		t.Errorf("without probes: %s %s", v.Mark, v.Text)
	}
}

func surfaceRun() *result.Run {
	run := synthetic{startup: 1, emulated: true}.run()
	add := func(platform string, calls ...string) {
		s := &isolation.Surface{Calls: map[string]int{}, Threads: map[string]int{"main": 1}, Requests: 50}
		for _, c := range calls {
			s.Calls[c] = 2
		}
		run.Samples = append(run.Samples, result.Sample{Experiment: "surface", Platform: platform, Surface: s, Values: map[string]float64{"calls": float64(len(calls))}})
	}
	add("container", "read", "write", "openat")
	add("container", "read", "write")
	add("vm-q35", "futex", "read")
	run.Samples = append(run.Samples, result.Sample{Experiment: "views", Platform: "container", Privileges: []isolation.Privileges{{Calls: []isolation.Call{
		{Number: 0, Class: isolation.Served}, {Number: 1, Class: isolation.Filtered}, {Number: 2, Class: isolation.NotInKernel}, {Number: 3, Class: isolation.Denied},
	}}}})
	return run
}

func TestSurface(t *testing.T) {
	s, any := newModel(surfaceRun()).surfaceSection()
	if !any {
		t.Fatal("there is no section")
	}
	text := interferenceText(s)
	for _, want := range []string{
		"The container made 2 to 3 different system calls of the host's kernel (openat, read, write). Of 3 that the kernel has, its filter lets 2 through.",
		"What QEMU calls for vm-q35 (emulated) and the container does not: futex.",
		"What the container calls and QEMU does not (2): openat, write.",
		"container | 2 to 3 | 2 | 0 | 2 of 3 | main | 2",
		"vm-q35 (emulated) | 2 | 2 | 0 | its own kernel's | main | 1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the section does not say %q:\n%s", want, text)
		}
	}
	if _, any := newModel(synthetic{startup: 1}.run()).surfaceSection(); any {
		t.Error("a run without it has a section on the surface")
	}
}
