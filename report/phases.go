package report

import (
	"fmt"
	"slices"

	"vmctr/report/result"
)

// A timeline is where the time of a platform's typical start went: that of the start
// which is nearest to the median.
type timeline struct {
	Platform *platform
	Total    float64 // ns to the first instruction
	Phases   []phaseOf
}

type phaseOf struct {
	result.Phase
	Began, Took float64 // ns
}

// timelines are those of the figures of an experiment's starts that have one.
func (m *model) timelines(experiment string, figures []figureOf) []timeline {
	var out []timeline
	for _, f := range figures {
		s := m.median(experiment, "first_instruction_ns", f)
		if s == nil || len(s.Phases) == 0 || !(s.Values["first_instruction_ns"] > 0) {
			continue
		}
		l := timeline{Platform: f.Platform, Total: s.Values["first_instruction_ns"]}
		for i, ph := range s.Phases {
			began := max(0, float64(ph.Ns))
			if began >= l.Total {
				break // after the first instruction: no part of the start
			}
			end := l.Total
			if i+1 < len(s.Phases) {
				end = min(end, max(began, float64(s.Phases[i+1].Ns)))
			}
			ph.Name = clip(clean(ph.Name), 40)
			l.Phases = append(l.Phases, phaseOf{ph, began, end - began})
		}
		out = append(out, l)
	}
	return out
}

// has tells whether a phase is part of it.
func (l timeline) has(phase string) bool {
	return slices.ContainsFunc(l.Phases, func(p phaseOf) bool { return p.Name == phase })
}

// untraced is a machine's with a kernel, where QEMU did not tell what its firmware did.
func (l timeline) untraced() bool { return l.has("kernel") && !l.has("loader") }

// phaseTable is the timelines in figures.
func phaseTable(caption string, lines []timeline) *table {
	t := &table{
		Caption: caption,
		Columns: []column{{Title: "Platform"}, {Title: "Phase", Wide: 1}, {Title: "Began at", Right: true}, {Title: "Took", Right: true}, {Title: "Share", Right: true}},
	}
	errors := slices.ContainsFunc(lines, func(l timeline) bool {
		return slices.ContainsFunc(l.Phases, func(p phaseOf) bool { return p.ErrorNs > 0 })
	})
	if errors {
		t.Columns = append(t.Columns, column{Title: "Error", Right: true})
	}
	row := func(cells ...string) {
		t.Rows = append(t.Rows, append(cells, make([]string, len(t.Columns)-len(cells))...))
	}
	t.Notes = []string{"A phase lasts until the next one begins. The host writes the times down as it comes by; one that it sees late begins late."}
	if errors {
		t.Notes = append(t.Notes, "Error: by how much its begin may be off, as measured in that very start.")
	}
	for _, l := range lines {
		name := l.Platform.label()
		for _, p := range l.Phases {
			cells := []string{name, phaseText(l.Platform.Kind, p.Name), value(p.Began, "ns"), value(p.Took, "ns"), fmt.Sprintf("%.0f%%", 100*(p.Took/l.Total))}
			if p.ErrorNs > 0 {
				cells = append(cells, value(float64(p.ErrorNs), "ns"))
			}
			row(cells...)
			name = ""
		}
		row(name, "first instruction", value(l.Total, "ns"))
		if l.untraced() {
			t.Notes = append(t.Notes, fmt.Sprintf("%s: its QEMU did not tell when the firmware began to load the kernel and was done with it (or the host's clock was set meanwhile), "+
				"so \"firmware\" is all until the kernel keeps time.", l.Platform.label()))
		}
	}
	if slices.ContainsFunc(lines, func(l timeline) bool { return l.Platform.Emulated }) {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

// phaseMethod tells how the phases of machines were timed (package vm has the same for
// who reads its code), nil if there are none.
func phaseMethod(lines []timeline) *table {
	if !slices.ContainsFunc(lines, func(l timeline) bool { return l.has("qemu") }) {
		return nil
	}
	const later = "init and later"
	t := &table{
		Caption: "How the phases of a machine's start are timed, and how far off they can be",
		Columns: []column{{Title: "Phase"}, {Title: "Known from", Wide: 1}, {Title: "Error", Wide: 1}},
	}
	for _, r := range []struct{ phase, known, err string }{
		{"start", "the host's clock", "none"},
		{"qemu", "the host sees QEMU executed", "late by the time in which our process is woken, some 10" + nbsp + "µs on an idle host"},
		{"firmware", "QEMU greets over QMP, and is told to let the machine run", "as of qemu; to be told is a part of this phase"},
		{"loader", "QEMU's trace of fw_cfg, the device from which the firmware reads the kernel: its first item", "a trace has microseconds, and the wall clock: its distance to the host's monotonic clock is measured at both ends of the start, and if it changed there is no figure"},
		{"entry", "the same: the last item of the kernel's", "as of loader; and early by what it takes to read that item: microseconds for an address or a command line"},
		{"restore", "QEMU greets over QMP", "as of qemu"},
		{"resume", "QEMU has said that the state is read, and is told to let the machine run", "as of qemu"},
		{"kernel", "PID 1 of the guest says, with its reports, what the guest's clock shows, which was 0 when the kernel began to keep time", "late by what the fastest report was under way, for which the Error in the table of phases is the bound; and by timer ticks that the kernel missed before it took to the CPU's counter"},
		{later, "PID 1 writes down its clock", "as of kernel, without the ticks; differences between these phases are good to microseconds"},
		{"first instruction", "a line of the program's, stamped when it arrives", "late by what the line was under way: see the error of the section on startup"},
	} {
		known := slices.ContainsFunc(lines, func(l timeline) bool {
			return l.has(r.phase) || r.phase == later && (l.has("init") || l.has("renew"))
		})
		if known || r.phase == "first instruction" {
			t.Rows = append(t.Rows, []string{r.phase, r.known, r.err})
		}
	}
	return t
}
