package report

import (
	"fmt"
	"math"
	"slices"

	"vmctr/report/result"
)

func (m *model) memorySection() section {
	s := section{ID: "memory", Title: "Memory"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	detail := func(b ...block) { s.Details = append(s.Details, b...) }
	add(paragraph{"Question.", "How much of the host's memory does one idle instance occupy, with everything that exists on its behalf?"})
	list := m.of("memory")
	if len(m.metric("pss_bytes").present()) == 0 {
		add(m.nothing("memory"))
		return s
	}
	add(paragraph{"Four accounts.", "There is no single right answer, so four stand side by side. They are sums over all processes on the host that belong to the " +
		"instance; those of a virtual machine are the hypervisor's. **RSS** counts every page that is mapped and resident, shared ones in full. **PSS** divides " +
		"a page that several processes share by their number: it is the fair share, and the PSS of all processes of a host add up to what they really occupy. **USS** counts only the pages that " +
		"no other process shares: what would come free if the instance ended (proc_pid_smaps(5)). **cgroup** is what the kernel charges to the instance's control " +
		"group, with page cache and kernel memory; a platform that gives an instance no control group has no such account."})
	add(m.memoryFigure(list))
	if words := m.memoryWords(); len(words) > 0 {
		add(paragraph{"Findings.", ""}, points(words))
	}
	add(m.shortTable(list, "Memory of one idle instance"))
	detail(m.figureTable(list, "Memory of one idle instance"))
	detail(m.differTable(m.metric("pss_bytes"), "Do they differ? PSS", len(m.metric("first_instruction_ns").pairs()) == 0)...)
	detail(m.tailTable(m.metric("pss_bytes"), "Beyond the median: PSS")...)
	detail(m.hostBlocks()...)
	parts, tables := m.partBlocks()
	add(parts...)
	detail(tables...)
	add(paragraph{"How it was measured.", m.roundsText("memory") + " After its first instruction the program says who it is and then idles for a second before its memory is " +
		"read, so that what the start set off has ended. PSS, USS and RSS come from /proc/PID/smaps_rollup."})
	add(paragraph{"Its error.", "Pages that other processes on the host map as well make PSS smaller and leave RSS as it is, so PSS depends on what else runs." + m.disturbedText(m.metric("pss_bytes")) +
		" One instance at a time was measured here."})
	add(paragraph{"What others measured.", "The method decides the number. " + agache + " found 131" + nbsp + "MiB for QEMU as the size of its writable memory less the guest's RAM, but by RSS only about 24" + nbsp + "MiB more than for Firecracker. " +
		firecracker + ": at most 5" + nbsp + "MiB for the machine monitor itself. " + idlab + ": 5.5" + nbsp + "MB for runc, 22.5" + nbsp + "MB for gVisor, 157" + nbsp + "MB for Kata Containers on QEMU."})
	s.Ask = []string{
		"A host has 8" + nbsp + "GiB of free memory. How many of these instances fit into it, by which of the four accounts, and why by that one?",
		"Where do RSS and PSS differ most in the table? Which pages are counted twice there, and who else has them?",
	}
	if len(m.with("ram_pss_bytes")) > 0 {
		s.Ask = append(s.Ask, "Which parts of a machine's memory would be there a second time with a second machine, and which would not?",
			"The guest calls memory free that the host has given away. Why does the host not take it back by itself?")
	}
	return s
}

// hostBlocks are the accounts of the host's own kernel, if the journal has them.
func (m *model) hostBlocks() []block {
	list := m.with("available_drop_bytes")
	if len(list) == 0 {
		return nil
	}
	t := &table{Caption: "What the host's kernel says while one instance idles, less what it said before", Columns: []column{{Title: "Platform", Wide: 1}}}
	columns := []struct{ title, value string }{
		{"MemAvailable less", "available_drop_bytes"}, {"not back after its end", "available_left_bytes"}, {"slab", "added_slab_bytes"}, {"kernel stacks", "added_kernel_stack_bytes"},
		{"page tables", "added_page_tables_bytes"}, {"cgroup: kernel", "cgroup_kernel_bytes"},
	}
	var left []float64
	for _, c := range columns {
		t.Columns = append(t.Columns, column{Title: c.title, Right: true})
	}
	for _, p := range list {
		row := []string{p.label()}
		for _, c := range columns {
			row = append(row, medianCell(result.Summarize(m.run.Values("memory", p.Name, c.value))))
		}
		t.Rows = append(t.Rows, row)
		for _, v := range m.run.Values("memory", p.Name, "available_left_bytes") {
			left = append(left, math.Abs(v))
		}
	}
	if slices.ContainsFunc(list, func(p *platform) bool { return p.Emulated }) {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return []block{t, paragraph{"The host's view.", fmt.Sprintf("MemAvailable (proc_meminfo(5)) is of the whole host, with all that it does meanwhile. How far that moves it can be seen once an instance has ended: half of the time, "+
		"%s or more had not come back, or had come in addition. A platform whose figure is not above that by far is not told apart from the host by this account. Slab, kernel stacks and page tables are what the kernel has taken for itself, and can have become less too.",
		value(result.Summarize(left).Median, "bytes"))}}
}

func (m *model) memoryWords() []string {
	pss := m.metric("pss_bytes")
	out := append(m.groupWords(pss, hasPSS), m.oddWords(pss)...)
	low, high := math.Inf(1), math.Inf(-1)
	var less, more []*platform
	for _, f := range pss.present() {
		if uss := m.metric("uss_bytes").figure(f.Platform).Summary; uss.N > 0 && f.Summary.Median > 0 {
			part := uss.Median / f.Summary.Median
			low, high = min(low, part), max(high, part)
		}
		switch cg := m.metric("cgroup_bytes").figure(f.Platform).Summary; {
		case cg.N == 0:
		case cg.Median < f.Summary.Median:
			less = append(less, f.Platform)
		default:
			more = append(more, f.Platform)
		}
	}
	if low <= high {
		part := share(low, 1)
		if share(high, 1) != part {
			part += " to " + share(high, 1)
		}
		out = append(out, "What would come free if an instance ended (USS) is "+part+" of its PSS.")
	}
	every := func(some, others []*platform) string {
		if len(others) == 0 && len(some) > 2 {
			return "every platform that has one"
		}
		return those(some)
	}
	if len(less) > 0 {
		out = append(out, "The control group is charged less than the PSS on "+every(less, more)+": a page is charged to the group that touched it first, and that can be another one, also of an earlier instance.")
	}
	if len(more) > 0 {
		out = append(out, "The control group is charged as much as the PSS or more on "+every(more, less)+": it also counts page cache and the kernel's own memory.")
	}
	var emulated []*platform
	for _, f := range pss.present() {
		if _, apart := m.memoryMedian(f.Platform, "translations_pss_bytes"); f.Platform.Emulated && !apart {
			emulated = append(emulated, f.Platform)
		}
	}
	if len(emulated) > 0 {
		out = append(out, "QEMU's cache of translated code is inside the figures of "+those(emulated)+": an emulator has one, and a hypervisor has none.")
	}
	return out
}
