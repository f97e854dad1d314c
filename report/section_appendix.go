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
	method := section{ID: "method", Title: "Appendix: method", Blocks: []block{
		paragraph{"Statistics.", "The middle of a sample is its median: times on a real host have a floor and a long tail, and a mean moves with every accident in the tail. The interval is a 95% " +
			"confidence interval of the median that assumes nothing about the shape of the distribution: it runs between two of the values themselves, chosen by the binomial " +
			"distribution, and needs six values. A ratio is one of two medians; its 95% interval comes from drawing both samples anew 5" + nbsp + "000 times (percentile bootstrap) with " +
			"the seed of the run; above 1" + nbsp + "000 values it is computed from order statistics (Price and Bonett, 2002). If the interval of a ratio holds 1, no difference was shown. " +
			"Whether two platforms differ is asked of the Mann-Whitney test, which compares ranks and assumes no shape; its p-values are corrected by Holm's method for the number of " +
			"comparisons of one quantity, so that the chance of one false answer among them stays below 5%. What difference could have been found is computed after Noether (1987). " +
			"Outliers, more than one group, a drift over the run and an influence of what ran before are flagged, and nothing is removed. Warm-ups and failed samples are not counted, and stay in the journal."},
	}}
	method.Blocks = append(method.Blocks, m.methodBlocks()...)
	method.Blocks = append(method.Blocks, m.orderBlocks()...)
	return append([]section{method, m.reproduceSection(), m.missingSection(), m.environmentSection()}, m.lastSections()...)
}

// lastSections are those that are looked up and not read.
func (m *model) lastSections() (list []section) {
	if blocks := m.privilegeAppendix(); len(blocks) > 0 {
		list = append(list, section{ID: "calls", Title: "Appendix: system calls and settings, by name", Blocks: blocks})
	}
	return append(list, glossarySection())
}

// reproduceSection says how to measure the same again, and how to make this report again.
func (m *model) reproduceSection() section {
	h := m.run.Header
	s := section{ID: "reproduce", Title: "Appendix: how to reproduce", Blocks: []block{
		paragraph{"Measure again.", fmt.Sprintf("`%s`. The seed gives the same random order. This run was made by bench %s%s; another version may measure another way, and its report says which it is.",
			m.command(), cmpOr(clean(h.Version), "of unknown version"), m.withRoot())},
		paragraph{"Set it beside this run.", "`bench compare` and the folders of both runs: what changed, by how much, and how surely. What the seed does not give is the same times: those are the host's, and differ from run to run by as much as the intervals say, or more if the host was in another state."},
		paragraph{"Make this report again.", fmt.Sprintf("`bench report` and the folder of the run, on any computer and without root. All is in the journal, %s, and the same version makes the same bytes of it. `bench report --format csv` gives every single value, `--format json` every figure with its statistics.", result.FileName)},
	}}
	if d := clean(h.Image.Digest); d != "" {
		s.Blocks = append(s.Blocks, paragraph{"The same image?", fmt.Sprintf("What was started is %s with the digest `%s`. If another run has the same digest, it has started the same bytes.", cmpOr(clean(h.Image.Name), "an image"), d)})
	}
	s.Blocks = append(s.Blocks, paragraph{"The same computer?", "The [environment](#environment) has what of the host can change figures. `bench doctor` says what a host can measure, and what is missing."})
	return s
}

// withRoot says whether the run had root.
func (m *model) withRoot() string {
	if m.run.Header.Host.Root {
		return " with root"
	}
	return " without root"
}

// environmentSection is what was measured, and on what.
func (m *model) environmentSection() section {
	s := section{ID: "environment", Title: "Appendix: platforms and environment"}
	if t := m.platformTable(); t != nil {
		s.Blocks = append(s.Blocks, heading("The platforms"), t)
	}
	s.Blocks = append(s.Blocks, heading("The environment"), m.environment())
	if len(m.run.Header.Host.Mitigations) > 0 {
		s.Blocks = append(s.Blocks, m.mitigations())
	}
	return s
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
