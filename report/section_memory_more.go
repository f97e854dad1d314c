package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"vmctr/report/result"
)

// The experiments of memory beside that of one idle instance.
const (
	memoryLoaded = "memory-loaded"
	memoryMany   = "memory-many"
	memoryLeast  = "memory-least"
	memoryShared = "memory-shared"
	memoryKSM    = "memory-ksm"
)

// memoryMore is what one of these experiments tells.
type memoryMore struct {
	blocks []block // with a heading
	table  *table  // in full
	how    string  // it was measured
}

// memoryMoreSection is what more than one idle instance tells of memory. A run that has
// measured none of that has no such section.
func (m *model) memoryMoreSection() (s section, any bool) {
	s = section{ID: "memory-more", Title: "Memory: load, number, limits, sharing"}
	s.Blocks = []block{paragraph{"Question.", "What does an instance need when it is not one, and not idle? What does one more cost, what does work add, how little memory is enough, and what do two have in common?"}}
	if t := m.memoryMoreTable(); t != nil {
		s.Blocks = append(s.Blocks, t)
	}
	var how points
	for _, of := range []func() *memoryMore{m.severalInstances, m.afterWork, m.leastMemory, m.sharedMemory, m.withKSM} {
		part := of()
		if part == nil {
			continue
		}
		any = true
		s.Blocks = append(s.Blocks, part.blocks...)
		if part.table != nil {
			s.Details = append(s.Details, part.table)
		}
		if part.how != "" {
			how = append(how, part.how)
		}
	}
	if !any {
		return section{}, false
	}
	s.Blocks = append(s.Blocks,
		paragraph{"How it was measured.", m.inRounds()}, how,
		paragraph{"Its error.", "MemAvailable, slab, kernel stacks and page tables are of the whole host: an interval that holds zero says that the host's own noise was larger than what there was to see. The least memory is no finer than the list of sizes, and as sure as the number of tries. " +
			"What two instances share depends on what else on the host maps the same pages."},
		paragraph{"What others measured.", crunReadme + " says that crun works in 512" + nbsp + "KB of memory.max, where runc fails with 4" + nbsp + "MB. " + manco + " ran 8000 guests on one host. " + firecracker + ": at most 5" + nbsp + "MiB for each machine's monitor, beside the guest's RAM."})
	s.Ask = []string{
		"What of the memory is there once for all instances of a platform, and how does the slope show it?",
		"How many instances of each platform fit into the memory of your own computer? Which figure did you use, and what does it leave out?",
	}
	if len(m.run.Keys(memoryLeast)) > 0 {
		s.Ask = append(s.Ask, "In which way does each platform fail when it has too little memory? Who notices, and how?")
	}
	if len(m.run.Keys(memoryKSM)) > 0 {
		s.Ask = append(s.Ask, "KSM merges equal pages of different guests. Why is it off on many hosts, though it saves memory?")
	}
	return s, true
}

// memoryMoreTable has a row for each platform with what each experiment found.
func (m *model) memoryMoreTable() *table {
	t := &table{Caption: "Memory beyond one idle instance", Columns: []column{{Title: "Platform", Wide: 1}, {Title: "One more", Right: true}, {Title: "95% interval", Right: true}, {Title: "Work adds", Right: true},
		{Title: "Starts in", Right: true}, {Title: "Two, one image", Right: true}, {Title: "Two, two images", Right: true}}}
	emulated := false
	for _, p := range m.platforms {
		row := []string{p.label(), "–", "–", "–", "–", medianCell(m.summaryOf(memoryShared, p, "same", "pss_bytes")), medianCell(m.summaryOf(memoryShared, p, "different", "pss_bytes"))}
		if l, _, _ := m.lineOf(p, "pss_bytes"); !math.IsNaN(l.Slope) {
			row[1], row[2] = value(l.Slope, "bytes"), bytesInterval(l.Low, l.High)
		}
		row[3] = medianCell(m.workAdds(p))
		if _, starts := border(m.triesOf(p)); starts != nil {
			row[4] = value(starts.bytes, "bytes")
		}
		if slices.ContainsFunc(row[1:], func(cell string) bool { return cell != "–" }) {
			t.Rows = append(t.Rows, row)
			emulated = emulated || p.Emulated
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	t.Notes = []string{"All but \"Starts in\" are PSS. One more: the slope over the number of instances. Starts in: the least limit of the control group of a container, or RAM of a machine. –: not measured."}
	if emulated {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

// workAdds is what work has added to the PSS of an instance.
func (m *model) workAdds(p *platform) result.Summary {
	return result.Summarize(m.differences(result.Key{Experiment: memoryLoaded, Platform: p.Name, Series: "loaded"}, "pss_bytes", "idle_pss_bytes"))
}

// inRounds says in which order series were measured.
func (m *model) inRounds() string {
	return fmt.Sprintf("What is compared was measured in rounds, each time in a new random order (seed %d), so that a drift of the host does not fall on one of them only.", m.run.Header.Seed)
}

// summaryOf is that of a value of a series of an experiment.
func (m *model) summaryOf(experiment string, p *platform, series, value string) result.Summary {
	return result.Summarize(m.run.ValuesOf(result.Key{Experiment: experiment, Platform: p.Name, Series: series}, value))
}

// measuredIn are the platforms with a value of a series.
func (m *model) measuredIn(experiment, series, value string) []*platform {
	return slices.DeleteFunc(slices.Clone(m.platforms), func(p *platform) bool {
		return m.summaryOf(experiment, p, series, value).N == 0
	})
}

// notesOf are the notes of trials of an experiment that were out of reach, and that on
// emulation, for a table.
func (m *model) notesOf(experiment string, list []*platform) (notes []string) {
	if slices.ContainsFunc(list, func(p *platform) bool { return p.Emulated }) {
		notes = append(notes, emulatedNote)
	}
	for _, n := range m.run.Notes {
		if n.Experiment == experiment {
			notes = append(notes, clip(sentence(n.Text), 300))
		}
	}
	return notes
}

// medianCell is a median, or a dash.
func medianCell(s result.Summary) string {
	if s.N == 0 {
		return "–"
	}
	return value(s.Median, "bytes")
}

// accounts are the columns of tables of several accounts.
var accounts = []struct{ name, value string }{
	{"PSS", "pss_bytes"}, {"USS", "uss_bytes"}, {"RSS", "rss_bytes"}, {"QEMU's PSS", "qemu_pss_bytes"}, {"cgroup", "cgroup_bytes"},
	{"MemAvailable", "available_drop_bytes"}, {"slab", "added_slab_bytes"}, {"kernel stacks", "added_kernel_stack_bytes"}, {"page tables", "added_page_tables_bytes"},
}

// lineOf is the line of a value over the number of instances, of all its points.
func (m *model) lineOf(p *platform, value string) (line result.Line, x, y []float64) {
	for _, k := range m.run.Keys(memoryMany) {
		if k.Platform != p.Name {
			continue
		}
		for _, v := range m.run.ValuesOf(k, value) {
			x, y = append(x, float64(k.N)), append(y, v)
		}
	}
	return result.FitLine(x, y), x, y
}

// severalInstances is of several instances side by side.
func (m *model) severalInstances() *memoryMore {
	list := slices.DeleteFunc(slices.Clone(m.platforms), func(p *platform) bool {
		line, _, _ := m.lineOf(p, "pss_bytes")
		return math.IsNaN(line.Slope)
	})
	if len(list) == 0 {
		return nil
	}
	t := &table{Caption: "What one more instance costs, and what is there once", Columns: []column{{Title: "Platform"}, {Title: "Account", Wide: 1}, {Title: "n", Right: true}, {Title: "one more", Right: true}, {Title: "95% interval", Right: true}, {Title: "once", Right: true}, {Title: "95% interval", Right: true}}}
	var more, once []valued
	for _, p := range list {
		name := p.label()
		for _, a := range accounts {
			l, _, _ := m.lineOf(p, a.value)
			if math.IsNaN(l.Slope) {
				continue
			}
			t.Rows = append(t.Rows, []string{name, a.name, fmt.Sprint(l.N), value(l.Slope, "bytes"), bytesInterval(l.Low, l.High), value(l.Intercept, "bytes"), bytesInterval(l.InterceptLow, l.InterceptHigh)})
			name = ""
		}
		l, _, _ := m.lineOf(p, "pss_bytes")
		more = append(more, valued{p, l.Slope})
		if one := m.summaryAt(p, 1, "pss_bytes"); one.N > 0 && l.Slope > 0 && one.Median > l.Slope {
			once = append(once, valued{p, one.Median / l.Slope})
		}
	}
	words := points{"One more instance adds to the PSS: " + m.byWay(more, bytesSpan) + "."}
	if len(once) > 0 {
		words = append(words, "The first instance takes more, since what all share is counted to it. As a multiple of one more: "+m.byWay(once, ratioSpan)+".")
	}
	t.Notes = m.notesOf(memoryMany, list)
	return &memoryMore{
		[]block{heading("One more instance"), m.manyFigure(list), words}, t,
		"One more instance: in each round, several numbers of instances were started side by side, left idle for a second after the last was up, and read: processes, control groups, and the host's /proc/meminfo against what it said before the first. " +
			"The line through the totals is that of Theil and Sen, which a few points that are far off do not turn as they would turn one by least squares; its interval is Sen's.",
	}
}

// summaryAt is that of a value with a number of instances.
func (m *model) summaryAt(p *platform, n int, value string) result.Summary {
	return result.Summarize(m.run.ValuesOf(result.Key{Experiment: memoryMany, Platform: p.Name, N: n}, value))
}

// bytesInterval prints an interval of bytes.
func bytesInterval(low, high float64) string {
	if math.IsNaN(low) || math.IsNaN(high) {
		return "–"
	}
	return interval(result.Summary{N: 1, Low: low, High: high}, "bytes")
}

// afterWork holds an instance after work against itself before.
func (m *model) afterWork() *memoryMore {
	list := m.measuredIn(memoryLoaded, "loaded", "idle_pss_bytes")
	if len(list) == 0 {
		return nil
	}
	t := &table{Caption: "Memory of an instance before and after work", Columns: []column{{Title: "Platform", Wide: 1}, {Title: "n", Right: true}, {Title: "PSS idle", Right: true}, {Title: "PSS loaded", Right: true}, {Title: "more", Right: true}, {Title: "95% interval", Right: true}, {Title: "cgroup idle", Right: true}, {Title: "cgroup loaded", Right: true}}}
	var added []valued
	requests := 0.0
	for _, p := range list {
		at := func(v string) result.Summary { return m.summaryOf(memoryLoaded, p, "loaded", v) }
		more := m.workAdds(p)
		row := []string{p.label(), fmt.Sprint(at("idle_pss_bytes").N), medianCell(at("idle_pss_bytes")), medianCell(at("pss_bytes")), medianCell(more), "–", medianCell(at("idle_cgroup_bytes")), medianCell(at("cgroup_bytes"))}
		if more.HasInterval() {
			row[5] = interval(more, "bytes")
		}
		t.Rows = append(t.Rows, row)
		if more.N > 0 {
			added = append(added, valued{p, more.Median})
		}
		if r := at("requests"); r.N > 0 { // a machine without a system serves none
			requests = max(requests, r.Median)
		}
	}
	t.Notes = append([]string{"A platform without a system serves nobody, and has no loaded state."}, m.notesOf(memoryLoaded, list)...)
	var words points
	if len(added) > 0 {
		words = points{"Work has added to the PSS: " + m.byWay(added, bytesSpan) + "."}
	}
	return &memoryMore{
		[]block{heading("After work"), words}, t,
		fmt.Sprintf("After work: the same instance is read at rest, serves %.0f HTTP requests, each over a connection of its own, comes to rest for a second, and is read again; what is added is the median of the differences.", requests),
	}
}

// differences are those of two values of the same samples.
func (m *model) differences(k result.Key, after, before string) (list []float64) {
	for i := range m.run.Samples {
		s := &m.run.Samples[i]
		a, hasA := s.Values[after]
		b, hasB := s.Values[before]
		if s.Key() == k && !s.Warmup && s.Error == "" && hasA && hasB {
			list = append(list, a-b)
		}
	}
	return list
}

// tried is what became of the tries of one size.
type tried struct {
	bytes         float64
	starts, fails int
	outcomes      map[string]int // of those that failed
	why           string         // of the first of them
}

// triesOf are those of a platform, the smallest first.
func (m *model) triesOf(p *platform) []tried {
	var list []tried
	for i := range m.run.Samples {
		s := &m.run.Samples[i]
		if s.Experiment != memoryLeast || s.Platform != p.Name || s.Error != "" || s.Outcome == "" {
			continue
		}
		at := slices.IndexFunc(list, func(t tried) bool { return t.bytes == s.Values["memory_bytes"] })
		if at < 0 {
			at, list = len(list), append(list, tried{bytes: s.Values["memory_bytes"], outcomes: map[string]int{}})
		}
		t := &list[at]
		if s.Outcome == "starts" {
			t.starts++
			continue
		}
		t.fails++
		t.outcomes[clean(s.Outcome)]++
		t.why = cmpOr(t.why, s.Why)
	}
	slices.SortFunc(list, func(a, b tried) int { return cmp.Compare(a.bytes, b.bytes) })
	return list
}

// border is between the largest size in which most tries fail, and the smallest above it
// in which most come up; one of them can be missing.
func border(list []tried) (fails, starts *tried) {
	for i := range list {
		if list[i].fails >= list[i].starts {
			fails, starts = &list[i], nil
		} else if starts == nil {
			starts = &list[i]
		}
	}
	return fails, starts
}

// leastMemory is the smallest limit and the smallest RAM.
func (m *model) leastMemory() *memoryMore {
	t := &table{Caption: "The least memory in which the workload starts", Columns: []column{{Title: "Platform"}, {Title: "starts in", Right: true}, {Title: "tries", Right: true}, {Title: "not in", Right: true}, {Title: "tries", Right: true}, {Title: "what became of them there", Wide: 1}}}
	var list []*platform
	var limits, rams []valued
	var none []*platform
	for _, p := range m.platforms {
		tries := m.triesOf(p)
		if len(tries) == 0 {
			continue
		}
		list = append(list, p)
		fails, starts := border(tries)
		row := []string{p.label(), "–", "–", "–", "–", ""}
		if starts != nil {
			row[1], row[2] = value(starts.bytes, "bytes"), fmt.Sprintf("%d of %d", starts.starts, starts.starts+starts.fails)
		}
		if fails != nil {
			row[3], row[4] = value(fails.bytes, "bytes"), fmt.Sprintf("%d of %d failed", fails.fails, fails.starts+fails.fails)
			var kinds []string
			for _, o := range []string{"killed", "gave up", "stuck", "refused"} {
				if n := fails.outcomes[o]; n > 0 {
					kinds = append(kinds, fmt.Sprintf("%s (%d)", o, n))
				}
			}
			row[5] = clip(strings.Join(kinds, ", ")+": "+clean(fails.why), 150)
		}
		t.Rows = append(t.Rows, row)
		switch {
		case starts == nil:
			none = append(none, p)
		case p.Kind == "vm" || p.Kind == "nested":
			rams = append(rams, valued{p, starts.bytes})
		default:
			limits = append(limits, valued{p, starts.bytes})
		}
	}
	if len(list) == 0 {
		return nil
	}
	t.Notes = append(t.Notes, "Killed: the kernel, the host's or the guest's, ended processes since memory was out. Gave up: it ended by itself. Stuck: neither up nor ended within the deadline of a try (5 s; a machine 20 s). Refused: the runtime, or QEMU, did not start it.")
	t.Notes = append(t.Notes, m.notesOf(memoryLeast, list)...)
	var words points
	for _, of := range []struct {
		what string
		list []valued
	}{{"The least limit of a control group in which the workload started: ", limits}, {"The least RAM of a machine in which it started: ", rams}} {
		if len(of.list) > 0 {
			words = append(words, of.what+m.byWay(of.list, bytesSpan)+".")
		}
	}
	if len(none) > 0 {
		words = append(words, "In no size that was tried did most tries come up on "+those(none)+".")
	}
	return &memoryMore{
		[]block{heading("The least memory"), words}, t,
		"The least memory: sizes of a fixed list were tried, one in each round, by bisection until the border lay between two of them, then those two again. " +
			"A container's size is the limit of its control group, with what the kernel charges for it; a machine's is its RAM, and QEMU itself needs more of the host.",
	}
}

// sharedMemory holds two instances of one image against two of different images.
func (m *model) sharedMemory() *memoryMore {
	list := slices.DeleteFunc(m.measuredIn(memoryShared, "same", "pss_bytes"), func(p *platform) bool {
		return m.summaryOf(memoryShared, p, "different", "pss_bytes").N == 0
	})
	if len(list) == 0 {
		return nil
	}
	t := &table{Caption: "Two instances, of one image and of two", Columns: []column{{Title: "Platform"}, {Title: "Images", Wide: 1}, {Title: "n", Right: true}, {Title: "PSS", Right: true}, {Title: "RSS", Right: true}, {Title: "RSS less PSS", Right: true}, {Title: "files cached", Right: true}, {Title: "equal in both", Right: true}}}
	var times []valued
	var certain []*platform // whose interval lies above 1
	for _, p := range list {
		name := p.label()
		for _, series := range []struct{ name, title string }{{"same", "one"}, {"different", "two"}} {
			at := func(v string) result.Summary { return m.summaryOf(memoryShared, p, series.name, v) }
			both := result.Summarize(m.differences(result.Key{Experiment: memoryShared, Platform: p.Name, Series: series.name}, "rss_bytes", "pss_bytes"))
			t.Rows = append(t.Rows, []string{name, series.title, fmt.Sprint(at("pss_bytes").N), medianCell(at("pss_bytes")), medianCell(at("rss_bytes")), medianCell(both), medianCell(at("files_cached_bytes")), medianCell(at("mergeable_across_bytes"))})
			name = ""
		}
		values := func(series string) []float64 {
			return m.run.ValuesOf(result.Key{Experiment: memoryShared, Platform: p.Name, Series: series}, "pss_bytes")
		}
		r := result.Compare(values("different"), values("same"), m.run.Header.Seed)
		if !math.IsNaN(r.Ratio) {
			times = append(times, valued{p, r.Ratio})
		}
		if direction, mark := directionOf(r); direction > 0 && mark != undecided {
			certain = append(certain, p)
		}
	}
	t.Notes = append([]string{
		"Sums over both. RSS counts a page that both map twice, PSS once: the difference is what is shared, with each other and with all else that runs. Files cached is what the host's page cache has of their images, and of what machines boot from. " +
			"Equal in both are pages of two guests' RAM with the same content, which only KSM could share.",
	}, m.notesOf(memoryShared, list)...)
	words := points{"Two instances of two images have so many times the PSS of two of one image: " + m.byWay(times, ratioSpan) + "."}
	switch {
	case len(certain) == len(times):
		words = append(words, "The interval of each of these ratios lies above 1: one image takes less.")
	case len(certain) > 0:
		words = append(words, "The interval of the ratio lies above 1 on "+those(certain)+", and on the others these samples do not show that one image takes less.")
	default:
		words = append(words, "On none of them does an interval lie above 1: these samples do not show that one image takes less.")
	}
	return &memoryMore{
		[]block{heading("What two instances share"), words}, t,
		"What two share: the second image runs the same program and is as large, but all its files are others. The machines of this test have RAM of a kind that can be merged, which an emulated one has not otherwise.",
	}
}

// withKSM is of two machines with KSM off and on.
func (m *model) withKSM() *memoryMore {
	list := m.measuredIn(memoryKSM, "on", "pss_bytes")
	if len(list) == 0 {
		for _, n := range m.run.Notes {
			if n.Experiment == memoryKSM {
				return &memoryMore{blocks: []block{heading("KSM"), paragraph{"Not measured.", sentence(n.Text)}}}
			}
		}
		return nil
	}
	t := &table{Caption: "Two machines with KSM off and on", Columns: []column{{Title: "Platform"}, {Title: "KSM", Wide: 1}, {Title: "n", Right: true}, {Title: "PSS before", Right: true}, {Title: "PSS after", Right: true}, {Title: "less", Right: true}, {Title: "merged", Right: true}, {Title: "between", Right: true}}}
	var words []string
	for _, p := range list {
		name := p.label()
		less := map[string]result.Summary{}
		for _, series := range []string{"off", "on"} {
			at := func(v string) result.Summary { return m.summaryOf(memoryKSM, p, series, v) }
			less[series] = result.Summarize(m.differences(result.Key{Experiment: memoryKSM, Platform: p.Name, Series: series}, "idle_pss_bytes", "pss_bytes"))
			between := "–"
			if s := at("between_ns"); s.N > 0 {
				between = value(s.Median, "ns")
			}
			t.Rows = append(t.Rows, []string{name, series, fmt.Sprint(at("pss_bytes").N), medianCell(at("idle_pss_bytes")), medianCell(at("pss_bytes")), medianCell(less[series]), medianCell(at("ksm_merged_bytes")), between})
			name = ""
		}
		text := fmt.Sprintf("KSM has made the PSS of two of %s smaller by %s", p.label(), value(less["on"].Median, "bytes"))
		switch off := less["off"]; {
		case off.N > 0 && off.Median < 0:
			text += fmt.Sprintf("; without it, in the meantime, it grew by %s", value(-off.Median, "bytes"))
		case off.N > 0:
			text += fmt.Sprintf("; without it, in the meantime, it became smaller by %s", value(off.Median, "bytes"))
		}
		words = append(words, text+".")
	}
	t.Notes = append([]string{"Merged is what the machines' processes have in pages that KSM keeps once (ksm_merging_pages)."}, m.notesOf(memoryKSM, list)...)
	return &memoryMore{
		[]block{heading("KSM"), points(words)}, t,
		"KSM: two machines of one image came to rest; then KSM was switched on until it had been through all memory three times, at a pace far above its default, at which it would take minutes, or, as the control, it stayed off. Searching takes time of a CPU, which is not counted here. The host's settings were put back.",
	}
}
