package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"vmctr/report/result"
	"vmctr/report/result/identity"
)

// lectureTable is the table of the lecture with a second answer in every cell:
// what this machine measured.
type lectureTable struct {
	Rows []lectureRow
	Also string // what stands below, of the combination of both columns
	Left string // and of platforms that were not measured
}

type lectureRow struct {
	Criterion     string
	Container, VM lectureCell
	Verdict       verdict
}

// lectureCell has the lecture's words, and lines of what was measured.
type lectureCell struct {
	Lecture  string
	Measured []string
}

// verdict is a sentence on a row, and a word or two to find it by.
type verdict struct {
	Mark markOf
	Text string
}

// markOf is how a row of the lecture fares.
type markOf string

const (
	agrees            markOf = "Agrees"
	disagrees         markOf = "Disagrees"
	undecided         markOf = "Undecided"
	emulation         markOf = "Emulated"
	agreesEmulated    markOf = "Agrees, emulated"
	disagreesEmulated markOf = "Disagrees, emulated"
	partly            markOf = "Partly measured"
	unasked           markOf = "Not measured"
)

// emulated is the mark where the machine was emulated: the direction of a difference counts
// and its size does not.
func (k markOf) emulated() markOf {
	switch k {
	case agrees:
		return agreesEmulated
	case disagrees:
		return disagreesEmulated
	default:
		return k
	}
}

// The words of the lecture, by row: container (it says "Docker") and virtual
// machine.
var lectureSays = map[string][2]string{
	"Virtualization":       {"OS-level", "HW-level (hypervisor)"},
	"Guest OS":             {"No (shared host OS)", "Yes"},
	"Isolation & security": {"Process-level (weaker)", "Full OS-level (stronger)"},
	"Resource usage":       {"Low", "Higher (OS layer)"},
	"Startup time":         {"Shorter", "Longer (OS setup)"},
	"Portability":          {"High", "Lower (include OS, more dependencies: hypervisor type, underlying HW, ..)"},
}

// lectureSections are the IDs of the sections that say more of a row.
var lectureSections = map[string]string{
	"Virtualization":       "place",
	"Guest OS":             "place",
	"Isolation & security": "isolation",
	"Resource usage":       "memory",
	"Startup time":         "startup",
	"Portability":          "portability",
}

func (m *model) lectureTable() lectureTable {
	row := func(criterion string, measured func(*platform) string, v verdict) lectureRow {
		says := lectureSays[criterion]
		return lectureRow{
			Criterion: criterion,
			Container: lectureCell{says[0], m.cell("container", measured)},
			VM:        lectureCell{says[1], m.cell("vm", measured)},
			Verdict:   v,
		}
	}
	return lectureTable{Rows: []lectureRow{
		row("Virtualization", m.virtualization, m.judgeVirtualization()),
		row("Guest OS", m.guestOS, m.judgeGuestOS()),
		row("Isolation & security", m.isolation, m.judgeIsolation()),
		row("Resource usage", m.resources, m.judgeFigure("pss_bytes", "occupied %s times the memory of", "less memory")),
		row("Startup time", m.startup, m.judgeFigure("first_instruction_ns", "took %s times as long to start as", "less time to start")),
		row("Portability", m.portability, m.judgePortability()),
	}, Also: m.combination(), Left: m.leftOut()}
}

// cell collects what all platforms of a kind measured, in lines; platforms of which the
// same is to be said share a line. One that has nothing is left to [model.leftOut] if another has
// something: this table is the first page.
func (m *model) cell(kind string, measured func(*platform) string) []string {
	platforms := m.kind(kind)
	if len(platforms) == 0 {
		return []string{"Not in this run."}
	}
	any := slices.ContainsFunc(platforms, func(p *platform) bool { return measured(p) != "" })
	var texts []string
	of := map[string][]*platform{}
	for _, p := range platforms {
		text := measured(p)
		switch {
		case text == "" && any:
			continue
		case text == "":
			text = sentence(p.state())
		}
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if len(of[line]) == 0 {
				texts = append(texts, line)
			}
			of[line] = append(of[line], p)
		}
	}
	if len(platforms) == 1 && !platforms[0].Emulated {
		return texts
	}
	for i, text := range texts {
		who := labels(of[text])
		if len(of[text]) == 1 {
			who = of[text][0].label()
		}
		if n := len(of[text]); n > 1 && n == len(platforms) {
			who = "All"
			if !slices.ContainsFunc(platforms, func(p *platform) bool { return !p.Emulated }) {
				who = "All (emulated)"
			}
		}
		texts[i] = who + ": " + text
	}
	return texts
}

// leftOut names the platforms that a row leaves out, below the table.
func (m *model) leftOut() string {
	var missing, silent []string
	for _, p := range m.platforms {
		switch {
		case !p.ready():
			missing = append(missing, p.Name+" ("+p.state()+")")
		case m.asked("identity") && m.run.Identity(p.Name) == nil:
			silent = append(silent, p.label())
		}
	}
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, "Not measured: "+list(missing)+"; the appendix says why.")
	}
	if len(silent) > 0 {
		parts = append(parts, "With figures alone: "+list(silent)+", where nothing runs that could be asked about the rest.")
	}
	return strings.Join(parts, " ")
}

func (m *model) virtualization(p *platform) string {
	id := m.run.Identity(p.Name)
	switch m.kernelOf(id) {
	case kernelShared:
		return "On the host's own kernel: the same boot_id."
	case kernelOwn:
		line := "On a kernel of its own: another boot_id"
		if id.Hypervisor {
			line += "; its processor says that it is virtual (" + hypervisor(id) + ")"
		}
		return line + "."
	}
	return unknownKernel(id)
}

// unknownKernel is the line of a platform whose kernel cannot be told.
func unknownKernel(id *identity.Identity) string {
	if id == nil {
		return ""
	}
	return "Undecided: a boot_id was not recorded."
}

func (m *model) guestOS(p *platform) string {
	id := m.run.Identity(p.Name)
	switch m.kernelOf(id) {
	case kernelShared:
		return fmt.Sprintf("No: %s, as on the host.", kernelName(id.Kernel))
	case kernelOwn:
		return fmt.Sprintf("Yes: %s.", kernelName(id.Kernel))
	}
	return unknownKernel(id)
}

func (m *model) isolation(p *platform) string {
	id := m.run.Identity(p.Name)
	switch m.kernelOf(id) {
	case kernelShared:
		own, shared := m.namespaces(id)
		var parts []string
		switch {
		case len(own)+len(shared) == 0:
			parts = append(parts, "namespaces not recorded")
		case len(own) == 0:
			parts = append(parts, "no namespaces of its own")
		default:
			parts = append(parts, fmt.Sprintf("%d of %d namespaces are its own", len(own), len(own)+len(shared)))
		}
		users := uidMap(id)
		if id.UIDMap == "" {
			users = "user map not recorded"
		}
		count, _, _ := strings.Cut(capabilities(id), " (")
		parts = append(parts, users, "capabilities: "+count, "seccomp: "+seccomp(id))
		return sentence(strings.Join(parts, "; ")) + "\n" + m.walls.cell(p)
	case kernelOwn:
		return "Users, namespaces and capabilities are those of its own kernel.\n" + m.walls.cell(p)
	}
	return unknownKernel(id)
}

func (m *model) resources(p *platform) string { return m.figureLines("pss_bytes", p, " PSS") }

func (m *model) startup(p *platform) string { return m.figureLines("first_instruction_ns", p, "") }

// figureLines is a metric of one platform: median, interval, n, and the ratio
// to the plain process.
func (m *model) figureLines(name string, p *platform, what string) string {
	ms := m.metric(name)
	f := ms.figure(p)
	if f.Summary.N == 0 {
		return ""
	}
	s := f.Summary
	line := value(s.Median, ms.unit()) + what
	if s.HasInterval() {
		line += fmt.Sprintf(" (%s, n%s=%s%d)", interval(s, ms.unit()), nbsp, nbsp, s.N)
	} else {
		line += fmt.Sprintf(" (n%s=%s%d, too few for an interval)", nbsp, nbsp, s.N)
	}
	// Of very many platforms the ratios are left to the table of the section, so
	// that the first page holds what it should.
	if f.Ratio != nil && !math.IsNaN(f.Ratio.Ratio) && len(m.kind(p.Kind)) <= 3 {
		line += fmt.Sprintf("; %s times the plain process", ratio(*f.Ratio))
	}
	return line + "."
}

func (m *model) portability(p *platform) string {
	id := m.run.Identity(p.Name)
	if id == nil {
		return ""
	}
	h := m.run.Header.Image
	line := "Ran the image as it is"
	img := m.image()
	switch {
	case img != nil:
		blobs, _, _ := imageSums(img)
		line += fmt.Sprintf(": %s to send", value(float64(blobs), "bytes"))
	case h.Bytes > 0:
		line += fmt.Sprintf(": %s unpacked", value(float64(h.Bytes), "bytes"))
	}
	besides := int64(0)
	if img != nil {
		_, besides = p.parts(img)
	}
	switch {
	case besides > 0:
		var names []string
		for _, part := range p.Parts {
			names = append(names, clean(part.Name))
		}
		line += fmt.Sprintf("; besides %s of %s", value(float64(besides), "bytes"), list(names))
	case m.kernelOf(id) == kernelOwn:
		line += "; besides a kernel"
	}
	return line + "."
}

// shortDigest is enough of a digest to compare by eye.
func shortDigest(d string) string {
	algorithm, hex, ok := strings.Cut(d, ":")
	if !ok || len(hex) <= 12 {
		return d
	}
	return algorithm + ":" + hex[:12]
}

// pair is the container and the virtual machine that a row compares by their
// kernels: the first of each that spoke; a machine that is not emulated first.
func (m *model) pair() (container, vm *platform) {
	for _, p := range m.platforms {
		if m.run.Identity(p.Name) == nil {
			continue
		}
		switch p.Kind {
		case "container":
			if container == nil {
				container = p
			}
		case "vm":
			if vm == nil || vm.Emulated && !p.Emulated {
				vm = p
			}
		}
	}
	return container, vm
}

// missing says why a row cannot be decided, for the platforms of two kinds.
func (m *model) missing(haveContainer, haveVM bool) string {
	var parts []string
	say := func(kind, name string) {
		for _, p := range m.kind(kind) {
			parts = append(parts, p.Name+" ("+p.state()+")")
		}
		if len(m.kind(kind)) == 0 {
			parts = append(parts, "no "+name+" in this run")
		}
	}
	if !haveContainer {
		say("container", "container")
	}
	if !haveVM {
		say("vm", "virtual machine")
	}
	return "Nothing to compare: " + strings.Join(parts, ", ") + "."
}

func (m *model) judgeVirtualization() verdict {
	c, v := m.pair()
	if c == nil || v == nil {
		return verdict{undecided, m.missing(c != nil, v != nil)}
	}
	cid, vid := m.run.Identity(c.Name), m.run.Identity(v.Name)
	ck, vk := m.kernelOf(cid), m.kernelOf(vid)
	switch {
	case ck == kernelUnknown || vk == kernelUnknown:
		return verdict{undecided, "A boot_id is missing, without which nobody can tell whose kernel it was."}
	case ck == kernelOwn:
		return verdict{disagrees, begin(c.the()) + " did not run on the host's kernel."}
	case vk == kernelShared:
		return verdict{disagrees, begin(v.the()) + " ran on the host's kernel: it was no machine of its own."}
	case v.Emulated:
		return verdict{emulation, fmt.Sprintf("%s shares the host's kernel and %s does not, as the lecture says; but its hardware was "+
			"imitated in software and not virtualized.", begin(c.the()), v.the())}
	case !vid.Hypervisor:
		return verdict{partly, fmt.Sprintf("%s shares the host's kernel and %s does not; but the processor of %s names no hypervisor, so that nothing shows "+
			"the level of the hardware.", begin(c.the()), v.the(), v.Name)}
	default:
		return verdict{agrees, fmt.Sprintf("%s shares the host's kernel; %s runs another one on a processor that is virtual (%s).", begin(c.the()), v.the(), hypervisor(vid))}
	}
}

func (m *model) judgeGuestOS() verdict {
	c, v := m.pair()
	if c == nil || v == nil {
		return verdict{undecided, m.missing(c != nil, v != nil)}
	}
	cid, vid := m.run.Identity(c.Name), m.run.Identity(v.Name)
	ck, vk := m.kernelOf(cid), m.kernelOf(vid)
	switch {
	case ck == kernelUnknown || vk == kernelUnknown:
		return verdict{undecided, "A boot_id is missing, without which nobody can tell whose kernel it was."}
	case ck == kernelShared && vk == kernelOwn:
		return verdict{agrees, fmt.Sprintf("The program in %s was served by a kernel of its own; the one in %s by the host's.", v.the(), c.the())}
	case ck == kernelOwn && vk == kernelOwn:
		return verdict{disagrees, "Both ran on kernels other than the host's."}
	case ck == kernelShared:
		return verdict{disagrees, "Both ran on the host's kernel."}
	default:
		return verdict{disagrees, fmt.Sprintf("It was the other way round: %s ran on the host's kernel and %s did not.", v.the(), c.the())}
	}
}

func (m *model) judgeIsolation() verdict {
	c, v := m.pair()
	if c == nil && v == nil {
		return verdict{undecided, m.missing(false, false)}
	}
	if of, other := m.walls.first("container"), m.walls.first("vm"); of != nil && other != nil {
		return m.walls.judge(of, other)
	}
	return verdict{partly, "What separates the program from the host was seen; whether it stops an attack was not measured in this run, " +
		"so neither \"weaker\" nor \"stronger\" is tested."}
}

// judgeFigure judges a row that says that a container needs less of something
// than a virtual machine. How is a sentence's middle with a place for the
// ratio.
func (m *model) judgeFigure(name, how, less string) verdict {
	ms := m.metric(name)
	c, v := ms.first("container"), ms.first("vm")
	if c == nil || v == nil {
		return verdict{undecided, m.missing(c != nil, v != nil)}
	}
	r := m.compare(ms.metric, v.Platform, c.Platform)
	if math.IsNaN(r.Ratio) {
		return verdict{undecided, "The figures of " + c.Platform.the() + " are not above zero, so that no ratio can be formed."}
	}
	fact := begin(fmt.Sprintf("%s "+how+" %s", v.Platform.the(), ratio(r), c.Platform.the()))
	direction, mark := directionOf(r)
	switch {
	case mark == undecided && direction == 0:
		return verdict{undecided, fact + "; there are too few samples for a 95% interval of this ratio."}
	case mark == undecided:
		return verdict{undecided, fact + ": the interval holds 1, so no difference was found."}
	}
	end := map[bool]string{true: ", as the lecture says", false: fmt.Sprintf(": here the virtual machine needed %s, against the lecture", less)}[direction > 0]
	if v.Platform.Emulated || c.Platform.Emulated {
		return verdict{mark.emulated(), fact + end + "; but the size of this ratio is an emulator's, not a hypervisor's."}
	}
	return verdict{mark, fact + end + "."}
}

// directionOf reads a ratio of virtual machine to container: which of the two
// needs more, when the interval can tell to the digits that are printed. The
// direction is 0 without an interval.
func directionOf(r result.Ratio) (direction int, mark markOf) {
	switch {
	case r.FormatInterval() == "–":
		return 0, undecided
	case r.Low > 1 && result.FormatRatio(r.Low) != "1.00":
		return 1, agrees
	case r.High < 1 && result.FormatRatio(r.High) != "1.00":
		return -1, disagrees
	default:
		return 1, undecided
	}
}

func (m *model) judgePortability() verdict {
	var names []string
	sums := map[string]bool{}
	for _, p := range m.platforms {
		if id := m.run.Identity(p.Name); id != nil && id.DataSHA256 != "" {
			names = append(names, p.the())
			sums[id.DataSHA256] = true
		}
	}
	const rest = "it runs on another machine or hypervisor was not measured by this version."
	besides := ""
	if img := m.image(); img != nil {
		for _, p := range m.kind("vm") {
			if _, bytes := p.parts(img); bytes > 0 && m.run.Identity(p.Name) != nil {
				_, archives, _ := imageSums(img)
				besides = fmt.Sprintf(" %s needed an operating system besides (\"include OS\"), of %s times the image's size; the lecture's other dependencies were not varied.",
					begin(p.the()), result.FormatRatio(float64(bytes)/float64(max(1, archives))))
				break
			}
		}
	}
	switch {
	case len(sums) > 1:
		return verdict{disagrees, "The programs on " + list(names) + " did not read the same data: the image was not the same everywhere."}
	case len(names) > 3:
		names = []string{"the programs on " + fmt.Sprint(len(names)) + " platforms"}
		fallthrough
	case len(names) > 1 && besides != "":
		return verdict{partly, "On this one machine, " + list(names) + " read the very same bytes of one image (equal SHA-256)." + besides}
	case len(names) > 1:
		return verdict{partly, "On this one machine, " + list(names) + " read the very same bytes of one image (equal SHA-256); whether " + rest}
	default:
		return verdict{unasked, "Whether " + rest}
	}
}
