package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"vmctr/report/result"
)

// A besideValue is one of which the platforms are set beside the plain process, and what a
// sentence says of it.
type besideValue struct{ value, verb, as string }

var besideProcess = []besideValue{
	{"first_instruction_ns", "took", "as long"},
	{"http_ns", "took", "as long"},
	{"pss_bytes", "needed", "as much"},
}

// ratiosSection sets every platform beside the plain process. A run in which none can be has
// no such section.
func (m *model) ratiosSection() (s section, any bool) {
	s = section{ID: "ratios", Title: "Everything beside the plain process"}
	var all []measured
	for _, c := range besideProcess {
		ms := m.metric(c.value)
		if slices.ContainsFunc(ms.Figures, func(f figureOf) bool { return f.Ratio != nil && !math.IsNaN(f.Ratio.Ratio) }) {
			all = append(all, ms)
		}
	}
	if len(all) == 0 {
		return s, false
	}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	add(paragraph{"Question.", "A plain process is the least that can run a program. How many times as much time and memory does the same program take in a container, in a virtual machine, and in both at once?"})
	add(m.forestFigure(all))
	add(paragraph{"What it shows.", ""}, points(m.ratioWords(all)))
	add(paragraph{"How it was measured.", "The program, the image and the rounds are the same for all platforms; [startup](#startup) and [memory](#memory) tell where each clock starts and stops and what is counted. " +
		"A ratio is one of medians. It says nothing of how large a figure is: that of the plain process stands above each panel."})
	add(paragraph{"Its error.", fmt.Sprintf("The interval of a ratio holds the errors of both sides; [the method](#method) says how it is found. All ratios of a panel have the same figure below the line. "+
		"If %s was measured too fast by chance, then all ratios of that panel are too large together, and their order is not touched. Of many 95%% intervals, about one in twenty does not hold the true ratio.", m.base.the())})
	add(paragraph{"What others measured.", manco + ": 2.3" + nbsp + "ms to create and boot a minimal virtual machine, about 1" + nbsp + "ms for fork and exec: a ratio of about 2.3. " +
		crunReadme + ": 100 runs of /bin/true in 1.69" + nbsp + "s with crun and in 3.34" + nbsp + "s with runc: twice as long with another runtime for the same container."})
	s.Ask = []string{
		"Which platform is nearest to the plain process, and which is farthest from it? Is the answer the same in every panel? Explain a difference.",
		"The axis is logarithmic. Draw the ratios of one panel on a linear axis. What can you not see there any more?",
		"Look for an interval that holds 1, or for the widest one. What would you do to make it narrower?",
	}
	if len(m.emulated()) > 0 {
		s.Ask = append(s.Ask, "Which of these ratios would change on a host that runs machines on its processor (KVM), and which would stay as they are? Why?")
	}
	s.Details = []block{m.ratioTable(all)}
	return s, true
}

// kindNames are kinds of platform in the plural.
var kindNames = map[string]string{"process": "other processes", "container": "containers", "vm": "virtual machines", "nested": "containers in machines"}

// ratioWords say of each quantity where the platforms of each kind lie, which is farthest,
// and what was not shown.
func (m *model) ratioWords(all []measured) []string {
	var out, farthest, same []string
	for _, ms := range all {
		words := besideProcess[slices.IndexFunc(besideProcess, func(b besideValue) bool { return b.value == ms.Value })]
		var parts []string
		for _, kind := range kinds {
			if who, ratios, from := ms.kindRatios(kind); who != "" {
				parts = append(parts, fmt.Sprintf("%s %s %s times %s%s", who, words.verb, ratios, words.as, from))
			}
		}
		out = append(out, fmt.Sprintf("%s: %s for %s. %s", ms.Title, value(ms.figure(m.base).Summary.Median, ms.unit()), m.base.the(), sentence(strings.Join(parts, "; "))))
		var most figureOf
		for _, f := range ms.ratios() {
			if most.Ratio == nil || f.Ratio.Ratio > most.Ratio.Ratio {
				most = f
			}
			if direction, mark := directionOf(*f.Ratio); mark == undecided && direction != 0 {
				same = append(same, fmt.Sprintf("%s of %s", ms.Short, f.Platform.label()))
			}
		}
		farthest = append(farthest, most.Platform.label())
	}
	switch names := slices.Compact(slices.Clone(farthest)); {
	case len(all) > 1 && len(names) == 1:
		out = append(out, fmt.Sprintf("%s has the largest ratio in every panel.", farthest[0]))
	case len(all) > 1:
		var parts []string
		for i, ms := range all {
			parts = append(parts, fmt.Sprintf("%s (%s)", farthest[i], ms.Short))
		}
		out = append(out, fmt.Sprintf("Not the same platform has the largest ratio in every panel: %s.", list(parts)))
	}
	if len(same) > 0 {
		out = append(out, fmt.Sprintf("No difference from %s was shown, since the interval holds 1: %s.", m.base.the(), list(same)))
	}
	return out
}

// ratios are the figures that have one.
func (ms measured) ratios() []figureOf {
	return slices.DeleteFunc(slices.Clone(ms.Figures), func(f figureOf) bool { return f.Ratio == nil || math.IsNaN(f.Ratio.Ratio) })
}

// kindRatios are the smallest and the largest ratio of a kind, or the only one, and whose.
func (ms measured) kindRatios(kind string) (who, ratios, from string) {
	all := slices.DeleteFunc(ms.ratios(), func(f figureOf) bool { return f.Platform.Kind != kind })
	switch by := func(a, b figureOf) int { return cmp.Compare(a.Ratio.Ratio, b.Ratio.Ratio) }; len(all) {
	case 0:
		return "", "", ""
	case 1:
		return all[0].Platform.the(), ratio(*all[0].Ratio), ""
	default:
		least, most := slices.MinFunc(all, by), slices.MaxFunc(all, by)
		return kindNames[kind], fmt.Sprintf("%s to %s", result.FormatRatio(least.Ratio.Ratio), result.FormatRatio(most.Ratio.Ratio)),
			fmt.Sprintf(", from %s to %s", least.Platform.label(), most.Platform.label())
	}
}

// ratioTable is the plot in figures.
func (m *model) ratioTable(all []measured) *table {
	t := &table{Caption: fmt.Sprintf("Ratio of medians to %s, with its 95%% interval", m.base.the()), Columns: []column{{Title: "Platform", Wide: 1}}}
	for _, ms := range all {
		t.Columns = append(t.Columns, column{Title: ms.Title, Right: true})
	}
	for _, p := range m.others() {
		row := []string{p.label()}
		for _, ms := range all {
			cell := m.absent(ms, p)
			if f := ms.figure(p); f.Ratio != nil {
				cell = ratio(*f.Ratio)
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	if len(m.emulated()) > 0 {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}
