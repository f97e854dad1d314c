package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"vmctr/report/result"
)

// The experiments of the section "How startup changes".
const (
	runningExperiment  = "startup-running"
	togetherExperiment = "startup-together"
	sizeExperiment     = "startup-size"
	coldExperiment     = "startup-cold"
)

// changesSection tells how a start changes with circumstances. A run without such
// samples has none.
func (m *model) changesSection() (s section, any bool) {
	s = section{ID: "startup-changes", Title: "How startup changes"}
	for _, of := range []func() (blocks, tables []block){m.runningBlocks, m.togetherBlocks, m.sizeBlocks, m.coldBlocks} {
		blocks, tables := of()
		s.Blocks, s.Details = append(s.Blocks, blocks...), append(s.Details, tables...)
	}
	if len(s.Blocks) == 0 {
		return s, false
	}
	s.Blocks = append([]block{paragraph{"Question.", "A start on an idle host with warm caches is one case. How does the time to the first instruction change with what runs already, with what starts at the same moment, with the size of the image, and with cold caches?"}}, s.Blocks...)
	s.Blocks = append(s.Blocks, m.changesMethod()...)
	s.Ask = m.changesAsk()
	return s, true
}

// curvesOf are the medians of a value of an experiment, by platform and number. Platforms
// without any are left out.
func (m *model) curvesOf(experiment, series, value string) []curve {
	var list []curve
	for _, p := range m.platforms {
		c := curve{platform: p}
		for _, n := range m.numbersOf(experiment, series, p) {
			if s := result.Summarize(m.run.ValuesOf(result.Key{Experiment: experiment, Platform: p.Name, Series: series, N: n}, value)); s.N > 0 {
				c.points = append(c.points, curvePoint{n, s})
			}
		}
		if len(c.points) > 0 {
			list = append(list, c)
		}
	}
	return list
}

// numbersOf are the numbers for which a platform has samples, in order.
func (m *model) numbersOf(experiment, series string, p *platform) []int {
	var list []int
	for _, k := range m.run.Keys(experiment) {
		if k.Platform == p.Name && k.Series == series {
			list = append(list, k.N)
		}
	}
	slices.Sort(list)
	return list
}

func (c curve) first() curvePoint { return c.points[0] }
func (c curve) last() curvePoint  { return c.points[len(c.points)-1] }

// ratioAt compares a point of a curve with its first.
func (m *model) ratioAt(c curve, p curvePoint) result.Ratio {
	return result.Compare(p.summary.Values, c.first().summary.Values, m.run.Header.Seed)
}

// A finding is what a ratio shows of a platform, and with what: "with 100".
type finding struct {
	platform *platform
	ratio    result.Ratio
	with     string
}

// sides say it once of all findings with the same outcome: in the words for more and for
// less, or of what no more can be said.
func sides(list []finding, of, more, less string) (p points) {
	var above, below, same []string
	var few []*platform
	low, high := math.Inf(1), math.Inf(-1)
	for _, f := range list {
		text := strings.TrimSuffix(fmt.Sprintf("%s %s times %s", f.platform.the(), ratio(f.ratio), f.with), " ")
		switch direction, mark := directionOf(f.ratio); {
		case math.IsNaN(f.ratio.Ratio):
		case mark == undecided && direction == 0:
			few = append(few, f.platform)
			low, high = min(low, f.ratio.Ratio), max(high, f.ratio.Ratio)
		case mark == undecided:
			same = append(same, text)
		case direction > 0:
			above = append(above, text)
		default:
			below = append(below, text)
		}
	}
	for _, side := range []struct {
		words string
		list  []string
	}{{more, above}, {less, below}, {of + ", no difference was shown, since the interval of the ratio holds 1", same}} {
		if len(side.list) > 0 {
			p = append(p, side.words+": "+strings.Join(side.list, "; ")+".")
		}
	}
	if len(few) > 0 {
		p = append(p, fmt.Sprintf("%s: %s times as long, on %s. There are too few samples for an interval, so that nothing is certain.", of, ratioSpan(low, high), those(few)))
	}
	return p
}

// findings are the block of some points, none if there are none.
func findings(p points) []block {
	if len(p) == 0 {
		return nil
	}
	return []block{paragraph{"Findings.", ""}, p}
}

// numberTable has a row for each platform and number.
func (m *model) numberTable(caption, number, as string, list []curve, unit string) *table {
	t := &table{Caption: caption, Columns: []column{{Title: "Platform", Wide: 1}, {Title: number, Right: true}, {Title: "n", Right: true}, {Title: "Median", Right: true}, {Title: "95% interval", Right: true}, {Title: "Ratio to " + as, Right: true}}}
	emulated := false
	for _, c := range list {
		for i, pt := range c.points {
			row := []string{map[bool]string{true: c.platform.label()}[i == 0], grouped(pt.n), fmt.Sprint(pt.summary.N), value(pt.summary.Median, unit), interval(pt.summary, unit), "1"}
			if i > 0 {
				row[5] = ratio(m.ratioAt(c, pt))
			} else if pt.n != list[0].first().n {
				row[5] = "–"
			}
			t.Rows = append(t.Rows, row)
		}
		emulated = emulated || c.platform.Emulated
	}
	if emulated {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

// outOfReach are the trials of an experiment that were not done on this host, and why: of
// each platform the smallest, which says it of the others.
func (m *model) outOfReach(experiment string) []block {
	var list points
	for _, p := range m.platforms {
		var notes []result.Note
		for _, n := range m.run.Notes {
			if n.Experiment == experiment && n.Platform == p.Name {
				notes = append(notes, n)
			}
		}
		if len(notes) == 0 {
			continue
		}
		slices.SortStableFunc(notes, func(a, b result.Note) int { return a.N - b.N })
		text := stop(clip(strings.TrimPrefix(notes[0].Text, experiment+": "), 700))
		var more []string
		for _, n := range notes[1:] {
			if w := grouped(n.N); n.N > notes[0].N && !slices.Contains(more, w) {
				more = append(more, w)
			}
		}
		if len(more) > 0 {
			text += " Nor was there room or time for " + strings.Join(more, ", ") + "."
		}
		list = append(list, text)
	}
	if len(list) == 0 {
		return nil
	}
	return []block{paragraph{"Not reached.", ""}, list}
}

func (m *model) runningBlocks() (blocks, tables []block) {
	list := m.curvesOf(runningExperiment, "", "first_instruction_ns")
	if len(list) == 0 {
		return nil, nil
	}
	var found []finding
	for _, c := range list {
		if last := c.last(); last.n > 0 && c.first().n == 0 {
			found = append(found, finding{c.platform, m.ratioAt(c, last), "with " + grouped(last.n)})
		}
	}
	blocks = []block{heading("With instances running already"), curves{
		name: runningExperiment, caption: "Startup of one more instance, against the number of those of the same platform that run already and idle.",
		what: "Median startup", xTitle: "instances that run already (log scale)", yTitle: "time to the first instruction of one more (log scale)", unit: "ns", list: list,
	}.figure()}
	blocks = append(blocks, findings(sides(found, "With others running", "Longer than with none running", "Shorter than with none running"))...)
	return append(blocks, m.outOfReach(runningExperiment)...), []block{m.numberTable("Startup of one more instance", "Running", "none", list, "ns")}
}

func (m *model) togetherBlocks() (blocks, tables []block) {
	list := m.curvesOf(togetherExperiment, "", "makespan_ns")
	if len(list) == 0 {
		return nil, nil
	}
	cpus := max(m.run.Header.Host.CPUs, 1)
	shared := func(n float64) float64 { return max(1, n/float64(cpus)) }
	most := &table{Caption: "With the most at once", Columns: []column{{Title: "Platform", Wide: 1}, {Title: "At once", Right: true}, {Title: "First after", Right: true}, {Title: "Last after", Right: true},
		{Title: "Times one alone", Right: true}, {Title: "Shared without loss", Right: true}}}
	emulated := false
	var relative []curve
	var found []finding
	for _, c := range list {
		if c.first().n != 1 || c.first().summary.Median <= 0 {
			continue
		}
		rel := curve{platform: c.platform}
		for _, pt := range c.points {
			r := m.ratioAt(c, pt)
			s := result.Summary{N: pt.summary.N, Median: r.Ratio, Low: r.Low, High: r.High}
			if pt.n == 1 {
				s.Low, s.High = math.NaN(), math.NaN() // it is 1 by definition
			}
			if !math.IsNaN(s.Low) && !math.IsNaN(s.High) {
				s.Confidence = 0.95
			}
			rel.points = append(rel.points, curvePoint{pt.n, s})
		}
		relative = append(relative, rel)
		if last := c.last(); last.n > 1 {
			r := m.ratioAt(c, last)
			first := result.Summarize(m.run.ValuesOf(result.Key{Experiment: togetherExperiment, Platform: c.platform.Name, N: last.n}, "fastest_ns"))
			perfect := shared(float64(last.n))
			found = append(found, finding{c.platform, result.Ratio{Ratio: r.Ratio / perfect, Low: r.Low / perfect, High: r.High / perfect}, fmt.Sprintf("with %d", last.n)})
			most.Rows = append(most.Rows, []string{c.platform.label(), fmt.Sprint(last.n), value(first.Median, "ns"), value(last.summary.Median, "ns"), ratio(r), result.FormatRatio(perfect)})
			emulated = emulated || c.platform.Emulated
		}
	}
	blocks = []block{heading("With others at the same moment")}
	if len(relative) > 0 {
		blocks = append(blocks, curves{
			name: togetherExperiment, caption: fmt.Sprintf("Time until the last of several instances that are asked for at the same moment has come to its first instruction, as a multiple of one alone. Dashed: if one start kept one CPU busy and the %s were shared without any loss, and if they started one after the other.", count(cpus, "CPU", "CPUs")),
			what: "Multiple of one alone", xTitle: "instances started at the same moment (log scale)", yTitle: "until the last one's first instruction, as a multiple of one alone (log scale)", unit: timesUnit, list: relative,
			guides: []guide{{"one after the other", func(n float64) float64 { return n }}, {"perfect sharing", shared}},
		}.figure())
	}
	blocks = append(blocks, findings(sides(found, "At the same moment, against sharing without loss", "Slower than if the CPUs were shared without loss", "Faster than if each start kept a CPU busy all the time"))...)
	if emulated {
		most.Notes = append(most.Notes, emulatedNote)
	}
	if len(most.Rows) > 0 {
		blocks = append(blocks, most)
	}
	if skew := m.skew(list); skew != "" {
		blocks = append(blocks, paragraph{"The same moment.", skew})
	}
	return append(blocks, m.outOfReach(togetherExperiment)...), []block{m.numberTable("Until the last one's first instruction", "At once", "one", list, "ns")}
}

// skew tells how simultaneous the starts were.
func (m *model) skew(all []curve) string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, c := range all {
		last := c.last().n
		if s := result.Summarize(m.run.ValuesOf(result.Key{Experiment: togetherExperiment, Platform: c.platform.Name, N: last}, "skew_ns")); s.N > 0 && last > 1 {
			low, high = min(low, s.Median), max(high, s.Median)
		}
	}
	if low > high {
		return ""
	}
	return "One thread for each instance waits for a signal and then asks for it; all times count from the signal. The threads share the CPUs with what they start, so the last one asked later than the first: with the most at once by " +
		valueSpan(low, high, "ns") + " in the median. That is part of the times."
}

func (m *model) sizeBlocks() (blocks, tables []block) {
	list := m.curvesOf(sizeExperiment, "data", "first_instruction_ns")
	if len(list) == 0 {
		return nil, nil
	}
	var data, files []finding
	for _, c := range list {
		if last := c.last(); last.n > 0 && c.first().n == 0 {
			data = append(data, finding{c.platform, m.ratioAt(c, last), "with " + grouped(last.n) + nbsp + "MiB"})
		}
	}
	for _, c := range m.curvesOf(sizeExperiment, "files", "first_instruction_ns") {
		base := m.run.ValuesOf(result.Key{Experiment: sizeExperiment, Platform: c.platform.Name, Series: "data"}, "first_instruction_ns")
		last := c.last()
		files = append(files, finding{c.platform, result.Compare(last.summary.Values, base, m.run.Header.Seed), "with " + grouped(last.n)})
	}
	found := slices.Concat(sides(data, "With more data", "Longer with more data in the image", "Shorter with more data in the image"), sides(files, "With more small files", "Longer with more small files in it", "Shorter with more small files in it"))
	blocks = []block{heading("With a larger image"), curves{
		name: sizeExperiment, caption: "Startup from the image with one more layer, of data that the program does not read.",
		what: "Median startup", xTitle: "data in the layer more, MiB (log scale)", yTitle: "time to the first instruction (log scale)", unit: "ns", list: list,
	}.figure()}
	blocks = append(blocks, findings(found)...)
	blocks = append(blocks, paragraph{"Why.", "A container's overlay joins the folders of layers that are unpacked already, whatever is in them. A machine has a small image in its initramfs, which firmware and kernel " +
		"copy and unpack in each boot; one of more than 16" + nbsp + "MiB it has on read-only disks, of which it reads what it needs. So it is the small images whose size a machine's start can depend on."})
	tables = []block{m.numberTable("Startup from an image with more data in it", "MiB more", "none", list, "ns")}
	if t := m.preparedTable(); t != nil {
		tables = append(tables, t)
	}
	return append(blocks, m.outOfReach(sizeExperiment)...), tables
}

// preparedTable is what is paid once for an image.
func (m *model) preparedTable() *table {
	t := &table{Caption: "Paid once for an image, before any start", Columns: []column{{Title: "Image", Wide: 1}, {Title: "Platform"}, {Title: "Unpacked in", Right: true}, {Title: "Prepared in", Right: true}},
		Notes: []string{"Single measurements. What platforms share, the first that needs it pays: the unpacked layers, and the disks of machines. Files are written to the page cache, and partly to the disk."}}
	for _, series := range []struct{ name, unit string }{{"data", nbsp + "MiB more"}, {"files", " small files more"}} {
		var numbers []int
		for _, k := range m.run.Keys(sizeExperiment) {
			if k.Series == series.name && k.N > 0 {
				numbers = append(numbers, k.N)
			}
		}
		slices.Sort(numbers)
		for _, n := range slices.Compact(numbers) {
			image := grouped(n) + series.unit
			for _, p := range m.platforms {
				cell := func(name string) string {
					if v := m.run.ValuesOf(result.Key{Experiment: sizeExperiment, Platform: p.Name, Series: series.name, N: n}, name); len(v) > 0 {
						return value(v[0], "ns")
					}
					return "–"
				}
				if prepared := cell("prepare_ns"); prepared != "–" {
					t.Rows = append(t.Rows, []string{image, p.label(), cell("unpack_ns"), prepared})
					image = ""
				}
			}
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

func (m *model) coldBlocks() (blocks, tables []block) {
	ms := measured{metric: metric{coldExperiment, "first_instruction_ns", "Startup with cold caches", "Startup"}}
	var found []finding
	for _, p := range m.platforms {
		values := map[string][]float64{}
		for _, series := range []string{"warm", "cold"} {
			values[series] = m.run.ValuesOf(result.Key{Experiment: coldExperiment, Platform: p.Name, Series: series}, ms.Value)
			q := *p
			q.Name += ", " + series
			ms.Figures = append(ms.Figures, figureOf{Platform: &q, Summary: result.Summarize(values[series])})
		}
		found = append(found, finding{p, result.Compare(values["cold"], values["warm"], m.run.Header.Seed), ""})
	}
	out := m.outOfReach(coldExperiment)
	if len(ms.present()) == 0 {
		if len(out) == 0 {
			return nil, nil
		}
		return append([]block{heading("With cold caches")}, out...), nil
	}
	plot := m.startupFigure(ms, coldExperiment, false)
	plot.Caption = "Warm page caches against cold ones. " + plot.Caption
	blocks = append([]block{heading("With cold caches"), plot}, findings(sides(found, "With cold caches", "Longer with cold caches than with warm ones", "Shorter with cold caches than with warm ones"))...)
	stays := "What a device caches itself stays warm"
	if v := m.run.Header.Host.Virtualization; v != "" {
		stays += ", and so does what the host of this virtual machine (" + v + ") has in memory of its disk: so this cold start may be warmer than one after power-on"
	}
	blocks = append(blocks, paragraph{"What is cold.", "Before each cold start all is written to the disk (sync), and the kernel is told to forget what it has of files, names and inodes (drop_caches, 3); the clock starts after that. " +
		"Pages that a running process maps stay, such as those of bench itself. " + stays + "."})
	return append(blocks, out...), []block{m.figureTable([]measured{{metric: ms.metric, Figures: ms.present()}}, "Startup with warm and with cold caches")}
}

// changesMethod is how all of it was measured.
func (m *model) changesMethod() []block {
	alike := ""
	if slices.ContainsFunc(m.platforms, func(p *platform) bool { return p.Name == "vm-q35" }) {
		alike = " Machines that differ from vm-q35 only in how they boot, and a container in a machine, were left out: it stands for them."
	}
	return []block{
		paragraph{"How it was measured.", fmt.Sprintf("The clock, its start and its end are those of [Startup time](#startup). In every round all platforms and all numbers came in a new random order (seed %d), so that a drift of the host falls on all alike, and "+
			"the case that others are compared with (none running, one alone, no more data, warm) was measured in the same rounds. Instances that run already were started anew for each visit of a round, and idled for a second before the measured starts; "+
			"of one visit there are up to three. Cold and warm starts both follow a start of the same platform that is not counted.", m.run.Header.Seed) + alike},
		paragraph{"Its error.", "Starts of one visit share the instances that run, so they are less independent than the intervals take them for. bench itself has a thread and some open files for each instance that runs; what these cost its own calls is in the figures too. Ratios are of medians; of so many, one in twenty may show a difference by chance. " +
			"How many a host can hold was not looked for: a level was left out before it would have used more than three quarters of the memory, tasks or files of bench, or too much of the run's time."},
		paragraph{"What others measured.", manco + " ran up to 8000 guests on one host: with Xen's own tools the time of a start grew with the number that ran, with theirs it hardly did."},
	}
}

// changesAsk are questions that this run lets a student answer.
func (m *model) changesAsk() (ask []string) {
	for _, q := range []struct{ experiment, text string }{
		{runningExperiment, "A service adds instances while its load grows. For which platforms does it matter how many run already, and what in the host's kernel could grow with their number?"},
		{togetherExperiment, "After a power cut all instances of a host start at the same moment. Which platform suffers most, and which resource do the starts compete for?"},
		{sizeExperiment, "Would you make an image smaller to start faster, or for another reason? What do the figures say?"},
		{coldExperiment, "Which of the cold and the warm start does a user of your service see, and how often?"},
	} {
		if len(m.run.Keys(q.experiment)) > 0 {
			ask = append(ask, q.text)
		}
	}
	return ask
}
