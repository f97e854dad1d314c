package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"vmctr/report/result"
)

// many platforms are more than sentences can list: what the table below has is
// not said twice then.
const many = 4

func (m *model) startupSection() section {
	const name = "first_instruction_ns"
	ms := m.metric(name)
	s := section{ID: "startup", Title: "Startup time"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	detail := func(b ...block) { s.Details = append(s.Details, b...) }
	add(paragraph{"Question.", "How long does it take from asking for a program to its first instruction, if the program starts as a plain process, " +
		"in a container, or in a virtual machine that has to boot?"})
	if len(ms.present()) == 0 {
		add(m.nothing("startup"))
		return s
	}
	add(m.startupFigure(ms, "startup", true))
	var shows points
	if len(ms.present()) <= many {
		shows = m.spread(ms)
	}
	shows = append(shows, m.comparisons(ms, "took %s times as long as")...)
	for _, f := range ms.present() {
		if text := m.containerShare(f); text != "" {
			shows = append(shows, text)
		}
	}
	if len(shows) > 0 {
		add(paragraph{"Findings.", ""}, shows)
	}
	answered := m.metric("http_ns")
	add(m.shortTable([]measured{ms, answered}, "Time to the first instruction, and to the first HTTP response"))
	detail(m.figureTable([]measured{ms}, "Time to the first instruction"))
	detail(m.differTable(ms, "Do they differ? Time to the first instruction", true)...)
	detail(m.tailTable(ms, "Beyond the median: time to the first instruction")...)
	lines := m.timelines("startup", ms.present())
	if len(lines) > 0 {
		add(m.phasesFigure(lines))
		detail(phaseTable("Where the time goes: the start nearest to the median of each platform", lines))
	}
	if len(answered.present()) > 0 {
		add(paragraph{"The first answer.", "A program that runs is not one that can be reached. The second end of the same starts is the first HTTP response, over the instance's own network: " +
			"loopback for the plain process, a veth or a tap into one bridge for containers and machines, and for a machine of an ordinary user a network that QEMU plays." + m.throughMachine() + " " +
			"The client begins to ask when the first instruction has come, and asks again, over a new connection, after every refusal: after 0.1" + nbsp + "ms or a 200th of the time " +
			"since the request, whichever is longer. " + m.unseen() + " Between the two ends lie the start of the Go runtime, the program's look at where it is, and the way of the packets."})
		detail(m.figureTable([]measured{answered}, "Time to the first HTTP response"))
		detail(m.differTable(answered, "Do they differ? Time to the first HTTP response", false)...)
	}
	add(paragraph{"How it was measured.", m.roundsText("startup") + " The clock is the host's CLOCK_MONOTONIC for all platforms. It starts before the first " +
		"system call that serves the instance. It stops when a line reaches the host that the program writes as its very first act, from an " +
		"assembly entry point that runs before the Go runtime starts."})
	if t := phaseMethod(lines); t != nil {
		detail(t)
	}
	add(paragraph{"Its error.", "The time that this line takes from the program to the host is inside every figure. " + m.delays() +
		m.containerShareError() + " Work that is done once, ahead of all samples, is not in the figures but in the column \"prepared once\"." + m.disturbedText(ms)})
	add(paragraph{"What others measured.", "The two ends of the clock decide the number, so these are for the order of magnitude only. " +
		"Agache et al. (Firecracker, NSDI 2020; 1 virtual CPU, 256 MB, n" + nbsp + "=" + nbsp + "500) ran from the launch to the exit of the machine monitor: median 160.9" + nbsp + "ms for " +
		"Firecracker, 243.5" + nbsp + "ms for QEMU's pc with SeaBIOS, 582.0" + nbsp + "ms for QEMU's microvm; by Firecracker's own timer the same machine took 110" + nbsp + "ms. " +
		"Garzarella (2019), from exec to the first instruction in user space on QEMU's q35, SeaBIOS and a bzImage: 191.7" + nbsp + "ms. Manco et al. (LightVM, SOSP 2017): " +
		"2.3" + nbsp + "ms to create and boot a minimal virtual machine, about 1" + nbsp + "ms for fork and exec. The README of crun: 100 runs of /bin/true in 1.69" + nbsp + "s with crun, " +
		"in 3.34" + nbsp + "s with runc. All of these used hardware virtualization or none."})
	return s
}

// spread describes each platform's sample in a sentence that is true of any
// sample, also of equal values.
func (m *model) spread(ms measured) []string {
	var out []string
	for _, f := range ms.present() {
		v, unit, s := f.Summary.Values, ms.unit(), f.Summary
		name := begin(f.Platform.the())
		if s.N == 1 {
			out = append(out, fmt.Sprintf("%s started once, in %s.", name, value(s.Median, unit)))
			continue
		}
		lo, hi := slices.Min(v), slices.Max(v)
		if lo == hi {
			out = append(out, fmt.Sprintf("%s took %s in each of %d starts.", name, value(lo, unit), s.N))
			continue
		}
		text := fmt.Sprintf("%s took %s in the median of %d starts; the fastest took %s, the slowest %s", name, value(s.Median, unit), s.N,
			value(lo, unit), value(hi, unit))
		if s.Median > 0 && hi >= 2*s.Median {
			text += fmt.Sprintf(" (%s times the median)", result.FormatRatio(hi/s.Median))
		}
		out = append(out, text+".")
	}
	return out
}

// comparisons tell how the platforms stand to the plain process, and virtual
// machines, and what combines both, to the first container. How has a place for the
// ratio.
func (m *model) comparisons(ms measured, how string) []string {
	var out []string
	few := len(ms.present()) <= many
	for _, c := range m.family(ms) {
		if math.IsNaN(c.Ratio.Ratio) || c.B.Platform == ms.Base && !few {
			continue
		}
		text := begin(fmt.Sprintf("%s "+how+" %s", c.A.Platform.the(), ratio(c.Ratio), c.B.Platform.the()))
		switch direction, mark := directionOf(c.Ratio); {
		case mark == undecided && direction == 0:
			text += "; this ratio has no 95% interval"
		case mark == undecided:
			text += ": its interval holds 1, so these samples show no difference"
			if !math.IsNaN(c.Detectable) && !math.IsInf(c.Detectable, 1) {
				text += ", and would have shown one of " + c.detectable() + " in 80% of such runs"
			}
		case slices.Min(c.A.Summary.Values) > slices.Max(c.B.Summary.Values):
			text += "; the two samples do not overlap"
		}
		out = append(out, text+".")
	}
	return out
}

// nothing stands where an experiment has no values.
func (m *model) nothing(experiment string) paragraph {
	if !m.asked(experiment) {
		return paragraph{"Not measured.", "This run was not asked for it."}
	}
	text := "This run has no value of it on any platform."
	if slices.ContainsFunc(m.subjects(experiment), func(p *platform) bool { return !p.ready() }) {
		text += " The appendix says what became of the platforms."
	}
	return paragraph{"Not measured.", text}
}

// statusTable says what became of the platforms where no figure does.
func (m *model) statusTable() []block {
	t := &table{Caption: "What became of the platforms", Columns: []column{{Title: "Platform"}, {Title: "State"}, {Title: "Why", Wide: 1}}}
	for _, p := range m.everyone() {
		if p.ready() {
			continue
		}
		t.Rows = append(t.Rows, []string{p.label(), p.state(), clip(p.why(), 600)})
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return []block{t}
}

// figureTable is the figures of some metrics, a row for each platform.
func (m *model) figureTable(list []measured, caption string) *table {
	t, base := &table{Caption: caption}, list[0].Base
	many := len(list) > 1
	if many {
		t.Columns = append(t.Columns, column{Title: "Account"})
	}
	t.Columns = append(t.Columns, column{Title: "Platform"}, column{Title: "n", Right: true}, column{Title: "Median", Right: true},
		column{Title: "95% interval", Right: true}, column{Title: "Smallest", Right: true}, column{Title: "Largest", Right: true})
	if base != nil {
		t.Columns = append(t.Columns, column{Title: "Ratio to " + base.Name, Right: true})
	}
	if !many {
		t.Columns = append(t.Columns, column{Title: "Prepared once", Right: true})
	}
	for _, ms := range list {
		unit := ms.unit()
		for i, f := range ms.Figures {
			var row []string
			if many {
				row = append(row, map[bool]string{true: ms.Short}[i == 0])
			}
			s := f.Summary
			if s.N == 0 {
				row = append(row, f.Platform.label(), "0", "–", m.absent(ms, f.Platform), "–", "–")
			} else {
				row = append(row, f.Platform.label(), fmt.Sprint(s.N), value(s.Median, unit), interval(s, unit),
					value(slices.Min(s.Values), unit), value(slices.Max(s.Values), unit))
			}
			if base != nil {
				r := "–"
				switch {
				case f.Ratio != nil:
					r = ratio(*f.Ratio)
				case f.Platform == base && s.N > 0:
					r = "1"
				}
				row = append(row, r)
			}
			if !many {
				prepared := "–"
				if f.Platform.PrepareNs > 0 {
					prepared = value(float64(f.Platform.PrepareNs), "ns")
				}
				row = append(row, prepared)
			}
			t.Rows = append(t.Rows, row)
		}
	}
	t.Notes = m.tableNotes(list)
	return t
}

// tableNotes explain what a table of figures has marked.
func (m *model) tableNotes(list []measured) []string {
	var notes []string
	for _, p := range m.emulated() {
		if len(m.values(list[0].metric, p)) > 0 {
			notes = append(notes, emulatedNote)
			break
		}
	}
	notes = append(notes, list[0].warningNotes()...)
	notes = append(notes, m.endingNote(list[0])...)
	for _, p := range list[0].platforms() {
		if !p.ready() {
			notes = append(notes, fmt.Sprintf("%s: %s; the appendix says why.", p.label(), p.state()))
		}
	}
	return notes
}

// warningNotes are the warnings of the statistics, each once with the platforms
// that it is about.
func (ms measured) warningNotes() []string {
	var texts []string
	names := map[string][]string{}
	for _, f := range ms.present() {
		for _, w := range f.Summary.Warnings {
			if len(names[w.Text]) == 0 {
				texts = append(texts, w.Text)
			}
			names[w.Text] = append(names[w.Text], f.Platform.label())
		}
	}
	for i, w := range texts {
		texts[i] = strings.Join(names[w], ", ") + ": " + w + "."
	}
	return texts
}

// delays tells how long a line is under way from each platform, as measured
// apart from the starts.
func (m *model) delays() string {
	var parts []string
	for _, p := range m.platforms {
		if v := m.run.Values("identity", p.Name, "delay_ns"); len(v) > 0 {
			parts = append(parts, value(v[0], "ns")+" from "+p.label())
		}
	}
	if len(parts) == 0 {
		return "This run did not measure it separately, so differences of the order of 0.1" + nbsp + "ms between platforms should not be given a meaning."
	}
	return "Measured apart from the starts, it is " + list(parts) + " (through a pipe the median of a few lines; from a machine half of what a message there and back takes)."
}

// unseen tells how much earlier the responses could have come.
func (m *model) unseen() string {
	var parts []string
	for _, p := range m.platforms {
		if v := m.run.Values("startup", p.Name, "http_unseen_ns"); len(v) > 0 {
			parts = append(parts, value(result.Summarize(v).Median, "ns")+" for "+p.label())
		}
	}
	if len(parts) == 0 {
		return "This run did not record how much earlier a response could have come."
	}
	return "So a response could have come earlier, unseen, by at most " + list(parts) + " (the time since the last try that failed began, in the median)."
}

// phaseMeans explains the phases of a start, by kind of platform.
var phaseMeans = map[string]map[string]string{
	"process": {
		"start": "fork and exec",
		"exec":  "the kernel starts the program",
	},
	"container": {
		"start":       "folders for the writable layer",
		"overlay":     "the image's layers are joined",
		"make cgroup": "until a control group with its limits is there",
		"clone":       "a new process with new namespaces",
		"id maps":     "its users are mapped to the host's",
		"namespaces":  "those that exist are joined",
		"cgroup":      "it joins the control group",
		"file system": "mounts, and pivot_root",
		"network":     "the veth's address and route, host name",
		"privileges":  "capabilities, user, system call filter",
		"exec":        "the kernel starts the program",
		"runtime":     "the runtime's command does all else, until the program runs",
		"engine":      "the engine's command asks the engine for all else",
	},
	"vm": {
		"start":    "the host starts QEMU",
		"qemu":     "QEMU builds the machine",
		"firmware": "the firmware looks what the machine has",
		"loader":   "it copies kernel and initramfs to the guest's memory",
		"entry":    "the kernel unpacks and sets itself up, and keeps no time yet",
		"restore":  "QEMU reads the saved state of the devices",
		"resume":   "the machine runs where it was saved, and is told who it is",
		"kernel":   "the guest's kernel boots",
		"init":     "PID 1 of the guest starts",
		"modules":  "it loads drivers",
		"root":     "it enters the image",
		"ports":    "it finds the channels to the host",
		"network":  "its address and route, if it has a network card, host name",
		"renew":    "PID 1 becomes that: random seed, clock, name, address",
		"workload": "it forks and executes the program",
		"running":  "the guest's kernel starts the program",
	},
	// A container in a machine has the machine's phases and, with its own name before
	// them, the container's; and these.
	"nested": {
		"root":     "it mounts the disks of the layers",
		"engine":   "it makes ready what its containers share",
		"workload": "it is asked for the container: folders",
	},
}

// phaseText is a phase with what happens in it.
func phaseText(kind, phase string) string {
	means := phaseMeans[kind][phase]
	if kind == "nested" && means == "" {
		if inner, ok := strings.CutPrefix(phase, "container "); ok {
			means = phaseMeans["container"][inner]
		} else {
			means = phaseMeans["vm"][phase]
		}
	}
	if means == "" {
		return phase
	}
	return phase + ": " + means
}

// median is the counted sample whose value is nearest to the median, the
// earliest of several.
func (m *model) median(experiment, name string, f figureOf) *result.Sample {
	var best *result.Sample
	for i := range m.run.Samples {
		s := &m.run.Samples[i]
		v, ok := s.Values[name]
		if !ok || s.Experiment != experiment || s.Platform != f.Platform.Name || s.Warmup || s.Error != "" {
			continue
		}
		if best == nil || math.Abs(v-f.Summary.Median) < math.Abs(best.Values[name]-f.Summary.Median) {
			best = s
		}
	}
	return best
}

// roundsText is how the samples of an experiment were taken.
func (m *model) roundsText(experiment string) string {
	starts := map[string]int{}
	for _, p := range m.everyone() {
		if n := m.run.Count(experiment, p.Name).Counted; n > 0 {
			starts[p.Name] = n
		}
	}
	text := "In every round the platform was started once."
	if len(starts) > 1 {
		text = fmt.Sprintf("In every round each platform was started once, in a new random order (seed %d), so that a drift of the host does not fall on one of them only.",
			m.run.Header.Seed)
	}
	if numbers := slices.Sorted(maps.Values(starts)); len(numbers) > 1 && numbers[0] != numbers[len(numbers)-1] {
		text += " Not every platform took part in all rounds."
	}
	switch n := m.warmups(experiment); n {
	case 0:
		text += " There were no warm-ups."
	case 1:
		text += " One sample from a warm-up round stands in the journal and is not counted."
	default:
		text += fmt.Sprintf(" %d samples from warm-up rounds stand in the journal and are not counted.", n)
	}
	return text
}
