package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"vmctr/report/result"
)

// Sentences about many platforms: of those of one group the same is said, and so it is
// said once.

// group are platforms that come to their first instruction in one way.
type group struct {
	many    string // of several: "containers"
	one     string // what stands behind the name of one, "" where that needs no word
	figures []figureOf
}

// way is one in which platforms come to their first instruction.
type way struct{ name, many, one string }

// ways are those that have a group, in the report's order. A platform that is of none is a
// group of its own.
var ways = []way{
	{"process", "Plain processes", ""},
	{"container", "Containers", ""},
	{"restore", "Virtual machines that go on from a saved state", ", which goes on from a saved state,"},
	{"bare", "Virtual machines without an operating system", ", a machine without an operating system,"},
	{"boot", "Virtual machines that boot a kernel", ""},
	{"vm", "Virtual machines", ""},
	{"nested", "Containers in a virtual machine", ", a container in a virtual machine,"},
}

// way is the name of a platform's group. How a machine comes up is known by the phases of
// its starts.
func (m *model) way(p *platform) string {
	if p.Kind != "vm" {
		return p.Kind
	}
	for i := range m.run.Samples {
		s := &m.run.Samples[i]
		if s.Platform != p.Name || len(s.Phases) == 0 {
			continue
		}
		has := func(name string) bool {
			return slices.ContainsFunc(s.Phases, func(ph result.Phase) bool { return ph.Name == name })
		}
		switch {
		case has("restore"):
			return "restore"
		case has("kernel"):
			return "boot"
		default:
			return "bare"
		}
	}
	return p.Kind
}

// groups are the figures of a metric by group, in each the smallest first.
func (m *model) groups(ms measured) []group {
	by := map[string][]figureOf{}
	var odd []string // of a kind that this version does not know
	for _, f := range ms.present() {
		name := m.way(f.Platform)
		if !slices.ContainsFunc(ways, func(w way) bool { return w.name == name }) && by[name] == nil {
			odd = append(odd, name)
		}
		by[name] = append(by[name], f)
	}
	var list []group
	add := func(w way) {
		if figures := by[w.name]; len(figures) > 0 {
			slices.SortStableFunc(figures, func(a, b figureOf) int { return cmp.Compare(a.Summary.Median, b.Summary.Median) })
			list = append(list, group{w.many, w.one, figures})
		}
	}
	for _, w := range ways {
		add(w)
	}
	for _, name := range odd {
		add(way{name, "Other platforms", ""})
	}
	return list
}

// labels names several platforms, and that they are emulated once if all are.
func labels(platforms []*platform) string {
	all := len(platforms) > 1
	for _, p := range platforms {
		all = all && p.Emulated
	}
	var names []string
	for _, p := range platforms {
		if all {
			names = append(names, clip(p.Name, 40))
		} else {
			names = append(names, p.label())
		}
	}
	switch {
	case !all:
		return list(names)
	case len(names) == 2:
		return list(names) + ", both emulated"
	default:
		return list(names) + ", all emulated"
	}
}

// those are platforms as the object of a sentence.
func those(platforms []*platform) string {
	if len(platforms) == 1 {
		return platforms[0].the()
	}
	return labels(platforms)
}

// valueSpan prints the range of some values: "3.97 to 42.5 ms".
func valueSpan(low, high float64, unit string) string {
	a, b := value(low, unit), value(high, unit)
	if a == b {
		return a
	}
	if _, u, _ := strings.Cut(a, nbsp); !strings.HasSuffix(b, nbsp+u) {
		return a + " to " + b
	}
	return glueUnit(result.Summary{Low: low, High: high}.FormatInterval(unit))
}

// ratioSpan is valueSpan for ratios.
func ratioSpan(low, high float64) string {
	a, b := result.FormatRatio(low), result.FormatRatio(high)
	if a == b {
		return a
	}
	return a + " to " + b
}

// wording is how a quantity is spoken of: "took 3 ms", "times as long as".
type wording struct{ did, of, times, order string }

var (
	tookTime = wording{"took", "", "times as long as", "the fastest first"}
	hasPSS   = wording{"had", " of PSS", "times as much as", "the smallest first"}
)

// groupWords say what each group took, and how it stands to what it is compared with. What
// samples cannot tell is said of all together at the end.
func (m *model) groupWords(ms measured, w wording) []string {
	out, unsure := m.groupLines(ms, w)
	return append(out, unsure.words()...)
}

// doubts are the pairs of platforms of which no difference is shown: since the interval of
// their ratio holds 1, since the test says that chance can do it, or since there is none.
type doubts struct{ same, chance, few []string }

func (d doubts) words() (out []string) {
	if len(d.same) > 0 {
		out = append(out, "No difference was shown, since the interval of the ratio holds 1, between "+strings.Join(d.same, "; between ")+".")
	}
	if len(d.chance) > 0 {
		out = append(out, "The interval of the ratio is on one side of 1, but the test, corrected for the number of comparisons, does not exclude chance: "+strings.Join(d.chance, "; ")+".")
	}
	switch {
	case len(d.few) > many:
		out = append(out, fmt.Sprintf("Of %d of these ratios there are too few samples to give an interval: they show no difference for certain.", len(d.few)))
	case len(d.few) > 0:
		out = append(out, "Too few samples to give an interval, and so no difference for certain: "+strings.Join(d.few, "; ")+".")
	}
	return out
}

func (m *model) groupLines(ms measured, w wording) (out []string, unsure doubts) {
	for _, g := range m.groups(ms) {
		first, last := g.figures[0], g.figures[len(g.figures)-1]
		var text string
		if len(g.figures) == 1 {
			n := fmt.Sprintf("n%s=%s%d", nbsp, nbsp, first.Summary.N)
			if first.Summary.HasInterval() {
				n = interval(first.Summary, ms.unit()) + ", " + n
			}
			text = fmt.Sprintf("%s%s %s %s%s (%s)", begin(first.Platform.the()), g.one, w.did, value(first.Summary.Median, ms.unit()), w.of, n)
		} else {
			var platforms []*platform
			for _, f := range g.figures {
				platforms = append(platforms, f.Platform)
			}
			text = fmt.Sprintf("%s (%s: %s) %s %s%s in the median", g.many, w.order, labels(platforms), w.did, valueSpan(first.Summary.Median, last.Summary.Median, ms.unit()), w.of)
		}
		var times []string
		for _, against := range m.against(ms, g) {
			low, high := math.Inf(1), math.Inf(-1)
			for _, c := range against {
				low, high = min(low, c.Ratio.Ratio), max(high, c.Ratio.Ratio)
				pair := c.A.Platform.the() + " and " + c.B.Platform.the()
				switch direction, mark := directionOf(c.Ratio); {
				case mark == undecided && direction == 0:
					unsure.few = append(unsure.few, pair)
				case mark == undecided && !math.IsNaN(c.Detectable) && !math.IsInf(c.Detectable, 1):
					unsure.same = append(unsure.same, pair+" (one of "+c.detectable()+" would have been found in 80% of such runs)")
				case mark == undecided:
					unsure.same = append(unsure.same, pair)
				case c.Holm >= different:
					unsure.chance = append(unsure.chance, pair)
				}
			}
			size := ratioSpan(low, high)
			if len(against) == 1 {
				size = ratio(against[0].Ratio)
			}
			if len(against) < len(g.figures) { // the platform that they are compared with is one of the group
				var of []*platform
				for _, c := range against {
					of = append(of, c.A.Platform)
				}
				size = those(of) + " " + size
			}
			times = append(times, fmt.Sprintf("%s %s %s", size, w.times, against[0].B.Platform.the()))
		}
		if len(times) > 0 {
			text += ": " + list(times)
		}
		out = append(out, text+".")
	}
	return out, unsure
}

// against are the comparisons of a group's figures, those with one platform together.
func (m *model) against(ms measured, g group) [][]comparison {
	var list [][]comparison
	for _, c := range m.family(ms) {
		if math.IsNaN(c.Ratio.Ratio) || !slices.ContainsFunc(g.figures, func(f figureOf) bool { return f.Platform == c.A.Platform }) {
			continue
		}
		i := slices.IndexFunc(list, func(with []comparison) bool { return with[0].B.Platform == c.B.Platform })
		if i < 0 {
			i, list = len(list), append(list, nil)
		}
		list[i] = append(list[i], c)
	}
	return list
}

// oddWords tell of samples that a median does not describe well.
func (m *model) oddWords(ms measured) []string {
	var slow []string
	odd := map[result.Code][]*platform{}
	for _, f := range ms.present() {
		if hi := slices.Max(f.Summary.Values); f.Summary.Median > 0 && hi >= 2*f.Summary.Median {
			slow = append(slow, fmt.Sprintf("%s times the median of %s", result.FormatRatio(hi/f.Summary.Median), f.Platform.the()))
		}
		for _, w := range m.examine(ms, f) {
			if !slices.Contains(odd[w.Code], f.Platform) {
				odd[w.Code] = append(odd[w.Code], f.Platform)
			}
		}
	}
	var out []string
	if len(slow) > 0 {
		out = append(out, "The median is not all: the largest value is "+list(slow)+".")
	}
	for _, o := range []struct {
		code result.Code
		text string
	}{
		{result.Bimodal, "The values fall into more than one group, which one median does not describe: "},
		{result.Drift, "The values rise or fall over the run, so that their intervals are too narrow: "},
		{result.Predecessor, "The values depend on which platform ran just before: "},
	} {
		if len(odd[o.code]) > 0 {
			out = append(out, o.text+those(odd[o.code])+".")
		}
	}
	return out
}

// valued is a value of a platform.
type valued struct {
	platform *platform
	value    float64
}

// byWay names the values of platforms, those of one group as a range:
// "4.47 MiB on the plain process; 2.50 to 4.00 MiB on containers (crun and runc)".
func (m *model) byWay(values []valued, print func(low, high float64) string) string {
	var parts []string
	taken := map[*platform]bool{}
	add := func(title string, in func(*platform) bool) {
		var platforms []*platform
		low, high := math.Inf(1), math.Inf(-1)
		for _, v := range values {
			if !taken[v.platform] && in(v.platform) {
				taken[v.platform] = true
				platforms = append(platforms, v.platform)
				low, high = min(low, v.value), max(high, v.value)
			}
		}
		switch len(platforms) {
		case 0:
		case 1:
			parts = append(parts, print(low, high)+" on "+platforms[0].the())
		default:
			parts = append(parts, fmt.Sprintf("%s on %s (%s)", print(low, high), strings.ToLower(title[:1])+title[1:], labels(platforms)))
		}
	}
	for _, w := range ways {
		add(w.many, func(p *platform) bool { return m.way(p) == w.name })
	}
	add("Other platforms", func(*platform) bool { return true })
	return strings.Join(parts, "; ")
}

// bytesSpan is valueSpan for bytes.
func bytesSpan(low, high float64) string { return valueSpan(low, high, "bytes") }
