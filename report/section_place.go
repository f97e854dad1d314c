package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"vmctr/report/result/identity"
)

func (m *model) placeSection() section {
	s := section{ID: "place", Title: "Where the program found itself"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	add(paragraph{"Question.", "Whose kernel serves the program, and what of the host can it still see? This is the evidence for the rows \"Virtualization\" and \"Guest OS\" of the lecture's table."})
	var told []*platform
	for _, p := range m.platforms {
		if m.run.Identity(p.Name) != nil {
			told = append(told, p)
		}
	}
	if len(told) == 0 {
		add(m.nothing("identity"))
		return s
	}
	if f := m.namespacesFigure(told); f != nil {
		add(f)
	}
	add(paragraph{"Findings.", ""}, points(m.placeWords(told)), m.kernelTable(told))
	add(paragraph{"How to read it.", "The number of a namespace names it within its kernel only. Every kernel gives its first namespaces the same constant numbers, so that a guest's can equal the host's though nothing is " +
		"shared; they are compared here only where the boot_id is equal (namespaces(7))."},
		paragraph{"How it was measured.", "The program of the image says where it finds itself, and sends it to bench: what it reads of /proc and of uname(2), and what the processor answers to CPUID. The boot_id is a number that a kernel draws at random when it boots: two programs that read the same one run on one kernel. " +
			"The host's own side was read by bench, on the host."},
		paragraph{"What it does not tell.", "Each platform was asked once; what it said would be the same at the next start but for numbers. A hypervisor can hide itself from CPUID, and a kernel can say any name and release: of all that is shown, the boot_id is the hardest to have by accident, and still no proof against somebody who wants to deceive."})
	s.Ask = []string{
		"How can you tell from the table that a container has no kernel of its own, without knowing what bench is?",
		"Find a namespace number that is the same on the host and in a virtual machine, or say why there is none. Is anything shared there?",
		"The lecture says that Docker on macOS and Windows runs containers in a hidden virtual machine. Which row of the table would show it?",
	}
	// More columns than four and the host do not fit on a page.
	for group := range slices.Chunk(told, 4) {
		s.Details = append(s.Details, m.identityTable(group), m.namespaceTable(group))
	}
	return s
}

// kernelTable has in a row by what kernel each platform was served, and how that is known.
func (m *model) kernelTable(told []*platform) *table {
	h := m.run.Header.Host
	t := &table{Caption: "Whose kernel serves the program", Columns: []column{{Title: "Platform", Wide: 1}, {Title: "boot_id", Mono: true}, {Title: "Kernel", Wide: 1}, {Title: "Whose"}, {Title: "Hypervisor (CPUID)", Wide: 1}},
		Rows:  [][]string{{"host", brief(clean(h.BootID)), clean(h.Kernel.Release), "", cmpOr(clean(h.Virtualization), "–")}},
		Notes: []string{"boot_id is cut to its first digits; the journal has it whole."}}
	for _, p := range told {
		id := m.run.Identity(p.Name)
		t.Rows = append(t.Rows, []string{p.label(), cmpOr(brief(clean(id.BootID)), "–"), cmpOr(clean(id.Kernel.Release), "–"),
			map[kernelOf]string{kernelShared: "the host's", kernelOwn: "its own", kernelUnknown: "not known"}[m.kernelOf(id)], cmpOr(hypervisor(id), "–")})
	}
	if slices.ContainsFunc(told, func(p *platform) bool { return p.Emulated }) {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

func (m *model) placeWords(told []*platform) []string {
	groups := map[kernelOf][]string{}
	for _, p := range told {
		k := m.kernelOf(m.run.Identity(p.Name))
		groups[k] = append(groups[k], p.the())
	}
	var out []string
	if g := groups[kernelShared]; len(g) > 0 {
		out = append(out, begin(fmt.Sprintf("%s read the host's own boot_id: one kernel serves %s and the host.", list(g), map[bool]string{true: "it", false: "them"}[len(g) == 1])))
	}
	if g := groups[kernelOwn]; len(g) > 0 {
		out = append(out, begin(fmt.Sprintf("%s read another boot_id: a kernel other than the host's.", list(g))))
	}
	if g := groups[kernelUnknown]; len(g) > 0 {
		out = append(out, fmt.Sprintf("For %s a boot_id is missing, so that nothing can be said of the kernel.", list(g)))
	}
	var same alike
	for _, p := range told {
		id := m.run.Identity(p.Name)
		own, shared := m.namespaces(id)
		if m.kernelOf(id) != kernelShared || len(own)+len(shared) == 0 {
			continue
		}
		text := "own namespaces for " + list(own) + ", and the host's for " + list(shared)
		switch {
		case len(own) == 0:
			text = "every namespace in common with the host"
		case len(shared) == 0:
			text = "no namespace in common with the host"
		}
		same.add(p.the(), text)
	}
	for _, text := range same.texts {
		has, whose := " has ", "its "
		if len(same.who[text]) > 1 {
			has, whose = " have ", "their "
		}
		if !strings.HasPrefix(text, "own ") {
			whose = ""
		}
		out = append(out, begin(list(same.who[text])+has+whose+text+"."))
	}
	for _, p := range told {
		own, shared := apart(m.run.Identity(p.Name), m.run.GuestNamespaces(p.Name))
		switch {
		case len(own)+len(shared) == 0:
		case len(shared) == 0:
			out = append(out, fmt.Sprintf("%s has no namespace in common with its guest's first process.", p.label()))
		default:
			out = append(out, fmt.Sprintf("%s has namespaces of its own inside its guest for %s, and the guest's for %s.", p.label(), cmpOr(list(own), "nothing"), list(shared)))
		}
	}
	return out
}

func (m *model) identityTable(group []*platform) *table {
	t := &table{Caption: "What the program saw", Columns: []column{{Title: ""}, {Title: "host", Wide: 1}}}
	var ids []*identity.Identity
	for _, p := range group {
		t.Columns = append(t.Columns, column{Title: p.label(), Wide: 1})
		ids = append(ids, m.run.Identity(p.Name))
	}
	// What the section on what programs see has is not shown twice.
	looked, asked := len(m.views()) > 0, len(m.privileged()) > 0
	row := func(name, host string, f func(*identity.Identity) string) {
		cells := []string{name, cmpOr(host, "–")}
		for _, id := range ids {
			cells = append(cells, cmpOr(f(id), "–"))
		}
		t.Rows = append(t.Rows, cells)
	}
	h := m.run.Header.Host
	row("boot_id", brief(h.BootID), func(id *identity.Identity) string { return brief(id.BootID) })
	row("Kernel", h.Kernel.Release, func(id *identity.Identity) string { return id.Kernel.Release })
	row("Hypervisor (CPUID)", h.Virtualization, hypervisor)
	row("User space", h.OS, func(id *identity.Identity) string { return cmpOr(id.OSRelease, "none in the image") })
	if !looked {
		row("CPUs", fmt.Sprint(h.CPUs), func(id *identity.Identity) string { return fmt.Sprint(id.CPUs) })
		row("Memory", value(float64(h.MemTotal), "bytes"), func(id *identity.Identity) string { return value(float64(id.MemTotal), "bytes") })
		row("Uptime", "", func(id *identity.Identity) string { return value(id.Uptime*1e9, "ns") })
		row("PID of the program", "", func(id *identity.Identity) string { return fmt.Sprint(id.PID) })
		row("Processes in view", "", func(id *identity.Identity) string { return fmt.Sprint(id.Processes) })
		row("Network interfaces", "", func(id *identity.Identity) string { return strings.Join(id.Interfaces, ", ") })
		row("Root file system", "", func(id *identity.Identity) string { return id.RootFS })
		row("Mounts in view", "", func(id *identity.Identity) string { return fmt.Sprint(id.Mounts) })
		row("User and group", "", func(id *identity.Identity) string { return fmt.Sprintf("%d, %d", id.UID, id.GID) })
		row("User map", "", uidMap)
	}
	if !asked {
		row("Capabilities", "", capabilities)
		row("Seccomp", "", seccomp)
		row("No new privileges", "", func(id *identity.Identity) string { return map[int]string{0: "no", 1: "yes"}[id.NoNewPrivs] })
	}
	row("Data file, SHA-256", "", func(id *identity.Identity) string { return brief(id.DataSHA256) })
	t.Notes = []string{"boot_id and SHA-256 are cut to their first digits; the journal has them whole. The host is the program bench; – was not recorded for it."}
	if slices.ContainsFunc(group, func(p *platform) bool { return p.Emulated }) {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

// brief is enough of an identifier to tell it from another.
func brief(id string) string {
	if len(id) <= 13 {
		return id
	}
	return id[:8] + "..."
}

// namespaceTable has the numbers themselves, and where they are comparable what
// they say.
func (m *model) namespaceTable(group []*platform) *table {
	host := m.run.Header.Host.Namespaces
	t := &table{Caption: "Namespaces", Columns: []column{{Title: "Type"}, {Title: "host", Wide: 1}}}
	types := map[string]bool{}
	for k := range host {
		types[k] = true
	}
	foreign, within := false, false
	for _, p := range group {
		t.Columns = append(t.Columns, column{Title: p.label(), Wide: 1})
		for k := range m.run.Identity(p.Name).Namespaces {
			types[k] = true
		}
	}
	number := func(n uint64, ok bool) string {
		if !ok {
			return "–"
		}
		return fmt.Sprint(n)
	}
	for _, k := range slices.Sorted(maps.Keys(types)) {
		h, onHost := host[k]
		cells := []string{k, number(h, onHost)}
		for _, p := range group {
			id := m.run.Identity(p.Name)
			n, ok := id.Namespaces[k]
			cell := number(n, ok)
			switch {
			case !ok:
			case m.kernelOf(id) != kernelShared:
				cell += " *"
				foreign = true
				if g, told := m.run.GuestNamespaces(p.Name)[k]; told {
					cell += map[bool]string{true: " guest's", false: " its own"}[g == n]
					within = true
				}
			case onHost && n == h:
				cell += " shared"
			case onHost:
				cell += " its own"
			}
			cells = append(cells, cell)
		}
		t.Rows = append(t.Rows, cells)
	}
	if foreign {
		t.Notes = append(t.Notes, "* a number of another kernel, which says nothing about the host's namespaces, equal or not.")
	}
	if within {
		t.Notes = append(t.Notes, "Of a container in a guest: its own, or the guest's, that of its first process.")
	}
	return t
}
