package report

import (
	"slices"
	"strings"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

const faultsExperiment = "faults"

// faulty is one column of the table of faults: a platform, or what stands in for it in the
// throwaway machine.
type faulty struct {
	the, label string
	platform   *platform                  // nil in the throwaway machine
	of         string                     // there: "process" or "container"
	faults     map[string]isolation.Fault // by kind
}

// faultsSection tells what became of the host when an instance broke. A run that has not
// tried it has no such section.
func (m *model) faultsSection() (s section, any bool) {
	columns, machine := m.faulties()
	if len(columns) == 0 {
		return s, false
	}
	s = section{ID: "faults", Title: "Isolation: what a broken instance takes with it"}
	s.Blocks = append(s.Blocks,
		paragraph{"Question.", "An instance breaks: it crashes, takes all memory, forks without end, or panics its kernel. Does the host notice?"},
		faultTable(columns, machine),
		paragraph{"Findings.", ""}, points(faultWords(columns)),
		paragraph{"How to read it.", "A crash is an affair of one process, whatever is around it: the kernel takes back what was its own. Memory and processes are the host's, so a container keeps to its share only because its control group has a limit, and a process that has none can take it all. " +
			"A panic is the end of a kernel and of all that runs on it. A container has the host's kernel, so it must not be able to cause one; a virtual machine has its own, which may panic as it likes: to the host that is a process which has ended."},
		paragraph{"How it was measured.", faultMethod(columns, machine)},
		paragraph{"What it does not tell.", "That a container cannot panic the host's kernel is shown as far as the ways that Linux has for its administrators, all of which are in the evidence: an error in the kernel, which a system call of the container's could set off, is another way, and is not tried. " +
			"A witness that answers in time does not prove that all others did."})
	s.Details = []block{faultEvidence(columns)}
	s.Ask = []string{
		"Which wall or limit held each fault of the container? What would become of the host if it was missing?",
		"Why can a program in a virtual machine panic its kernel, and one in a container not? Which of the two is the better answer to a program that must not fail?",
		"Each fault was tried once. What could be different the next time, and how would you find out?",
	}
	return s, true
}

// faulties are the columns, a plain process first, and the platform of the throwaway machine.
func (m *model) faulties() (columns []*faulty, machine *result.Platform) {
	names := map[string]string{"process": "the plain process", "container": "the container"}
	collect := func(platform, of string, c *faulty) {
		c.faults = map[string]isolation.Fault{}
		for i := range m.run.Samples {
			s := &m.run.Samples[i]
			if s.Experiment != faultsExperiment || s.Platform != platform {
				continue
			}
			for _, f := range s.Faults {
				if _, have := c.faults[f.Kind]; f.Of == of && !have {
					f.Why = clean(f.Why)
					c.faults[f.Kind] = f
				}
			}
		}
		if len(c.faults) > 0 {
			columns = append(columns, c)
		}
	}
	if machine = m.throwaway(); machine != nil {
		for _, of := range []string{"process", "container"} {
			collect(machine.Name, of, &faulty{the: names[of] + " in the throwaway machine", label: of + " °", of: of})
		}
	}
	for _, p := range m.platforms {
		collect(p.Name, "", &faulty{the: p.the(), label: p.label(), platform: p})
	}
	return columns, machine
}

// faultWords are what is to be seen.
func faultWords(columns []*faulty) (words []string) {
	var fared alike
	said := map[isolation.FaultOutcome]string{
		isolation.Held: "was contained", isolation.NotHeld: "was held by nothing but its own bound", isolation.TooSlow: "did not come in time to what would hold it", isolation.Disturbed: "disturbed the host",
		isolation.Lost: "took the host with it", isolation.NotPossible: "was not possible, as far as the attempts show",
	}
	for _, c := range columns {
		by := map[isolation.FaultOutcome][]string{}
		for _, k := range isolation.FaultKinds {
			if f, ok := c.faults[k.Name]; ok && (k.Name != "crash" || f.Outcome != isolation.NotHeld) {
				by[f.Outcome] = append(by[f.Outcome], nounOf(k.Name))
			}
		}
		var parts []string
		for _, o := range []isolation.FaultOutcome{isolation.Lost, isolation.Disturbed, isolation.NotHeld, isolation.TooSlow, isolation.Held, isolation.NotPossible} {
			if n := by[o]; len(n) > 0 {
				text := said[o]
				if len(n) > 1 {
					text = strings.Replace(text, "was ", "were ", 1)
				}
				parts = append(parts, list(n)+" "+text)
				delete(by, o)
			}
		}
		if f, ok := c.faults["crash"]; ok && f.Outcome == isolation.NotHeld {
			parts = append(parts, "a crash was asked for, and the program was still there when its time was over")
		}
		if len(parts) > 0 {
			fared.add(c.the, strings.Join(parts, "; ")+".")
		}
	}
	for _, text := range fared.texts {
		words = append(words, begin(list(fared.who[text]))+": "+text)
	}
	return words
}

func nounOf(kind string) string {
	switch kind {
	case "crash":
		return "a crash"
	case "memory":
		return "taking all memory"
	case "forks":
		return "forking without end"
	case "panic":
		return "a panic of the kernel"
	}
	return clip(clean(kind), 30)
}

func faultTable(columns []*faulty, machine *result.Platform) *table {
	t := &table{Caption: "What became of the host", Columns: []column{{Title: "An instance ...", Wide: 1}}}
	for _, c := range columns {
		t.Columns = append(t.Columns, column{Title: c.label})
	}
	for _, k := range isolation.FaultKinds {
		row := []string{lowerFirst(k.Title)}
		for _, c := range columns {
			row = append(row, cmpOr(clean(string(c.faults[k.Name].Outcome)), "not tried"))
		}
		t.Rows = append(t.Rows, row)
	}
	if slices.ContainsFunc(columns, func(c *faulty) bool { return c.platform == nil }) {
		note := "° in the throwaway machine, whose kernel stands for the host's"
		if machine.Emulated {
			note += " (emulated)"
		}
		t.Notes = append(t.Notes, note+".")
	}
	return t
}

// faultEvidence is what was seen.
func faultEvidence(columns []*faulty) *table {
	t := &table{Caption: "What was seen", Columns: []column{{Title: "Fault"}, {Title: "Of"}, {Title: "Evidence", Wide: 1}}}
	for _, k := range isolation.FaultKinds {
		for _, c := range columns {
			if f, ok := c.faults[k.Name]; ok {
				t.Rows = append(t.Rows, []string{k.Name, c.label, clip(f.Why, 700)})
			}
		}
	}
	return t
}

func faultMethod(columns []*faulty, machine *result.Platform) string {
	var kinds []string
	for _, k := range isolation.FaultKinds {
		kinds = append(kinds, k.About)
	}
	text := "Each fault was done once. " + strings.Join(kinds, " ") + " Beside it ran witnesses: a process of the host and, with containers, a process in another container. Five times a second each takes memory, starts a process, and says so. " +
		"The host counts as disturbed if one of them ended, could not do that, or was silent for more than two seconds and four times as long as before; or if its memory ran out, so that its kernel had to choose a victim. A watchdog waits for the end of each fault, and a host that does not report counts as lost."
	if slices.ContainsFunc(columns, func(c *faulty) bool { return c.platform == nil }) {
		text += " What could harm this host was done in a virtual machine that was thrown away, with a kernel and memory of its own"
		if m := cmpOr(clean(machine.Details["guest memory"])); m != "" {
			text += " (" + m + ")"
		}
		text += ": there a process without limits, and a container with them, really try to panic the kernel. On this host a container asks only whether it could."
	}
	return text
}
