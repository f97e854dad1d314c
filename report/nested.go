package report

import (
	"fmt"
	"slices"
	"strings"

	"vmctr/report/result"
)

// The combination: a container in a virtual machine. It stands in neither column of
// the lecture's table, of which it is both.

const lectureCombination = "Combination is possible: physical server → virtual machines → containers"

// combination is what the run has to say of it, "" if it was not asked for it.
func (m *model) combination() string {
	var seen []string
	for _, p := range m.kind("nested") {
		seen = append(seen, m.combinationOf(p))
	}
	if len(seen) == 0 {
		return ""
	}
	return "The lecture also says: \"" + lectureCombination + "\". " + strings.Join(seen, " ")
}

func (m *model) combinationOf(p *platform) string {
	id := m.run.Identity(p.Name)
	own, shared := apart(id, m.run.GuestNamespaces(p.Name))
	switch k := m.kernelOf(id); {
	case id == nil:
		return fmt.Sprintf("Of %s nothing was seen: %s.", p.label(), p.state())
	case k == kernelUnknown || len(own)+len(shared) == 0:
		return fmt.Sprintf("Undecided for %s: a boot_id or the guest's namespaces were not recorded.", p.label())
	case k == kernelShared:
		return fmt.Sprintf("Not so in %s: its program ran on the host's kernel.", p.label())
	case len(own) == 0:
		return fmt.Sprintf("Not so in %s: its program was in its guest's own namespaces, and so in no container.", p.label())
	}
	return fmt.Sprintf("So it was in %s: its program ran on a kernel other than the host's, in a container there: %d of its %d namespaces are not its guest's.",
		p.label(), len(own), len(own)+len(shared))
}

// containerShare tells what of the start of a container in a machine is the
// container's, beside the one on the host.
func (m *model) containerShare(f figureOf) string {
	values := m.run.Values("startup", f.Platform.Name, "container_ns")
	if len(values) == 0 {
		return ""
	}
	text := fmt.Sprintf("In %s the container itself took %s: from when the guest, being up, was asked for it, to its first instruction. Where the machine is up already, this is all that its user waits for.",
		f.Platform.label(), medianAndInterval(result.Summarize(values), "ns"))
	c := m.metric("first_instruction_ns").first("container")
	if c == nil {
		return text
	}
	if r := result.Compare(values, c.Summary.Values, m.run.Header.Seed); r.Ratio > 0 {
		text += fmt.Sprintf(" It is %s times what %s took on the host.", ratio(r), c.Platform.the())
	}
	return text
}

// containerPart is, in a drawing, all of the start of a container in a machine.
const containerPart = "container"

// drawn are the phases as a bar has room for them: a container's in a machine are one.
func (l timeline) drawn() []phaseOf {
	i := slices.IndexFunc(l.Phases, func(p phaseOf) bool { return p.Name == "workload" })
	if l.Platform.Kind != "nested" || i < 0 {
		return l.Phases
	}
	part := l.Phases[i]
	part.Name, part.Took = containerPart, l.Total-part.Began
	return append(l.Phases[:i:i], part)
}

func containerPartNote(lines []timeline) string {
	for _, l := range lines {
		if l.Platform.Kind == "nested" {
			return " The last part of " + l.Platform.label() + ", in the colour of containers, is the start of its container, with all of its phases."
		}
	}
	return ""
}

// throughMachine is how a container in a machine is reached, "" without one.
func (m *model) throughMachine() string {
	for _, f := range m.metric("http_ns").present() {
		if f.Platform.Kind == "nested" {
			return " A container in a machine is reached through the machine, where PID 1 takes each connection and makes another."
		}
	}
	return ""
}

// containerShareError is the error of these figures, "" without one.
func (m *model) containerShareError() string {
	for _, p := range m.kind("nested") {
		errors := m.run.Values("startup", p.Name, "container_error_ns")
		if len(errors) == 0 {
			continue
		}
		return fmt.Sprintf(" When the guest of %s was asked for its container is known by the guest's clock, which is set by that of its reports that was under way to the host for the shortest time. "+
			"By this time the container's share is too short: at most %s in the median start, which a question and its answer took there and back.", p.label(), value(result.Summarize(errors).Median, "ns"))
	}
	return ""
}
