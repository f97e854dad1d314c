package report

import (
	"fmt"
	"slices"
	"strings"
)

// A memoryPart is a row of a table of what of a machine's memory is what.
type memoryPart struct {
	Name   string
	Value  string // in the journal; the median of it is shown
	Means  string
	Always bool // shown also where it is 0 on all platforms
}

// Of the mappings of QEMU, each is in one of these: they add up to its PSS.
var qemuParts = []memoryPart{
	{"guest RAM", "ram_pss_bytes", "what the guest has touched of its RAM", true},
	{"translations", "translations_pss_bytes", "TCG's cache of translated code: an emulator has one, and a hypervisor has none", false},
	{"kernel file", "kernel_pss_bytes", "the guest kernel's file, which QEMU keeps mapped; machines that boot it share its pages", false},
	{"initramfs file", "initramfs_pss_bytes", "likewise", false},
	{"program", "program_pss_bytes", "QEMU's program and libraries, shared with other QEMUs", true},
	{"rest", "rest_pss_bytes", "QEMU's heap, stacks and tables", true},
}

// What exists for an instance and is in no process's PSS.
var besideParts = []memoryPart{
	{"page tables", "page_tables_bytes", "the host's, of the addresses of the instance's processes (VmPTE)", true},
	{"second page tables", "host_second_page_tables_bytes", "of guests' addresses (SecPageTables): those of all guests of the host together; an emulator has none", false},
	{"huge pages", "hugetlb_bytes", "pages of hugetlbfs, which neither RSS nor PSS counts", false},
	{"kernel in page cache", "cached_kernel_bytes", "of the guest kernel's file: once for all machines that boot it", false},
	{"initramfs in page cache", "cached_initramfs_bytes", "likewise", false},
	{"layers in page cache", "cached_layer_bytes", "of the disks of the image's layers: once for all machines that have them", false},
	{"snapshot's RAM", "cached_snapshot_bytes", "once for all machines that go on from it: PSS has what they have read of it, and their copies", false},
	{"merged by KSM", "ksm_merged_bytes", "what KSM found to be there already, and keeps once", false},
}

// What the guest's own kernel says.
var guestParts = []memoryPart{
	{"RAM", "guest_ram_bytes", "what the machine was given", true},
	{"MemTotal", "guest_total_bytes", "what is left of it when the kernel has taken its code, its data and its table of all pages", true},
	{"MemFree", "guest_free_bytes", "what nothing uses", true},
	{"MemAvailable", "guest_available_bytes", "what programs could still get", true},
	{"Cached", "guest_cached_bytes", "files; those of an initramfs are in memory for good", true},
	{"Slab", "guest_slab_bytes", "the kernel's own objects", true},
	{"PageTables", "guest_page_tables_bytes", "of the guest's processes", true},
}

// memoryMedian is that of a value of the memory experiment; without a sample it is 0.
func (m *model) memoryMedian(p *platform, name string) (median float64, ok bool) {
	s := m.summary(metric{Experiment: "memory", Value: name}, p)
	if s.N == 0 {
		return 0, false
	}
	return s.Median, true
}

// with are the platforms that have a value of the memory experiment.
func (m *model) with(name string) []*platform {
	return slices.DeleteFunc(slices.Clone(m.platforms), func(p *platform) bool {
		_, ok := m.memoryMedian(p, name)
		return !ok
	})
}

// partBlocks take the memory of machines apart, if the journal does: what is shown, and
// its tables.
func (m *model) partBlocks() (blocks, tables []block) {
	machines := m.with("ram_pss_bytes")
	if len(machines) == 0 {
		return nil, nil
	}
	blocks = []block{
		heading("What of a machine's memory is what"),
		paragraph{"", "To the host a virtual machine is one process, QEMU, and the guest's RAM is memory of that process: the host gives a page of it when the guest touches it for " +
			"the first time, and hears nothing when the guest frees it. Here the memory of that process is taken apart by its mappings (/proc/PID/smaps); where RAM lies in it, QEMU itself was asked. " +
			"What the guest's kernel says, PID 1 of the guest has told, when all else had been read."},
		m.partsFigure(machines),
		points(m.partWords(machines)),
	}
	for group := range slices.Chunk(machines, 3) {
		tables = append(tables, m.partTable("The PSS of QEMU, taken apart", group, qemuParts, "pss_bytes"))
	}
	for group := range slices.Chunk(m.with("page_tables_bytes"), 4) {
		tables = append(tables, m.partTable("Memory that PSS does not count", group, besideParts, ""))
	}
	for group := range slices.Chunk(m.with("guest_total_bytes"), 3) {
		tables = append(tables, m.partTable("What the guest's kernel says of its RAM", group, guestParts, ""))
	}
	return blocks, tables
}

// partTable has a row for each part and a column for each platform. With the name of a
// value for the whole, there is a row for that.
func (m *model) partTable(caption string, group []*platform, parts []memoryPart, whole string) *table {
	t := &table{Caption: caption, Columns: []column{{Title: ""}}}
	for _, p := range group {
		t.Columns = append(t.Columns, column{Title: p.label(), Right: true})
	}
	t.Columns = append(t.Columns, column{Title: "What it is", Wide: 1})
	row := func(part memoryPart) {
		cells, shown := []string{part.Name}, part.Always
		for _, p := range group {
			v, ok := m.memoryMedian(p, part.Value)
			cells = append(cells, map[bool]string{true: value(v, "bytes"), false: "–"}[ok])
			shown = shown || ok && v != 0
		}
		if shown {
			t.Rows = append(t.Rows, append(cells, part.Means))
		}
	}
	for _, part := range parts {
		row(part)
	}
	if whole != "" {
		row(memoryPart{"all", whole, "as in the table of all platforms", true})
		t.Notes = append(t.Notes, "Medians, so that the parts add up to the whole only nearly; and all was read a moment before the parts.")
	}
	if slices.ContainsFunc(group, func(p *platform) bool { return p.Emulated }) {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

// ramSplit is a machine's touched RAM by what the guest's kernel makes of it: what it
// cannot call free since it is more than that, and the rest, which it can.
func (m *model) ramSplit(p *platform) (used, free float64) {
	ram, _ := m.memoryMedian(p, "ram_pss_bytes")
	given, _ := m.memoryMedian(p, "guest_ram_bytes")
	unused, ok := m.memoryMedian(p, "guest_free_bytes")
	if !ok {
		return ram, 0
	}
	used = min(ram, max(0, given-unused))
	return used, ram - used
}

// partWords tell of one machine: the plot has those of all, and the tables have their
// figures.
func (m *model) partWords(machines []*platform) []string {
	var out, thp []string
	for _, p := range machines[:1] {
		v := func(name string) float64 {
			median, _ := m.memoryMedian(p, name)
			return median
		}
		bytes := func(v float64) string { return value(v, "bytes") }
		ram, given := v("ram_pss_bytes"), v("guest_ram_bytes")
		text := fmt.Sprintf("Of the memory of %s, %s is RAM that its guest has touched, %s of the %s that it was given; %s is QEMU's", p.the(), bytes(ram), share(ram, given), bytes(given), bytes(v("qemu_pss_bytes")))
		files := v("kernel_pss_bytes") + v("initramfs_pss_bytes")
		var of []string
		if n := v("translations_pss_bytes"); n > 0 {
			of = append(of, bytes(n)+" is the emulator's cache of translated code, which a hypervisor does not have")
		}
		if files > 0 {
			of = append(of, bytes(files)+" are the files that it boots from, of which there is one copy for all machines that boot them")
		}
		if len(of) > 0 {
			text += ". Of that, " + strings.Join(of, ", and ") + "; what remains for QEMU itself is " + bytes(v("program_pss_bytes")+v("rest_pss_bytes"))
		}
		out = append(out, text+".")
		if huge := v("ram_hugetlb_bytes"); huge > 0 {
			out = append(out, fmt.Sprintf("%s of the RAM of %s is in pages of hugetlbfs, which RSS and PSS do not show.", bytes(huge), p.the()))
		}
		total := v("guest_total_bytes")
		if total <= 0 {
			continue
		}
		text = fmt.Sprintf("The kernel in %s has taken %s of its %s before it ran anything (%s), and calls %s free", p.the(), bytes(given-total), bytes(given), share(given-total, given), bytes(v("guest_free_bytes")))
		if _, free := m.ramSplit(p); free > 0 {
			text += fmt.Sprintf(". But at least %s of what it calls free is memory of the host: touched once, or beside what was touched, and not given back", bytes(free))
		}
		out = append(out, text+".")
	}
	for _, p := range machines {
		if n, _ := m.memoryMedian(p, "ram_thp_bytes"); n > 0 {
			thp = append(thp, value(n, "bytes")+" of that of "+p.the())
		}
	}
	if len(thp) > 0 {
		out = append(out, "The host backs RAM by huge pages of 2"+nbsp+"MiB where it can, here "+list(thp)+": the guest need not have touched the whole of each.")
	}
	return out
}
