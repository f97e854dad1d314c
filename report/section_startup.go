package report

import (
	"cmp"
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
	found := append(m.groupWords(ms, tookTime), m.oddWords(ms)...)
	for _, f := range ms.present() {
		if text := m.containerShare(f); text != "" {
			found = append(found, text)
		}
	}
	answered := m.metric("http_ns")
	found = append(found, m.answerWords(ms, answered)...)
	add(paragraph{"Findings.", ""}, points(found))
	add(m.shortTable([]measured{ms, answered}, "Time to the first instruction, and to the first HTTP response"))
	detail(m.figureTable([]measured{ms}, "Time to the first instruction"))
	detail(m.differTable(ms, "Do they differ? Time to the first instruction", true)...)
	detail(m.tailTable(ms, "Beyond the median: time to the first instruction")...)
	lines := m.timelines("startup", ms.present())
	if len(lines) > 0 {
		add(m.phasesFigures(lines)...)
		if words := phaseWords(lines); len(words) > 0 {
			add(points(words))
		}
		detail(phaseTable("Where the time goes: the start nearest to the median of each platform", lines))
	}
	how := m.roundsText("startup") + " The clock is the host's CLOCK_MONOTONIC for all platforms. It starts before the first " +
		"system call that serves the instance, and stops when a line reaches the host that the program writes as its very first act, from an " +
		"assembly entry point that runs before the Go runtime starts."
	add(paragraph{"How it was measured.", how})
	if len(answered.present()) > 0 {
		add(paragraph{"The first answer.", "The first HTTP response is a second end of the same starts. It comes over the instance's own network: loopback for the plain process, a veth or a tap on one bridge for containers and machines, " +
			"and a network that QEMU plays for machines of an ordinary user." + m.throughMachine() + " The client begins to ask when the first instruction has come. After a refusal it asks again, over a new connection, after 0.1" + nbsp +
			"ms or a 200th of the time since the request, whichever is longer."})
		detail(m.figureTable([]measured{answered}, "Time to the first HTTP response"))
		detail(m.differTable(answered, "Do they differ? Time to the first HTTP response", false)...)
	}
	if t := phaseMethod(lines); t != nil {
		detail(t)
	}
	add(paragraph{"Its error.", "The time that the line takes from the program to the host is inside every figure. " + m.delays() + m.unseen() +
		m.containerShareError() + " Work that is done once, ahead of all samples, is not in the figures; the full table has it as \"prepared once\"." + m.disturbedText(ms)})
	add(paragraph{"What others measured.", "The two ends of the clock decide the number, so compare orders of magnitude only. All of these used hardware virtualization or none. " +
		agache + ", 1 virtual CPU, 256" + nbsp + "MB, n" + nbsp + "=" + nbsp + "500, from the launch to the exit of the machine monitor: median 160.9" + nbsp + "ms for " +
		"Firecracker, 243.5" + nbsp + "ms for QEMU's pc with SeaBIOS, 582.0" + nbsp + "ms for its microvm. By Firecracker's own timer its machine took 110" + nbsp + "ms; " + firecracker + " promises 125" + nbsp + "ms from the call to the start of init. " +
		idlab + ", from the request to the first HTTP answer: 188" + nbsp + "ms for runc, 567" + nbsp + "ms for gVisor, 1068" + nbsp + "ms for Kata Containers on QEMU. " +
		manco + ": 2.3" + nbsp + "ms to create and boot a minimal virtual machine, about 1" + nbsp + "ms for fork and exec. " +
		crunReadme + ": 100 runs of /bin/true in 1.69" + nbsp + "s with crun, in 3.34" + nbsp + "s with runc."})
	s.Ask = m.startupAsk(ms, lines)
	return s
}

// answerWords hold the first answer against the first instruction, of the same starts.
func (m *model) answerWords(ms, answered measured) []string {
	var later []figureOf // by how much
	for _, f := range answered.present() {
		if start := ms.figure(f.Platform).Summary; start.N > 0 {
			later = append(later, figureOf{Platform: f.Platform, Summary: result.Summary{Median: f.Summary.Median - start.Median}})
		}
	}
	if len(later) == 0 {
		return nil
	}
	slices.SortStableFunc(later, func(a, b figureOf) int { return cmp.Compare(a.Summary.Median, b.Summary.Median) })
	first, last := later[0], later[len(later)-1]
	text := fmt.Sprintf("A program that runs is not yet one that answers: the median of the first HTTP response is later than that of the first instruction by %s on %s", value(first.Summary.Median, "ns"), first.Platform.the())
	if len(later) > 1 {
		text += fmt.Sprintf(", up to %s on %s", value(last.Summary.Median, "ns"), last.Platform.the())
	}
	return []string{text + ". In between lie the start of the Go runtime, the program's look at where it is, and the way of the packets."}
}

// phaseWords name the longest phase of each typical start: of those with the same one
// together.
func phaseWords(lines []timeline) []string {
	var longest []string
	on := map[string][]*platform{}
	shares := map[string][]float64{}
	for _, l := range lines {
		if len(l.Phases) < 2 || l.Total <= 0 {
			continue
		}
		top := slices.MaxFunc(l.Phases, func(a, b phaseOf) int { return cmp.Compare(a.Took, b.Took) })
		text := phaseText(l.Platform.Kind, top.Name)
		if on[text] == nil {
			longest = append(longest, text)
		}
		on[text] = append(on[text], l.Platform)
		shares[text] = append(shares[text], top.Took/l.Total)
	}
	var out []string
	for _, text := range longest {
		name, means, _ := strings.Cut(text, ": ")
		if means != "" {
			means = " (" + means + ")"
		}
		low, high := share(slices.Min(shares[text]), 1), share(slices.Max(shares[text]), 1)
		if low != high {
			low += " to " + high
		}
		out = append(out, fmt.Sprintf("\"%s\"%s is the longest phase on %s: %s of the start.", name, means, those(on[text]), low))
	}
	return out
}

// startupAsk are questions that this run lets a student answer.
func (m *model) startupAsk(ms measured, lines []timeline) []string {
	ask := []string{"A plain process is started by fork and exec alone. What does a container do besides, and which of its phases would you give up to start faster? What would be lost?"}
	if slices.ContainsFunc(lines, func(l timeline) bool { return l.has("kernel") }) {
		ask = append(ask, "Which phases does a virtual machine have that a container has not? Which of them go away when it is restored from a saved state, and why?")
	}
	if len(m.kind("nested")) > 0 && ms.first("nested") != nil {
		ask = append(ask, "A cloud runs containers in a virtual machine. When does its user wait for the machine, and when for the container only?")
	}
	return append(ask, "Where does the clock start and stop here? Name another end for it, and say which platforms it would favour.")
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
				row = append(row, list[0].ratioCell(f))
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

// delays tells how long a line is under way, as measured apart from the starts.
func (m *model) delays() string {
	pipes, machines := m.ranged("identity", "delay_ns", func(p *platform) bool { return p.Kind != "vm" && p.Kind != "nested" }),
		m.ranged("identity", "delay_ns", func(p *platform) bool { return p.Kind == "vm" || p.Kind == "nested" })
	switch {
	case pipes == "" && machines == "":
		return "This run did not measure it separately, so differences of the order of 0.1" + nbsp + "ms between platforms should not be given a meaning."
	case machines == "":
		return "Measured apart from the starts, it is " + pipes + " through a pipe (the median of a few lines)."
	case pipes == "":
		return "Measured apart from the starts, it is " + machines + " from a machine (half of what a message there and back takes)."
	}
	return "Measured apart from the starts, it is " + pipes + " through a pipe (the median of a few lines), and " + machines + " from a machine (half of what a message there and back takes)."
}

// unseen tells how much earlier the responses could have come.
func (m *model) unseen() string {
	text := m.ranged("startup", "http_unseen_ns", func(*platform) bool { return true })
	if text == "" {
		return ""
	}
	return " A response could have come earlier than it was seen, by at most the time since the last try that failed: " + text + " in the median."
}

// ranged is the range of the medians of a value over some platforms, "" without any.
func (m *model) ranged(experiment, name string, of func(*platform) bool) string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range m.platforms {
		if s := m.summary(metric{Experiment: experiment, Value: name}, p); s.N > 0 && of(p) {
			low, high = min(low, s.Median), max(high, s.Median)
		}
	}
	if low > high {
		return ""
	}
	return valueSpan(low, high, "ns")
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
