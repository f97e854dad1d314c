package report

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"vmctr/report/result"
)

// appendix is what a reader needs to check the rest, or to do it again.
func (m *model) appendix() []section {
	method := section{ID: "method", Title: "Appendix: how to check this", Blocks: []block{
		heading("Method"),
		paragraph{"", "The middle of a sample is its median: times on a real host have a floor and a long tail, and a mean moves with every accident in the tail. The interval is a 95% " +
			"confidence interval of the median that assumes nothing about the shape of the distribution: it runs between two of the values themselves, chosen by the binomial " +
			"distribution, and needs six values. A ratio is one of two medians; its 95% interval comes from drawing both samples anew 5" + nbsp + "000 times (percentile bootstrap) with " +
			"the seed of the run; above 10" + nbsp + "000 values it is computed from order statistics (Price and Bonett, 2002). If the interval of a ratio holds 1, no difference was shown. " +
			"Whether two platforms differ is asked of the Mann-Whitney test, which compares ranks and assumes no shape; its p-values are corrected by Holm's method for the number of " +
			"comparisons of one quantity, so that the chance of one false answer among them stays below 5%. What difference could have been found is computed after Noether (1987). " +
			"Outliers, more than one group, a drift over the run and an influence of what ran before are flagged, and nothing is removed. Warm-ups and failed samples are not counted, and stay in the journal."},
	}}
	method.Blocks = append(method.Blocks, m.methodBlocks()...)
	method.Blocks = append(method.Blocks,
		heading("How to reproduce"),
		paragraph{"", fmt.Sprintf("Measure again, in the same random order: `%s`. Make this report again from the journal (%s), on any machine and without root: `bench report` and the folder's name.",
			m.command(), result.FileName)},
	)
	add := func(b ...block) { method.Blocks = append(method.Blocks, b...) }
	if blocks := m.troubles(); len(blocks) > 0 {
		add(heading("What failed or is missing, and why"))
		add(blocks...)
	}
	if t := m.platformTable(); t != nil {
		add(heading("The platforms"), t)
	}
	add(m.privilegeAppendix()...)
	add(heading("The environment"), m.environment())
	if len(m.run.Header.Host.Mitigations) > 0 {
		add(m.mitigations())
	}
	add(heading("Glossary"), glossary())
	return []section{method}
}

// command is the command line that measures the same again. It leaves out where
// files lie: that is nobody's business, and would be another place elsewhere.
func (m *model) command() string {
	h := m.run.Header
	args := []string{"bench", "all"}
	seed := false
	if len(h.Command) > 1 {
		args = args[:1]
		skip := false
		for _, a := range h.Command[1:] {
			name, val, joined := strings.Cut(a, "=")
			switch {
			case skip:
				skip = false
				continue
			case name == "--out":
				skip = !joined
				continue
			case joined && strings.ContainsRune(val, '/'):
				a = name + "=" + path.Base(val)
			case strings.ContainsRune(a, '/'):
				a = path.Base(a)
			}
			seed = seed || name == "--seed"
			args = append(args, a)
		}
	} else if h.Profile != "" {
		args = append(args, "--profile", h.Profile)
	}
	if !seed {
		args = append(args, "--seed", fmt.Sprint(h.Seed))
	}
	return strings.Join(args, " ")
}

// troubles are the platforms that are not ready, and the samples that failed.
func (m *model) troubles() []block {
	var out []block
	out = append(out, m.statusTable()...)
	t := &table{Caption: "Samples that failed", Columns: []column{{Title: "Platform"}, {Title: "Experiment"}, {Title: "Round", Right: true}, {Title: "Fault"}, {Title: "Error", Wide: 1}}}
	// The same error a hundred times says no more than once.
	const most = 8
	left := 0
	for _, e := range m.allExperiments() {
		for _, p := range m.subjects(e) {
			for i, s := range m.run.Failures(e, p.Name) {
				if i >= most {
					left++
					continue
				}
				round := fmt.Sprint(s.Round)
				if s.Warmup {
					round = "warm-up"
				}
				t.Rows = append(t.Rows, []string{p.label(), e, round, cmpOr(string(s.Fault), "–"), clip(sentence(s.Error), 400)})
			}
		}
	}
	if left > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("And %s more, which the journal has.", count(left, "failed sample", "failed samples")))
	}
	if len(t.Rows) > 0 {
		out = append(out, t)
	}
	return out
}

func (m *model) platformTable() *table {
	t := &table{Columns: []column{{Title: "Platform"}, {Title: "What it is"}, {Title: "State"}, {Title: "Settings", Wide: 1}}}
	for _, p := range m.platforms {
		var parts []string
		if p.Accelerator != "" && p.Details["accelerator"] == "" {
			parts = append(parts, "accelerator: "+p.Accelerator)
		}
		for _, k := range slices.Sorted(maps.Keys(p.Details)) {
			parts = append(parts, strings.ReplaceAll(k, "_", " ")+": "+p.Details[k])
		}
		t.Rows = append(t.Rows, []string{p.label(), cmpOr(p.Title, p.Kind), p.state0(), cmpOr(strings.Join(parts, "; "), "–")})
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

// state0 is the state of any platform, also of one that is ready.
func (p *platform) state0() string {
	if p.ready() {
		return "ready"
	}
	return p.state()
}

func (m *model) environment() *table {
	h := m.run.Header
	t := &table{Columns: []column{{Title: "What"}, {Title: "Value", Wide: 1}}}
	row := func(name, value string) {
		if strings.TrimSpace(value) != "" {
			t.Rows = append(t.Rows, []string{name, value})
		}
	}
	row("Run", h.ID)
	row("bench", cmpOr(h.Version, "unknown")+", "+h.Host.Go)
	row("Profile and seed", fmt.Sprintf("%s, %d", cmpOr(h.Profile, "none"), h.Seed))
	row("Image", h.Image.Name)
	row("Image digest", h.Image.Digest)
	row("Image layers", fmt.Sprintf("%d, %s unpacked", len(h.Image.Layers), value(float64(h.Image.Bytes), "bytes")))
	row("Host name", h.Host.Hostname)
	row("System", h.Host.OS)
	row("Kernel", strings.Join([]string{h.Host.Kernel.Sysname, h.Host.Kernel.Release, h.Host.Kernel.Version, h.Host.Kernel.Machine}, " "))
	row("Kernel command line", h.Host.Cmdline)
	row("boot_id", h.Host.BootID)
	row("Processor", fmt.Sprintf("%s, %s", cmpOr(strings.Join(strings.Fields(h.Host.CPU), " "), "unknown"), count(h.Host.CPUs, "CPU", "CPUs")))
	row("Memory", fmt.Sprintf("%s, swap %s", value(float64(h.Host.MemTotal), "bytes"), value(float64(h.Host.SwapTotal), "bytes")))
	row("Virtualization", cmpOr(h.Host.Virtualization, "none: bare metal"))
	row("Frequency governor", h.Host.Governor)
	row("Turbo", h.Host.Turbo)
	row("Transparent huge pages", h.Host.THP)
	row("Same-page merging", h.Host.KSM)
	row("cgroup", h.Host.Cgroup)
	row("Root", map[bool]string{true: "yes", false: "no"}[h.Host.Root])
	row("CPU pressure at the start", h.Host.Pressure)
	row("Load at the start", h.Host.LoadAvg)
	return t
}

func (m *model) mitigations() *table {
	t := &table{Caption: "Processor vulnerabilities and mitigations", Columns: []column{{Title: "State", Wide: 1}, {Title: "Vulnerability", Wide: 1}}}
	by := map[string][]string{}
	for name, state := range m.run.Header.Host.Mitigations {
		by[state] = append(by[state], strings.ReplaceAll(name, "_", " "))
	}
	for _, state := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[state])
		t.Rows = append(t.Rows, []string{state, strings.Join(by[state], ", ")})
	}
	return t
}

func glossary() *table {
	return &table{Columns: []column{{Title: "Term"}, {Title: "Meaning", Wide: 1}}, Rows: [][]string{
		{"boot_id", "a random number that a kernel draws when it boots, and that so names one running kernel"},
		{"bootstrap", "drawing from a sample again and again, to see how much a figure of it would differ from experiment to experiment"},
		{"capability", "one of some forty parts of what root may do, which the kernel grants to a process one by one"},
		{"cgroup", "control group: the kernel's account of, and limit on, what a group of processes uses"},
		{"Cliff's delta", "how clearly one sample lies above another: 1 or -1 when they do not overlap, 0 when neither does"},
		{"confidence interval", "a range that is computed so that in at least 95 of 100 such experiments it holds the true median"},
		{"container", "processes of the host, set apart by namespaces, cgroups and a root file system of their own"},
		{"emulated", "run by a program that imitates the processor, instead of on the processor"},
		{"hypervisor", "software or firmware that creates and runs virtual machines"},
		{"image", "the files that a container or a machine starts from, in layers, named by a digest: the SHA-256 of what is in it"},
		{"instance", "one start of the program on one platform, with all that exists for it"},
		{"journal", "the file of the run with every single measurement: " + result.FileName},
		{"KVM, TCG", "two ways in which QEMU runs a machine: on the host's processor (KVM), or emulated (TCG)"},
		{"median", "the middle of a sample when it is sorted: as many values lie below it as above it"},
		{"n", "the number of values that count"},
		{"namespace", "a kernel's separate view of one resource: processes, mounts, network, users and others"},
		{"nested", "a container inside a virtual machine"},
		{"outlier", "a value far from the others; it is flagged, and counts like all others"},
		{"p95, p99", "percentiles: the values that 95 and 99 of 100 stay below"},
		{"p-value", "how likely samples would differ at least as much if nothing but chance made them differ; the smaller, the surer the difference"},
		{"PSS, USS, RSS", "three ways to count the memory of processes, by what is done with pages that several share: see Memory"},
		{"QEMU", "the program that makes the virtual machines; q35 and microvm are types of machine that it can be"},
		{"seccomp", "the kernel's filter of the system calls of a process"},
		{"warm-up", "a first measurement that fills caches and is not counted"},
	}}
}
