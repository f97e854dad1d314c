package report

import (
	"fmt"
	"strings"

	"vmctr/report/result"
	"vmctr/report/result/identity"
)

// lectureTable is the table of the lecture with a second answer in every cell:
// what this machine measured.
type lectureTable struct {
	Rows []lectureRow
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
	agrees    markOf = "Agrees"
	disagrees markOf = "Disagrees"
	undecided markOf = "Undecided"
	emulation markOf = "Emulated"
	partly    markOf = "Partly measured"
	unasked   markOf = "Not measured"
)

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

func (m *model) lectureTable() lectureTable {
	row := func(criterion string, measured func(*platform) []string, v verdict) lectureRow {
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
	}}
}

// cell collects what all platforms of a kind measured; each line names its
// platform when there are several, or when its figures are emulated.
func (m *model) cell(kind string, measured func(*platform) []string) []string {
	platforms := m.kind(kind)
	if len(platforms) == 0 {
		return []string{"Not in this run."}
	}
	var lines []string
	for _, p := range platforms {
		mine := measured(p)
		if len(mine) == 0 {
			mine = []string{capital(p.state()) + "."}
		}
		if len(platforms) > 1 || p.Emulated {
			mine[0] = p.label() + ": " + mine[0]
		}
		lines = append(lines, mine...)
	}
	return lines
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (m *model) virtualization(p *platform) []string {
	id := m.run.Identity(p.Name)
	switch m.kernelOf(id) {
	case kernelShared:
		return []string{"Runs on the host's own kernel: the boot_id is the same."}
	case kernelOwn:
		line := "Runs on a kernel of its own: another boot_id."
		if id.Hypervisor {
			line += " Its processor says that it is virtual: " + hypervisor(id) + "."
		}
		return []string{line}
	}
	return unknownKernel(id)
}

// unknownKernel is the line of a platform whose kernel cannot be told.
func unknownKernel(id *identity.Identity) []string {
	if id == nil {
		return nil
	}
	return []string{"Undecided: a boot_id was not recorded."}
}

func (m *model) guestOS(p *platform) []string {
	id := m.run.Identity(p.Name)
	switch m.kernelOf(id) {
	case kernelShared:
		return []string{fmt.Sprintf("No: %s, as on the host.", kernelName(id.Kernel))}
	case kernelOwn:
		return []string{fmt.Sprintf("Yes: %s, up for %s when asked.", kernelName(id.Kernel), value(id.Uptime*1e9, "ns"))}
	}
	return unknownKernel(id)
}

func (m *model) isolation(p *platform) []string {
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
		parts = append(parts, uidMap(id), "effective capabilities: "+capabilities(id), "seccomp: "+seccomp(id))
		return []string{sentence(strings.Join(parts, "; "))}
	case kernelOwn:
		return []string{"A kernel of its own: its namespaces and users are none of the host's, and their numbers cannot be compared."}
	}
	return unknownKernel(id)
}

func (m *model) resources(p *platform) []string { return m.figureLines("pss_bytes", p, " PSS") }

func (m *model) startup(p *platform) []string { return m.figureLines("first_instruction_ns", p, "") }

// figureLines is a metric of one platform: median, interval, n, and the ratio
// to the plain process.
func (m *model) figureLines(name string, p *platform, what string) []string {
	ms := m.metric(name)
	f := ms.figure(p)
	if f.Summary.N == 0 {
		return nil
	}
	s := f.Summary
	line := value(s.Median, ms.unit()) + what
	if s.HasInterval() {
		line += fmt.Sprintf(" (%s, n%s=%s%d)", interval(s, ms.unit()), nbsp, nbsp, s.N)
	} else {
		line += fmt.Sprintf(" (n%s=%s%d, too few for an interval)", nbsp, nbsp, s.N)
	}
	if f.Ratio != nil {
		line += fmt.Sprintf("; %s times the plain process", ratio(*f.Ratio))
	}
	return []string{line + "."}
}

func (m *model) portability(p *platform) []string {
	id := m.run.Identity(p.Name)
	if id == nil {
		return nil
	}
	img := m.run.Header.Image
	line := "Ran the image as it is"
	if img.Digest != "" {
		line = "Ran the image " + shortDigest(img.Digest) + " as it is"
	}
	if img.Bytes > 0 {
		line += fmt.Sprintf(" (%s unpacked)", value(float64(img.Bytes), "bytes"))
	}
	if m.kernelOf(id) == kernelOwn {
		line += ", and needed a kernel besides"
	}
	return []string{line + "."}
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
		platforms := m.kind(kind)
		if len(platforms) == 0 {
			parts = append(parts, "no "+name+" was part of this run")
			return
		}
		var states []string
		for _, p := range platforms {
			states = append(states, p.Name+": "+p.state())
		}
		parts = append(parts, "there is no figure of a "+name+" ("+strings.Join(states, ", ")+")")
	}
	if !haveContainer {
		say("container", "container")
	}
	if !haveVM {
		say("vm", "virtual machine")
	}
	return capital(list(parts)) + "."
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
		return verdict{disagrees, fmt.Sprintf("The %s did not run on the host's kernel.", c.Name)}
	case vk == kernelShared:
		return verdict{disagrees, fmt.Sprintf("The %s ran on the host's kernel: it was no machine of its own.", v.Name)}
	case v.Emulated:
		return verdict{emulation, fmt.Sprintf("The container shares the host's kernel and %s does not, as the lecture says; but its hardware was "+
			"imitated in software and not virtualized.", v.Name)}
	case !vid.Hypervisor:
		return verdict{partly, fmt.Sprintf("The container shares the host's kernel and %s does not; its processor names no hypervisor, so the level is not shown.", v.Name)}
	default:
		return verdict{agrees, fmt.Sprintf("The container shares the host's kernel; %s runs another one on a processor that %s virtualizes.", v.Name, hypervisor(vid))}
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
		return verdict{agrees, fmt.Sprintf("The program in %s was served by a kernel that had been booted for it; the one in the container by the host's.", v.Name)}
	case ck == kernelOwn && vk == kernelOwn:
		return verdict{disagrees, "Both ran on kernels other than the host's."}
	case ck == kernelShared:
		return verdict{disagrees, "Both ran on the host's kernel."}
	default:
		return verdict{disagrees, "It was the other way round."}
	}
}

func (m *model) judgeIsolation() verdict {
	c, v := m.pair()
	if c == nil && v == nil {
		return verdict{undecided, m.missing(false, false)}
	}
	return verdict{partly, "What separates the program from the host was seen; whether it stops an attack was not measured by this version, " +
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
	fact := fmt.Sprintf("%s "+how+" %s", v.Platform.label(), ratio(r), c.Platform.label())
	direction, mark := directionOf(r)
	switch {
	case mark == undecided && direction == 0:
		return verdict{undecided, fact + ", from too few samples to tell the two apart."}
	case mark == undecided:
		return verdict{undecided, fact + ": the interval holds 1, so no difference was found."}
	}
	end := map[bool]string{true: ", as the lecture says", false: fmt.Sprintf(": here the virtual machine needed %s, against the lecture", less)}[direction > 0]
	if v.Platform.Emulated || c.Platform.Emulated {
		return verdict{emulation, fact + end + "; but the size of this ratio is an emulator's, not a hypervisor's."}
	}
	return verdict{mark, fact + end + "."}
}

// directionOf reads a ratio of virtual machine to container: which of the two
// needs more, when the interval can tell. The direction is 0 without an
// interval.
func directionOf(r result.Ratio) (direction int, mark markOf) {
	switch {
	case r.FormatInterval() == "–":
		return 0, undecided
	case r.Low > 1:
		return 1, agrees
	case r.High < 1:
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
			names = append(names, p.Name)
			sums[id.DataSHA256] = true
		}
	}
	const rest = "whether it runs on another machine or hypervisor was not measured by this version."
	switch {
	case len(sums) > 1:
		return verdict{disagrees, "The programs on " + list(names) + " did not read the same data: the image was not the same everywhere."}
	case len(names) > 1:
		return verdict{partly, "On this one machine, " + list(names) + " read the very same bytes of one image (equal SHA-256); " + rest}
	default:
		return verdict{unasked, capital(rest)}
	}
}
