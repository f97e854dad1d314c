package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// functionsExperiment is that of the functions of the host's kernel.
const functionsExperiment = "functions"

// traced is what one subject had the kernel do, in all rounds.
type traced struct {
	isolation.Tracing            // the first: of the subject, the kernel and the accelerator
	host              string     // the platform that was the host; "" for the host itself
	counts            []float64  // of functions, of each that did not fail
	sets              [][]string // the functions themselves
	idle, interrupts  []float64
	lost              int
	failed            []string // why
}

// functionsSection is what the host's kernel does for an instance. A run that has not
// traced that has no such section.
func (m *model) functionsSection() (s section, any bool) {
	list := m.traced()
	if len(list) == 0 {
		return s, false
	}
	s = section{ID: "functions", Title: "Isolation: what the host's kernel does for an instance"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	add(paragraph{"Question.", "A wall is only as good as what it is made of, and between an instance and its host that is the host's kernel. How many functions of that kernel run for an instance that does the same work everywhere?"},
		m.functionsTable(list))
	if words := m.functionsWords(list); len(words) > 0 {
		add(paragraph{"Findings.", ""}, points(words))
	}
	if t := onlyTable(list); t != nil {
		add(t)
	}
	add(paragraph{"How to read it.", "Each function that runs for an instance is code of the host in which a mistake could be found and used by it. That is all that the number says. " +
		"A wall that does its work makes it larger, as the filter of system calls does."},
		paragraph{"How it was measured.", "The kernel's function tracer noted each function that began while a thread of the instance was on a CPU (Documentation/trace/ftrace.rst; threads and children that are made meanwhile too; of a machine all threads of QEMU, with the virtual CPUs, and the kernel's own that work for it). " +
			"The work: four files written, synced, renamed, read and removed; 8" + nbsp + "MiB of memory used and given back; 64" + nbsp + "KiB sent to itself over TCP and back; a child started. What ran while the instance idled before is left out, and what ran in interrupts alone is counted apart, since it may be others' work."},
		paragraph{"Its error.", "Functions that the compiler has put into others are not seen. The counts of the measurements differ by as much as the table has from least to most. A machine has neither a disk nor a network card here, so that its files and its network are its own kernel's affair."},
		paragraph{"What it does not tell.", "It does not say how likely a mistake is, how large a function is, or what stands behind it: several walls one behind the other (defence in depth) do not show in it."},
		paragraph{"What others measured.", anjali + " counted lines, and not functions, of the host's kernel for other work: 63" + nbsp + "163 without isolation, 77" + nbsp + "392 with Firecracker, 90" + nbsp + "595 with LXC and 91" + nbsp + "161 with gVisor. Their order can be held against this one, their numbers cannot."})
	s.Ask = []string{
		"For which of them does the kernel run the most functions? Does that make it the least safe? Give one reason for and one against.",
		"The container's filter of system calls adds functions of its own. What does it take away that this count does not show?",
		"An error is found in one function of the overlay file system. Which platforms are affected, by the tables of this section?",
	}
	return s, true
}

// traced collects what was traced, by subject, in the order of the platforms' kinds.
func (m *model) traced() (list []*traced) {
	for _, s := range m.run.Samples {
		if s.Experiment != functionsExperiment || s.Warmup {
			continue
		}
		for _, t := range s.Tracings {
			host := ""
			if t.Subject != s.Platform {
				host = s.Platform
			}
			i := slices.IndexFunc(list, func(x *traced) bool { return x.Subject == t.Subject && x.host == host })
			if i < 0 {
				i = len(list)
				list = append(list, &traced{Tracing: t, host: host})
			}
			x := list[i]
			if t.Error != "" {
				x.failed = append(x.failed, t.Error)
				continue
			}
			x.counts = append(x.counts, float64(len(t.Functions)))
			x.sets = append(x.sets, t.Functions)
			x.idle = append(x.idle, float64(t.Idle))
			x.interrupts = append(x.interrupts, float64(len(t.Interrupts)))
			x.lost += t.Lost
		}
	}
	slices.SortStableFunc(list, func(a, b *traced) int {
		return cmp.Or(cmp.Compare(a.host, b.host), slices.Index(kinds, kindFromName(a.Subject))-slices.Index(kinds, kindFromName(b.Subject)))
	})
	return list
}

// label names a subject; a machine that an emulator runs is called that.
func (t *traced) label() string {
	name := clip(clean(t.Subject), 40)
	if t.Accelerator == "tcg" {
		name += " (emulated)"
	}
	return name
}

// the is a subject in a sentence.
func (t *traced) the() string {
	switch t.label() {
	case "process":
		return "the plain process"
	case "container":
		return "the container"
	}
	return t.label()
}

// at says how many there are, and of how many measurements.
func (t *traced) at() string {
	s := result.Summarize(t.counts)
	text := fmt.Sprintf("%.0f", s.Median)
	if least, most := slices.Min(t.counts), slices.Max(t.counts); least < most {
		text += fmt.Sprintf(" (%.0f to %.0f)", least, most)
	}
	return text
}

// of finds a subject that has figures, on the same host as another.
func tracedOf(list []*traced, host, subject string) *traced {
	i := slices.IndexFunc(list, func(t *traced) bool { return t.Subject == subject && t.host == host && len(t.counts) > 0 })
	if i < 0 {
		return nil
	}
	return list[i]
}

func (m *model) functionsWords(list []*traced) (words []string) {
	var counts []string
	for _, t := range list {
		if len(t.counts) > 0 {
			counts = append(counts, t.the()+" "+t.at())
		}
	}
	if len(counts) > 0 {
		words = append(words, "Distinct functions of the host's kernel for the work: "+strings.Join(counts, ", ")+".")
	}
	for _, t := range list {
		if len(t.counts) == 0 {
			words = append(words, begin(fmt.Sprintf("%s was not traced: %s", t.the(), clip(stop(t.failed[0]), 300))))
			continue
		}
		base := tracedOf(list, t.host, "process")
		if base == nil || base == t {
			continue
		}
		ratio := result.Summarize(t.counts).Median / result.Summarize(base.counts).Median
		text := fmt.Sprintf("%s has the kernel run %.2f times as many functions as the plain process", t.the(), ratio)
		only, lacks := difference(t, base), difference(base, t)
		text += fmt.Sprintf(": %d that never run for that one, and %d of that one's never run for it", len(only), len(lacks))
		if idle := result.Summarize(t.idle).Median; idle > 0 {
			text += fmt.Sprintf("; another %.0f run also while it idles, and are left out", idle)
		}
		words = append(words, begin(text+"."))
	}
	return words
}

// difference are the functions that ran in at least half of a's measurements, and in none
// of b's.
func difference(a, b *traced) (only []string) {
	in := map[string]int{}
	for _, set := range a.sets {
		for _, f := range set {
			in[f]++
		}
	}
	for _, set := range b.sets {
		for _, f := range set {
			delete(in, f)
		}
	}
	for _, f := range slices.Sorted(maps.Keys(in)) {
		if 2*in[f] >= len(a.sets) {
			only = append(only, f)
		}
	}
	return only
}

func (m *model) functionsTable(list []*traced) *table {
	t := &table{
		Caption: "Distinct functions of the host's kernel, by what they ran for",
		Columns: []column{{Title: "Subject", Wide: 1}, {Title: "n", Right: true}, {Title: "for the work", Right: true}, {Title: "least to most", Right: true}, {Title: "in interrupts alone", Right: true}, {Title: "while idle", Right: true}},
	}
	var kernels []string
	for _, x := range list {
		if len(x.counts) == 0 {
			t.Rows = append(t.Rows, []string{x.label(), "0", "–", "–", "–", "–"})
			continue
		}
		s := result.Summarize(x.counts)
		if x.lost > 0 {
			t.Notes = append(t.Notes, fmt.Sprintf("Of %s the tracer had no room for %s: functions may be missing.", x.the(), count(x.lost, "call", "calls")))
		}
		t.Rows = append(t.Rows, []string{x.label(), fmt.Sprint(s.N), fmt.Sprintf("%.0f", s.Median), fmt.Sprintf("%.0f to %.0f", slices.Min(x.counts), slices.Max(x.counts)),
			fmt.Sprintf("%.0f", result.Summarize(x.interrupts).Median), fmt.Sprintf("%.0f", result.Summarize(x.idle).Median)})
		if k := m.whoseKernel(x); !slices.Contains(kernels, k) {
			kernels = append(kernels, k)
		}
	}
	t.Notes = append(append([]string{"Medians of n measurements. " + strings.Join(kernels, " ")}, t.Notes...), m.notesOf(functionsExperiment, nil)...)
	return t
}

// whoseKernel says whose kernel was traced.
func (m *model) whoseKernel(t *traced) string {
	kernel := "Linux" + nbsp + cmpOr(clean(t.Kernel), "of unknown release")
	if t.host == "" {
		return "The kernel is the host's, " + kernel + "."
	}
	how := ""
	for _, p := range m.run.Platforms {
		if p.Name == t.host && p.Emulated {
			how = ", emulated"
		}
	}
	return "The kernel is that of a machine which stands for the host (" + clean(t.host) + how + "), " + kernel + "."
}

// parts of the kernel are told by the names of their functions, the first that fits.
var parts = []struct {
	title string
	names []string // parts of names; of a module "[name]"
}{
	{"overlay of the image's layers", []string{"[overlay]", "ovl_"}},
	{"filter of system calls", []string{"seccomp", "secure_computing"}},
	{"CPU limit and control groups", []string{"cfs_rq", "cfs_bandwidth", "tg_", "cgroup", "memcg", "css_", "pids_"}},
	{"network of its own", []string{"veth", "[bridge]", "br_", "nf_", "nft_"}},
	{"capabilities and user IDs", []string{"capable", "privileged", "_kuid", "_kgid", "creds", "in_group", "in_egroup"}},
	{"security modules", []string{"security_", "bpf_lsm_", "apparmor_", "aa_", "evm_", "ima_"}},
	{"extended attributes and ACLs", []string{"xattr", "acl"}},
	{"KVM", []string{"[kvm", "kvm_", "vmx_", "svm_"}},
	{"virtio on the host", []string{"vhost", "[tun]", "tun_"}},
}

// onlyTable names what a container adds to a process, by the part of the kernel.
func onlyTable(list []*traced) *table {
	for _, t := range list {
		base := tracedOf(list, t.host, "process")
		if t.Subject != "container" || base == nil || len(t.counts) == 0 {
			continue
		}
		only := difference(t, base)
		if len(only) == 0 {
			return nil
		}
		by := map[string][]string{}
		for _, f := range only {
			by[partOf(f)] = append(by[partOf(f)], f)
		}
		const rest = "all else"
		by[rest] = by[""]
		delete(by, "")
		tb := &table{Caption: fmt.Sprintf("The %s that run for the container and never for the plain process", count(len(only), "function", "functions")),
			Columns: []column{{Title: "Part of the kernel"}, {Title: "functions", Right: true}, {Title: "the first of them", Wide: 1}}}
		for _, title := range slices.SortedFunc(maps.Keys(by), func(a, b string) int {
			return cmp.Or(len(by[b])-len(by[a]), cmp.Compare(a, b))
		}) {
			names := by[title]
			if len(names) == 0 {
				continue
			}
			var first []string
			for _, n := range names[:min(len(names), 4)] {
				n, _, _ = strings.Cut(clean(n), " ")
				first = append(first, clip(n, 40))
			}
			tb.Rows = append(tb.Rows, []string{title, fmt.Sprint(len(names)), strings.Join(first, ", ")})
		}
		tb.Notes = []string{"In at least half of the container's measurements and in none of the process's. The part is told by the function's name."}
		return tb
	}
	return nil
}

func partOf(function string) string {
	for _, p := range parts {
		for _, n := range p.names {
			if strings.Contains(function, n) {
				return p.title
			}
		}
	}
	return ""
}
