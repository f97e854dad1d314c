package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"vmctr/report/result/isolation"
)

const throwawayNote = "† In the throwaway machine, whose kernel is another than the host's: a process with nothing in its way, and a container that lacks its filter, so that the kernel itself is asked."

// privilegesSection tells what programs may do. A run that has not asked has no such section.
func (m *model) privilegesSection() (s section, any bool) {
	all := m.privileged()
	if len(all) == 0 {
		return s, false
	}
	s = section{ID: "privileges", Title: "Isolation: what the program may do"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	add(paragraph{"Question.", "A kernel asks of a program that wants something: is there a filter that refuses the system call, and has it the privilege? What may a program do, and whose kernel is it that lets it?"},
		m.mayTable(all),
		paragraph{"Findings.", ""}, points(m.privilegeWords(all)),
		paragraph{"How to read it.", "Capabilities are the powers into which Linux divides those of root (capabilities(7)); in a user namespace they hold only for what belongs to that. A filtered system call is answered by a seccomp filter before the kernel looks at it; a refused one by the kernel, for lack of a privilege. " +
			"In a machine everything may be allowed: it is the machine's kernel that allows it, and the host's is asked nothing. Security modules (AppArmor, SELinux) can forbid what all others allow; their label is in the full table, where there is one."},
		paragraph{"How it was measured.", m.privilegeMethod(all)},
		paragraph{"What it does not tell.", "What is served can still be harmless: the counts say how much of a kernel can be asked for something, and not how much of it is dangerous. A filter that decides by arguments is seen for those arguments alone, and a privilege that is asked for only after the arguments were found good is not seen: then the call counts as served."})
	s.Ask = []string{
		"Root of the container has user number 0. What may it not do that root of the host may? Name two capabilities that it lacks, and what they are for.",
		"Which system calls would you let a web server have, and how would you find out which it needs?",
		"A program in a virtual machine may make every system call. Why does that not matter to the host, and to whom does it matter?",
	}
	const most = 5 // beside each other on a page
	tables := (len(all) + most - 1) / most
	for group := range slices.Chunk(all, (len(all)+tables-1)/tables) {
		s.Details = append(s.Details, m.privilegeTable(group))
	}
	return s, true
}

// whoseKernelAnswers says it for a table.
func (m *model) whoseKernelAnswers(v viewed) string {
	switch {
	case v.platform == nil:
		return "the throwaway machine's"
	case v.privileges.BootID == m.run.Header.Host.BootID:
		return "the host's"
	}
	return "its own"
}

// mayTable has in a row what each program may do, in short.
func (m *model) mayTable(all []viewed) *table {
	t := &table{Caption: "What each program may do", Columns: []column{{Title: "Program", Wide: 1}, {Title: "Kernel", Wide: 1}, {Title: "Capabilities", Right: true}, {Title: "Calls filtered", Right: true},
		{Title: "refused", Right: true}, {Title: "served", Right: true}, {Title: "absent", Right: true}, {Title: "Devices", Right: true}, {Title: "Settings", Right: true}},
		Notes: []string{"Capabilities: the effective ones. Devices: how many open, to read or to write. Settings: files of /proc/sys and /sys that open for writing. – was not tried."}}
	for _, v := range all {
		p := v.privileges
		row := []string{v.name, m.whoseKernelAnswers(v), "–", "–", "–", "–", "–", "–", "–"}
		if has, ok := p.Capabilities["effective"]; ok && p.Known > 0 {
			row[2] = fmt.Sprintf("%d of %d", len(has), p.Known)
		}
		if len(p.Calls) > 0 {
			for i, c := range []isolation.Class{isolation.Filtered, isolation.Denied, isolation.Served, isolation.NotInKernel} {
				row[3+i] = fmt.Sprint(p.Count(c))
			}
		}
		if len(p.Devices) > 0 {
			open := 0
			for _, d := range p.Devices {
				if d.Read == "" || d.Write == "" {
					open++
				}
			}
			row[7] = fmt.Sprint(open)
		}
		if p.Knobs != nil {
			row[8] = fmt.Sprintf("%d of %d", p.Knobs.Open, p.Knobs.Files)
		}
		t.Rows = append(t.Rows, row)
	}
	if slices.ContainsFunc(all, func(v viewed) bool { return v.platform == nil }) {
		t.Notes = append(t.Notes, throwawayNote)
	}
	if slices.ContainsFunc(all, func(v viewed) bool { return v.platform != nil && v.platform.Emulated }) {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

// privilegeWords say what the counts show, of programs of which they are the same together.
func (m *model) privilegeWords(all []viewed) (words []string) {
	var counts alike
	for _, v := range all {
		p := v.privileges
		if len(p.Calls) == 0 {
			if p.CallsError != "" {
				words = append(words, fmt.Sprintf("%s: its system calls were %s", v.title, stop(clip(p.CallsError, 200))))
			}
			continue
		}
		text := fmt.Sprintf("of %s, a filter answers %d, the kernel refuses %d for lack of a privilege, serves %d, and does not have %d.", count(len(p.Calls), "system call", "system calls"),
			p.Count(isolation.Filtered), p.Count(isolation.Denied), p.Count(isolation.Served), p.Count(isolation.NotInKernel))
		if p.CallsError != "" {
			text += " Not all could be told: " + stop(clip(p.CallsError, 200))
		}
		if v.platform != nil {
			counts.add(v.platform.the(), text) // those in the throwaway machine are in the table
		}
	}
	for _, text := range counts.texts {
		words = append(words, begin(list(counts.who[text]))+": "+text)
	}
	words = append(words, behindFilter(all)...)
	if v := firstOf(all, "container"); v != nil {
		p := v.privileges
		has := p.Capabilities["effective"]
		if p.Known > 0 {
			words = append(words, fmt.Sprintf("%s has %d of the %d capabilities: %s.", v.title, len(has), p.Known, cmpOr(clip(strings.Join(has, ", "), 400), "none")))
		}
	}
	return words
}

func firstOf(all []viewed, kind string) *viewed {
	for i := range all {
		if all[i].platform != nil && all[i].platform.Kind == kind {
			return &all[i]
		}
	}
	return nil
}

// behindFilter tells what becomes of the calls that a container's filter answers where it
// has none: whether there is another wall behind.
func behindFilter(all []viewed) []string {
	with := firstOf(all, "container")
	without := slices.IndexFunc(all, func(v viewed) bool { return v.privileges.Variant == isolation.Without("seccomp") })
	if with == nil || without < 0 || with.privileges.Count(isolation.Filtered) == 0 {
		return nil
	}
	class := map[string]isolation.Class{}
	for _, c := range all[without].privileges.Calls {
		class[c.Name] = c.Class
	}
	by := map[isolation.Class][]string{}
	for _, c := range with.privileges.Calls {
		if c.Class == isolation.Filtered {
			by[class[c.Name]] = append(by[class[c.Name]], printable(c.Name))
		}
	}
	text := fmt.Sprintf("Of the %d that the filter of %s answers, the throwaway machine's kernel refuses %d to a container without one", with.privileges.Count(isolation.Filtered), with.platform.the(), len(by[isolation.Denied]))
	if len(by[isolation.Denied]) > 0 {
		text += ", for lack of a privilege: there the filter is a second wall"
	}
	if n := len(by[isolation.Served]); n > 0 {
		text += fmt.Sprintf(". For %d it came as far as to look at their arguments, and may ask for a privilege later or not at all: of these the filter keeps more of the kernel out of reach: %s", n, clip(strings.Join(by[isolation.Served], ", "), 400))
	}
	return []string{text + "."}
}

func (m *model) privilegeTable(group []viewed) *table {
	t := &table{Caption: "Privileges", Columns: []column{{Title: ""}}}
	for _, v := range group {
		t.Columns = append(t.Columns, column{Title: v.name, Wide: 1})
	}
	row := func(title string, f func(p *isolation.Privileges) string) {
		cells, some := []string{title}, false
		for _, v := range group {
			text := f(v.privileges)
			some = some || text != ""
			cells = append(cells, cmpOr(text, "–"))
		}
		if some {
			t.Rows = append(t.Rows, cells)
		}
	}
	cells := []string{"Whose kernel answers"}
	for _, v := range group {
		cells = append(cells, m.whoseKernelAnswers(v))
	}
	t.Rows = append(t.Rows, cells)
	row("User, user map", func(p *isolation.Privileges) string {
		return fmt.Sprintf("%d; %s", p.UID, cmpOr(clip(printable(p.UIDMap), 60), "no map"))
	})
	for _, set := range []string{"effective", "permitted", "inheritable", "bounding", "ambient"} {
		row("Capabilities, "+set, func(p *isolation.Privileges) string {
			names, ok := p.Capabilities[set]
			if !ok || p.Known == 0 {
				return ""
			}
			return fmt.Sprintf("%d of %d", len(names), p.Known)
		})
	}
	row("Securebits", func(p *isolation.Privileges) string { return clip(strings.Join(p.Securebits, ", "), 80) })
	row("Seccomp", func(p *isolation.Privileges) string {
		mode := map[int]string{0: "off", 1: "strict", 2: "filter"}[p.Seccomp]
		if p.Filters > 0 {
			mode += ", " + count(p.Filters, "filter", "filters")
		}
		return mode
	})
	row("no_new_privs", func(p *isolation.Privileges) string { return map[bool]string{true: "yes", false: "no"}[p.NoNewPrivs] })
	row("Label of a security module", func(p *isolation.Privileges) string { return clip(printable(p.Label), 60) })
	row("Security modules in view", func(p *isolation.Privileges) string {
		return clip(strings.ReplaceAll(printable(p.LSMs), ",", ", "), 100)
	})
	for _, c := range isolation.Classes {
		row("System calls, "+string(c), func(p *isolation.Privileges) string {
			if n := p.Count(c); n > 0 || len(p.Calls) > 0 && c != isolation.Unclear {
				return fmt.Sprint(n)
			}
			return ""
		})
	}
	row("Devices that open", func(p *isolation.Privileges) string { return clip(openDevices(p), 200) })
	row("Settings that open for writing", func(p *isolation.Privileges) string {
		if p.Knobs == nil {
			return ""
		}
		text := fmt.Sprintf("%d of %d", p.Knobs.Open, p.Knobs.Files)
		if p.Knobs.Error != "" {
			text += "; " + clip(p.Knobs.Error, 60)
		}
		return text
	})
	if slices.ContainsFunc(group, func(v viewed) bool { return v.platform == nil }) {
		t.Notes = append(t.Notes, throwawayNote)
	}
	return t
}

// openDevices are those that open, with how.
func openDevices(p *isolation.Privileges) string {
	by := map[string][]string{}
	for _, d := range p.Devices {
		name := strings.TrimPrefix(printable(d.Path), "/dev/")
		switch {
		case d.Read == "" && d.Write == "":
			by["read and write"] = append(by["read and write"], name)
		case d.Read == "":
			by["read"] = append(by["read"], name)
		case d.Write == "":
			by["write"] = append(by["write"], name)
		}
	}
	var parts []string
	for _, how := range []string{"read and write", "read", "write"} {
		if len(by[how]) > 0 {
			parts = append(parts, how+": "+strings.Join(by[how], ", "))
		}
	}
	if len(parts) == 0 && len(p.Devices) > 0 {
		return "none of " + fmt.Sprint(len(p.Devices))
	}
	return strings.Join(parts, "; ")
}

func (m *model) privilegeMethod(all []viewed) string {
	text := "The kernel says of a program what sets, filters and maps it has (/proc/self/status, proc_pid_status(5)). Every system call of the table was tried twice. What a filter says is asked without executing anything: a filter of our own behind it hands the call to a listener, which refuses it with an error that nobody else gives; a stricter filter's answer goes before that (seccomp(2), seccomp_unotify(2)). " +
		"What is let through is executed with arguments that make no sense, in a process that may die of it: EPERM and EACCES count as refused, ENOSYS as absent, all else as served. Some that are let through are not executed: they would end, stop or double whoever makes them, or do something to all. " +
		"Devices and settings were opened and closed, nothing was read or written; devices for which opening does something were left out."
	if slices.ContainsFunc(all, func(v viewed) bool { return v.platform != nil && v.platform.Kind == "process" }) {
		text += " Of a plain process on the host no system calls are tried, since a few do something whatever their arguments are."
	}
	if len(m.privilegeAppendix()) > 0 {
		text += " All calls and settings are [in the appendix by name](#calls)."
	}
	return text
}

// privilegeAppendix has each system call by name, and what can be set.
func (m *model) privilegeAppendix() (blocks []block) {
	all := slices.DeleteFunc(m.privileged(), func(v viewed) bool { return len(v.privileges.Calls) == 0 })
	if len(all) > 0 {
		blocks = append(blocks, callTable(all))
	}
	if t := m.knobTable(); t != nil {
		blocks = append(blocks, t)
	}
	return blocks
}

// callTable has every call once: those of which the same became on each of the platforms
// are together.
func callTable(list []viewed) *table {
	t := &table{Caption: "System calls", Columns: []column{{Title: "What became of them", Wide: 1}, {Title: "n", Right: true}, {Title: "System calls", Wide: 2}}}
	outcomes := map[string][]string{} // by the call's name: of each platform
	for n, v := range list {
		for _, c := range v.privileges.Calls {
			name := cmpOr(printable(c.Name), fmt.Sprintf("number %d", c.Number))
			if outcomes[name] == nil {
				outcomes[name] = make([]string, len(list))
			}
			word := string(c.Class)
			if c.Class == isolation.Filtered || c.Class == isolation.Denied {
				word += " (" + c.Answer + ")"
			}
			outcomes[name][n] = clip(printable(word), 40)
		}
	}
	rows := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(outcomes)) {
		key := became(list, outcomes[name])
		rows[key] = append(rows[key], name)
	}
	keys := slices.SortedFunc(maps.Keys(rows), func(a, b string) int {
		if d := len(rows[b]) - len(rows[a]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	const most = 60 // in a row, which is to fit on a page
	for _, key := range keys {
		what, n := key, fmt.Sprint(len(rows[key]))
		for names := range slices.Chunk(rows[key], most) {
			t.Rows = append(t.Rows, []string{what, n, strings.Join(names, ", ")})
			what, n = "", ""
		}
	}
	t.Notes = []string{"Filtered: by seccomp, with this error. Refused: by the kernel, for lack of a privilege. Absent: this kernel does not have it."}
	return t
}

// became puts into words what became of a call on each platform.
func became(list []viewed, outcomes []string) string {
	var words []string
	by := map[string][]string{}
	for n, word := range outcomes {
		word = cmpOr(word, "not known")
		if by[word] == nil {
			words = append(words, word)
		}
		by[word] = append(by[word], list[n].name)
	}
	if len(words) == 1 {
		return words[0] + ": all"
	}
	var parts []string
	for _, word := range words {
		parts = append(parts, word+": "+strings.Join(by[word], ", "))
	}
	return strings.Join(parts, "; ")
}

// knobTable counts settings that open for writing by folder.
func (m *model) knobTable() *table {
	all := slices.DeleteFunc(m.privileged(), func(v viewed) bool { return v.privileges.Knobs == nil })
	folders := map[string]bool{}
	for _, v := range all {
		for f := range v.privileges.Knobs.By {
			folders[f] = true
		}
	}
	if len(folders) == 0 {
		return nil
	}
	t := &table{Caption: "Settings that open for writing, by folder", Columns: []column{{Title: "Folder", Wide: 1}}}
	for _, v := range all {
		t.Columns = append(t.Columns, column{Title: v.name, Right: true})
	}
	for _, f := range slices.Sorted(maps.Keys(folders)) {
		cells := []string{clip(printable(f), 60)}
		for _, v := range all {
			cells = append(cells, fmt.Sprint(v.privileges.Knobs.By[f]))
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}
