package report

import (
	"fmt"
	"slices"
	"strings"

	"vmctr/report/result"
)

// elasticMetric is what vm-memory measures first of all, of platforms of its own: what
// the guest still has when it has freed memory and the host has asked for it as it can.
var elasticMetric = metric{"vm-memory", "ram_kept_bytes", "RAM kept after freeing", "RAM"}

// ramSteps are the moments at which vm-memory looks at a machine's RAM.
var ramSteps = []struct{ name, value string }{
	{"at rest", "ram_rest_bytes"},
	{"used and freed", "ram_touched_bytes"},
	{"some seconds later", "ram_freed_bytes"},
	{"with the balloon", "ram_balloon_bytes"},
	{"used again", "ram_again_bytes"},
}

// measureElastic gives the figures of vm-memory, that of the machine without a balloon
// first, which the others are compared with.
func (m *model) measureElastic(variants []*platform) measured {
	var control *platform
	if i := slices.IndexFunc(variants, func(p *platform) bool { return strings.HasSuffix(p.Name, ",no-balloon") }); i >= 0 {
		control = variants[i]
		variants = slices.Insert(slices.Delete(slices.Clone(variants), i, i+1), 0, control)
	}
	for i, p := range variants {
		p.look = lookOf(p.Kind, i)
	}
	return m.measure(elasticMetric, variants, control)
}

// elasticMedian is that of a value of vm-memory; without a sample it is 0.
func (m *model) elasticMedian(p *platform, name string) float64 {
	if s := m.elasticSummary(p, name); s.N > 0 {
		return s.Median
	}
	return 0
}

func (m *model) elasticSummary(p *platform, name string) result.Summary {
	return result.Summarize(m.run.Values(elasticMetric.Experiment, p.Name, name))
}

// elasticSection is that of vm-memory. A run that did not ask has none.
func (m *model) elasticSection() (s section, any bool) {
	list := m.elastic.platforms()
	if !m.asked(elasticMetric.Experiment) && len(list) == 0 {
		return s, false
	}
	s = section{ID: "vm-memory", Title: "Memory that a machine gives back"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	add(paragraph{"Question.", "A program that frees memory gives it back to the kernel. If that is a guest's kernel: does the host ever have it again? And how much of what two machines of one image occupy is the same?"})
	if !slices.ContainsFunc(list, func(p *platform) bool { return m.elasticSummary(p, "ram_rest_bytes").N > 0 }) {
		add(m.nothing(elasticMetric.Experiment))
		return s, true
	}
	add(paragraph{"Three machines.", "They are the same but for one device. Without it, a host has no way to ask a guest for memory. A **balloon** is a driver in the guest that takes memory from its own kernel, as much as the host says, and tells the host " +
		"which pages it has: those the host can use for others. With **free-page reporting** the guest's kernel itself tells of what has become free, and nobody has to ask."})
	add(m.elasticFigure(list))
	add(paragraph{"Findings.", ""}, points(slices.Concat(m.elasticWords(list), m.mergeWords(list))))
	add(m.elasticTable(list))
	add(paragraph{"How it was measured.", m.roundsText(elasticMetric.Experiment) + " What counts is the RSS of the guest's RAM in QEMU. PID 1 of the guest takes memory, writes to each page of it, and frees it. Pages of two machines at rest were compared by their hashes, " +
		"before that; what is not in the host's memory was left out. Linux merges equal pages if it is told to (KSM), which was not done for this."})
	add(paragraph{"Its error.", "What the host gives in huge pages of 2" + nbsp + "MiB it also counts as such, and how soon a guest tells of free pages was looked at once, after some seconds. What could be merged is the most that could be, at one moment: KSM passes over pages that change, and takes its time."})
	s.Ask = []string{
		"Three guests use and free much memory at different times of a day. How much memory does their host need, with each of these machines?",
		"Why does a guest's kernel not tell the host by itself, without a device for it, what it has freed? What would containers in place of the guests have to do?",
	}
	return s, true
}

// elasticFigure answers: how much of the host does the guest's RAM occupy, before,
// during and after? The bars are those of the plot of memory.
func (m *model) elasticFigure(list []*platform) *figure {
	var bars []bar
	var alt []string
	for _, p := range list {
		var steps []string
		for _, step := range ramSteps {
			s := m.elasticSummary(p, step.value)
			if s.N == 0 {
				continue
			}
			if len(steps) == 0 {
				bars = append(bars, bar{platform: p})
			}
			bars = append(bars, bar{p, step.name, s})
			steps = append(steps, step.name+" "+value(s.Median, "bytes"))
		}
		alt = append(alt, p.label()+": "+strings.Join(steps, ", "))
	}
	return barsFigure("vm-memory", "RAM of a guest that the host has given", "Median RAM of guests on the host", alt, bars)
}

func (m *model) elasticTable(list []*platform) *table {
	t := &table{Caption: "RAM of the guest on the host", Columns: []column{{Title: "Platform", Wide: 1}, {Title: "n", Right: true}}}
	for _, step := range ramSteps {
		t.Columns = append(t.Columns, column{Title: step.name, Right: true})
	}
	emulated := false
	for _, p := range list {
		row := []string{p.label(), fmt.Sprint(m.elasticSummary(p, ramSteps[0].value).N)}
		for _, step := range ramSteps {
			cell := "–"
			if s := m.elasticSummary(p, step.value); s.N > 0 {
				cell = value(s.Median, "bytes")
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
		emulated = emulated || p.Emulated
		if !p.ready() {
			t.Notes = append(t.Notes, p.label()+": "+p.state()+". "+clip(p.why(), 300))
		}
	}
	if emulated {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

func (m *model) elasticWords(list []*platform) []string {
	var out []string
	for _, p := range list {
		v := func(name string) float64 { return m.elasticMedian(p, name) }
		bytes := func(n float64) string { return value(max(0, n), "bytes") }
		grown, back := v("ram_touched_bytes")-v("ram_rest_bytes"), v("ram_touched_bytes")-v("ram_freed_bytes")
		if m.elasticSummary(p, "ram_freed_bytes").N == 0 || grown <= 0 {
			continue
		}
		again := "nothing of that"
		switch {
		case back >= grown:
			again = "all of that"
		case back > 0:
			again = fmt.Sprintf("%s of that (%s)", bytes(back), share(back, grown))
		}
		text := fmt.Sprintf("%s: a guest that used and freed %s took %s more of the host. After %s the host had %s again",
			p.label(), bytes(v("touch_bytes")), bytes(grown), value(v("freed_for_ns"), "ns"), again)
		if m.elasticSummary(p, "ram_balloon_bytes").N > 0 {
			text += fmt.Sprintf(". Then the host asked for %s by the balloon: after %s the guest's RAM was smaller by %s",
				bytes(v("touch_bytes")), value(v("balloon_ns"), "ns"), bytes(v("ram_freed_bytes")-v("ram_balloon_bytes")))
			if m.elasticSummary(p, "ram_again_bytes").N > 0 {
				text += fmt.Sprintf(". When the balloon had shrunk, the guest could use as much again, and had %s", bytes(v("ram_again_bytes")))
			}
		}
		out = append(out, text+".")
	}
	return out
}

// mergeWords tell what KSM could do, and what it does.
func (m *model) mergeWords(list []*platform) []string {
	var out []string
	for _, p := range list {
		of := m.elasticMedian(p, "mergeable_of_bytes")
		if of <= 0 {
			continue
		}
		zero, within, across := m.elasticMedian(p, "mergeable_zero_bytes"), m.elasticMedian(p, "mergeable_within_bytes"), m.elasticMedian(p, "mergeable_across_bytes")
		text := fmt.Sprintf("Two machines of one image (%s) had %s of RAM together. Of that, %s (%s) is there more than once: %s are pages of zeros, %s copies within one guest, and %s what both have",
			p.label(), value(of, "bytes"), value(zero+within+across, "bytes"), share(zero+within+across, of), value(zero, "bytes"), value(within, "bytes"), value(across, "bytes"))
		switch ksm := m.run.Header.Host.KSM; {
		case strings.HasPrefix(ksm, "off"):
			text += ". KSM is off on this host, so each is kept as often as it is there"
		case ksm == "on":
			text += ". KSM runs on this host, and will have merged some of that"
		}
		out = append(out, text+". Containers have one kernel and one copy of their image without any comparing.")
	}
	return out
}
