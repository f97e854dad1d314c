package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// interferenceSection tells what instances lose beside a neighbour. A run that has not measured it
// has no such section.
func (m *model) interferenceSection() (s section, any bool) {
	list := m.interferences()
	if len(list) == 0 {
		return s, false
	}
	s = section{ID: "interference", Title: "Isolation: what a neighbour takes away", Blocks: []block{
		paragraph{"Question.", "Walls keep a program from seeing and changing others. But all still share the processors, the memory, the disk and the network of one host. How much slower does a program run when the one beside it behaves badly?"},
		m.interferenceFigure(list),
		paragraph{"Findings.", ""}, points(m.interferenceWords(list)),
		paragraph{"How to read it.", "A mark at 1 says that the victim did as much per second beside the neighbour as it did alone; at 0.5, half as much; near 0 it stood still. The bar is the 95% interval: where it reaches across the line at 1, no loss is shown. " +
			"Many are compared, so that about one of twenty intervals misses by chance alone. A platform isolates well if its marks stay at the line whatever the neighbour does; limits do their work if the mark with limits is nearer to the line than the one without."},
		paragraph{"How it was measured.", m.interferenceMethod(list)},
		paragraph{"Its error.", m.interferenceCaveats(list)},
		paragraph{"What others measured.", "Matthews et al. (Quantifying the Performance Isolation Properties of Virtualization Systems, ExpCS 2007) ran a web server beside such neighbours: under Xen it lost 0.03 to 1.67%; in a container of OpenVZ up to 21.3%, and with some neighbours it did not report. " +
			"Those figures are of hardware virtualization, of containers of that time with the limits that they had, and of another program on a larger host: what can be held against them is the order of the platforms, not a number."},
	}}
	s.Details = []block{m.lossTable(list), m.latencyTable(list),
		paragraph{"What the 99th percentile tells.", "Of a hundred requests, ninety-nine are answered at least as fast. Throughput can stay the same while this grows: then most requests do not notice the neighbour, and a few wait until the processor is theirs again. Who uses a web page with a hundred parts waits for the slowest of them."},
		m.fateTable(list)}
	s.Ask = []string{
		"Beside which neighbour does the victim lose most on each platform? Which shared thing of the host explains it?",
		"Limits are there to protect others. For which neighbour do they help by these intervals, and for which not? Why?",
		"Some intervals are wide. What would you change in the measurement, or on the host, to make them narrow enough for a decision?",
	}
	return s, true
}

func measureTitle(name string) string {
	for _, m := range isolation.Measures {
		if m.Name == name {
			return m.Title
		}
	}
	return name
}

func neighbourAbout(name string) string {
	for _, n := range isolation.Neighbours {
		if n.Name == name {
			return n.About
		}
	}
	return clip(name, 30)
}

// interferenceWords are what is to be seen: for each platform and kind of limits how often there
// is a loss, and the largest; and who did not report.
func (m *model) interferenceWords(list []*interfered) (words []string) {
	var order []string
	groups := map[string][]*interfered{}
	for _, x := range list {
		if groups[x.of()] == nil {
			order = append(order, x.of())
		}
		groups[x.of()] = append(groups[x.of()], x)
	}
	var counts, losses []string
	for _, name := range order {
		all, lost := 0, 0
		var worst *interfered
		worstOf, least := "", math.Inf(1)
		for _, x := range groups[name] {
			for _, measure := range isolation.Measures {
				r, ok := x.kept[measure.Name]
				if !ok || math.IsNaN(r.High) {
					continue
				}
				all++
				if !isLoss(r) {
					continue
				}
				lost++
				if r.High < least { // the end that is sure
					worst, worstOf, least = x, measure.Name, r.High
				}
			}
		}
		if all == 0 {
			continue
		}
		counts = append(counts, fmt.Sprintf("%s in %d of %d", name, lost, all))
		if worst != nil {
			losses = append(losses, fmt.Sprintf("%s kept %s of %s beside \"%s\"", name, keptText(worst.kept[worstOf]), measureTitle(worstOf), clip(worst.Neighbour, 30)))
		}
	}
	if len(counts) > 0 {
		words = append(words, "In how many comparisons less was done beside a neighbour than alone, with the whole interval below that: "+strings.Join(counts, ", ")+".")
	}
	if len(losses) > 0 {
		words = append(words, "The surest and largest losses: "+strings.Join(losses, "; ")+".")
	}
	words = append(words, m.limitsWords(groups)...)
	if walls := wallWords(list); walls != "" {
		words = append(words, walls)
	}
	for _, x := range list {
		if x.silent {
			words = append(words, fmt.Sprintf("Beside a neighbour that %s, %s did not report: %s", neighbourAbout(x.Neighbour), x.of(), clip(stop(x.why), 300)))
		}
	}
	return append(words, driftWords(list)...)
}

// wallWords tell which neighbours the kernel has stopped.
func wallWords(all []*interfered) string {
	var killed, refused []string
	for _, x := range all {
		switch name := "\"" + x.Neighbour + "\" in " + x.of(); x.Fate {
		case isolation.Killed:
			killed = append(killed, name)
		case isolation.Refused:
			refused = append(refused, name)
		}
	}
	var parts []string
	if len(killed) > 0 {
		parts = append(parts, "out of memory, and so killed: "+list(killed))
	}
	if len(refused) > 0 {
		parts = append(parts, "refused more processes: "+list(refused))
	}
	if parts == nil {
		return ""
	}
	return "Which neighbours met a wall: " + strings.Join(parts, "; ") + ". The full tables have what became of each."
}

// limitsWords compare what was kept with limits and without, of each platform that has both.
func (m *model) limitsWords(groups map[string][]*interfered) (words []string) {
	for _, p := range m.platforms {
		better, worse, all := 0, 0, 0
		for _, with := range m.withLimits(groups, p, true) {
			for _, without := range m.withLimits(groups, p, false) {
				if with.Neighbour != without.Neighbour {
					continue
				}
				for _, measure := range isolation.Measures {
					a, hasA := with.kept[measure.Name]
					b, hasB := without.kept[measure.Name]
					switch {
					case !hasA || !hasB || math.IsNaN(a.Low) || math.IsNaN(b.Low):
						continue
					case a.Low > b.High:
						better++
					case b.Low > a.High:
						worse++
					}
					all++
				}
			}
		}
		if all > 0 {
			words = append(words, fmt.Sprintf("Limits on both: of %d comparisons, the victim kept clearly more in %s with them than without (the intervals do not touch) in %d, clearly less in %d, and in %d no difference is shown.", all, p.the(), better, worse, all-better-worse))
		}
	}
	return words
}

func (m *model) withLimits(groups map[string][]*interfered, p *platform, limited bool) (list []*interfered) {
	for _, g := range groups {
		for _, x := range g {
			if x.platform == p && x.Limited == limited {
				list = append(list, x)
			}
		}
	}
	return list
}

// steadyFactor is by how much the figures alone may differ before and after a neighbour, for the
// host to count as steady.
const steadyFactor = 1.25

func driftWords(list []*interfered) []string {
	all, far, disturbed := 0, 0, 0
	for _, x := range list {
		if x.disturbed {
			disturbed++
		}
		for _, d := range x.drift {
			if math.IsNaN(d) {
				continue
			}
			all++
			if d > steadyFactor || d < 1/steadyFactor {
				far++
			}
		}
	}
	if far == 0 && disturbed == 0 {
		return nil
	}
	text := fmt.Sprintf("How steady the host was: in %d of %d cases the figures alone, before the neighbour and after it, differ by more than a quarter.", far, all)
	if disturbed > 0 {
		text += fmt.Sprintf(" Before or during %d of %d visits other programs used the host.", disturbed, len(list))
	}
	return []string{text + " A loss of that size can be the host's."}
}

// keptText prints a share that was kept: "45% (37 to 51%)".
func keptText(r result.Ratio) string {
	s := fmt.Sprintf("%.0f%%", 100*r.Ratio)
	if !math.IsNaN(r.Low) && !math.IsNaN(r.High) {
		s += fmt.Sprintf(" (%.0f to %.0f%%)", 100*r.Low, 100*r.High)
	}
	return s
}

// lossCell prints a loss: "55% (49 to 63)".
func lossCell(r result.Ratio) string {
	if math.IsNaN(r.Ratio) {
		return "–"
	}
	s := minus(fmt.Sprintf("%.0f%%", 100*(1-r.Ratio)))
	if !math.IsNaN(r.Low) && !math.IsNaN(r.High) {
		s += minus(fmt.Sprintf(" (%.0f to %.0f)", 100*(1-r.High), 100*(1-r.Low)))
	}
	return s
}

// minus is the sign in place of the hyphen; and nothing is lost where -0% would stand.
func minus(s string) string {
	s = strings.ReplaceAll(s, "-0%", "0%")
	s = strings.ReplaceAll(strings.ReplaceAll(s, "(-0 ", "(0 "), " -0)", " 0)")
	return strings.ReplaceAll(s, "-", "−")
}

// names are the first three cells of a row; a name that is that of the row above is left out.
func names(list []*interfered, i int) []string {
	x := list[i]
	row := []string{x.platform.label(), x.limits(), x.Neighbour}
	if i > 0 && list[i-1].platform == x.platform {
		if row[0] = ""; list[i-1].Limited == x.Limited {
			row[1] = ""
		}
	}
	return row
}

var nameColumns = []column{{Title: "Platform", Wide: 1}, {Title: "Limits"}, {Title: "Neighbour"}}

func (m *model) lossTable(list []*interfered) *table {
	t := &table{Caption: "Loss of throughput beside a neighbour: 1 less the ratio of the medians beside and alone, with its 95% interval", Columns: slices.Clone(nameColumns)}
	for _, measure := range isolation.Measures {
		t.Columns = append(t.Columns, column{Title: measure.Title, Right: true})
	}
	for i, x := range list {
		row := names(list, i)
		for _, measure := range isolation.Measures {
			r, ok := x.kept[measure.Name]
			switch {
			case ok:
				row = append(row, lossCell(r))
			case slices.Contains(x.Silent, measure.Name):
				row = append(row, isolation.DidNotReport)
			default:
				row = append(row, "–")
			}
		}
		t.Rows = append(t.Rows, row)
	}
	t.Notes = append([]string{"A loss below zero says that the victim did more beside the neighbour: chance, a drift of the host, or a processor that the neighbour kept from going to sleep."}, m.notesOf(interferenceName, platformsOf(list))...)
	return t
}

func platformsOf(list []*interfered) (all []*platform) {
	for _, x := range list {
		if !slices.Contains(all, x.platform) {
			all = append(all, x.platform)
		}
	}
	return all
}

func (m *model) latencyTable(list []*interfered) *table {
	t := &table{Caption: "The 99th percentile of the time that a request takes, alone and beside a neighbour", Columns: append(slices.Clone(nameColumns),
		column{Title: "n", Right: true}, column{Title: "p99 alone", Right: true}, column{Title: "n", Right: true}, column{Title: "p99 beside", Right: true}, column{Title: "ratio", Right: true})}
	points := false
	for i, x := range list {
		row := append(names(list, i), fmt.Sprint(x.aloneN), value(x.alone.Value, "ns"), fmt.Sprint(x.besideN), value(x.beside.Value, "ns"), ratio(x.p99))
		if x.besideN == 0 {
			row[5], row[6], row[7] = "0", "–", "–"
			if x.silent {
				row[6] = isolation.DidNotReport
			}
		} else if !x.alone.HasInterval() || !x.beside.HasInterval() {
			points = true
			row[7] += " *"
		}
		t.Rows = append(t.Rows, row)
	}
	if points {
		t.Notes = append(t.Notes, "* too few requests for an interval, which needs 368 on each side: a point, and the true percentile may lie above all that was measured.")
	}
	t.Notes = append(t.Notes, "Requests follow each other and share what disturbs them: for another moment, the true interval is wider than these.")
	t.Notes = append(t.Notes, m.notesOf(interferenceName, platformsOf(list))...)
	return t
}

func (m *model) fateTable(list []*interfered) *table {
	t := &table{Caption: "What became of the neighbours", Columns: []column{{Title: "Platform"}, {Title: "Limits"}, {Title: "Neighbour"}, {Title: "Fate"}, {Title: "How it came to that", Wide: 1}}}
	for i, x := range list {
		t.Rows = append(t.Rows, append(names(list, i), cmpOr(clip(x.Fate, 12), "–"), cmpOr(clip(x.FateWhy, 260), "–")))
	}
	t.Notes = []string{"stopped: it went on until bench told it to stop. killed: the kernel killed it, since memory was out. refused: the kernel gave it no more. ended: it ended by itself, or broke."}
	return t
}

func (m *model) interferenceMethod(list []*interfered) string {
	text := fmt.Sprintf("A victim and a neighbour were started on the same platform, for each pair anew, in random order (seed %d). The neighbour idled at first, was then told to begin, and was at last stopped and removed. "+
		"The victim measured itself in windows of 50 ms, one kind at a time: %s. Bench was the client for the last two, over the victim's own network. Alone is what it did before and after the neighbour's work, and beside is from 0.2 s after the neighbour's word that it had begun: the ratio is that of the medians of all windows, with an interval by bootstrap (up to %d windows beside). "+
		"A victim of which nothing is heard for 5 s beside a neighbour did not report. The neighbours are: %s.",
		m.run.Header.Seed, measuresText(), mostWindows(list), neighboursText())
	for _, p := range platformsOf(list) {
		if d := p.Details; p.Kind == "container" && d["memory limit"] != "" {
			text += fmt.Sprintf(" Limits on %s are %s of memory, %s CPU and %s processes, for the victim and for the neighbour.", p.the(), d["memory limit"], d["CPU limit"], d["pids limit"])
			break
		}
	}
	return text + " A plain process has none, and a machine has its memory and its processors always."
}

func measuresText() string {
	var all []string
	for _, m := range isolation.Measures {
		all = append(all, m.Title+" ("+m.Of+")")
	}
	return list(all)
}

func neighboursText() string {
	var all []string
	for _, n := range isolation.Neighbours {
		all = append(all, "\""+n.Name+"\", which "+n.About)
	}
	return list(all)
}

func mostWindows(list []*interfered) (n int) {
	for _, x := range list {
		n = max(n, x.n)
	}
	return n
}

func (m *model) interferenceCaveats(list []*interfered) string {
	cpus := m.run.Header.Host.CPUs
	text := fmt.Sprintf("This host has %s. ", count(cpus, "processor", "processors"))
	if cpus > 0 && cpus <= 2 {
		text += "Where victim and neighbour may use one each, none is left for bench, which is the client, and for the kernel. "
	}
	text += "Windows of one pair follow each other, so their interval holds for this pair and this moment, and not for every other start. Every neighbour has a ceiling of its own (10 s, 2 GiB or a quarter of the memory that is free, 2,000 processes or a quarter of those that are left, a file of 64 MiB), so that the host survives: one without could do more harm than is shown."
	var files []string
	for _, x := range list {
		if word := x.platform.label() + ": " + clip(x.Files, 60); x.Files != "" && !slices.Contains(files, word) {
			files = append(files, word)
		}
	}
	if len(files) > 0 {
		text += " Files lie on: " + strings.Join(files, "; ") + ". Where that is memory, writing them is work for the kernel and not for a disk."
	}
	if slices.ContainsFunc(list, func(x *interfered) bool { return strings.Contains(x.Network, "loopback") }) {
		text += " Where there is no network of its own, as for a plain process, or where only QEMU plays one, requests went over a loopback device."
	}
	if slices.ContainsFunc(list, func(x *interfered) bool { return x.platform.Emulated }) {
		text += " An emulated machine competes as an emulator: its processor is a thread of QEMU that translates instructions, and its losses are not those of a hypervisor."
	}
	return text
}
