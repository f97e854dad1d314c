package report

import (
	"fmt"
	"math"

	"vmctr/report/result"
)

// different is the level at which a corrected p-value says that two platforms
// differ.
const different = 0.05

// comparison is how two platforms stand to each other in one metric.
type comparison struct {
	A, B       figureOf
	Ratio      result.Ratio // of A to B
	P, Holm    float64      // of the Mann-Whitney test, as it is and corrected
	Delta      float64      // Cliff's, positive where A is larger
	Detectable float64      // the smallest relative difference that would have been found
	Warnings   []result.Warning
}

// pairs are the platforms of a metric that are compared: each with the plain
// process; machines, and what combines both, with the first container; and what
// combines both with its machine alone.
func (ms measured) pairs() [][2]figureOf {
	var list [][2]figureOf
	container := ms.first("container")
	for _, f := range ms.present() {
		kind := f.Platform.Kind
		if ms.Base != nil && f.Platform != ms.Base {
			if base := ms.figure(ms.Base); base.Summary.N > 0 {
				list = append(list, [2]figureOf{f, base})
			}
		}
		if container != nil && (kind == "vm" || kind == "nested") && container.Platform != ms.Base {
			list = append(list, [2]figureOf{f, *container})
		}
		if vm := ms.machineOf(f.Platform); vm != nil && kind == "nested" && vm.Platform != ms.Base {
			list = append(list, [2]figureOf{f, *vm})
		}
	}
	return list
}

// machineOf is the figure of the first machine of the same type as that of a platform; of
// the first machine, if the journal does not tell.
func (ms measured) machineOf(p *platform) *figureOf {
	for _, f := range ms.present() {
		if typ := f.Platform.Details["machine type"]; f.Platform.Kind == "vm" && typ != "" && typ == p.Details["machine type"] {
			return &f
		}
	}
	return ms.first("vm")
}

// family are the comparisons of a metric, whose p-values are corrected together.
func (m *model) family(ms measured) []comparison {
	name := fmt.Sprintf("%s/%s/%s/%d", ms.Experiment, ms.Value, ms.Series, ms.N)
	if list, ok := m.families[name]; ok {
		return list
	}
	pairs := ms.pairs()
	var list []comparison
	var p []float64
	for _, pair := range pairs {
		a, b := pair[0].Summary.Sorted, pair[1].Summary.Sorted
		c := comparison{A: pair[0], B: pair[1], Delta: result.CliffsDelta(a, b), Detectable: result.Detectable(a, b, len(pairs))}
		if r := pair[0].Ratio; r != nil && pair[1].Platform == ms.Base {
			c.Ratio = *r // which is known already
		} else {
			c.Ratio = result.Compare(a, b, m.run.Header.Seed)
		}
		c.P, c.Warnings = result.MannWhitney(a, b)
		list, p = append(list, c), append(p, c.P)
	}
	for i, h := range result.Holm(p) {
		list[i].Holm = h
	}
	if m.families == nil {
		m.families = map[string][]comparison{}
	}
	m.families[name] = list
	return list
}

// differs is the answer in a word or two. Never "no": a test can fail to show a
// difference, and cannot show that there is none.
func (c comparison) differs() string {
	switch {
	case math.IsNaN(c.Holm):
		return "–"
	case c.Holm < different:
		return "yes"
	case math.IsInf(c.Detectable, 1):
		return "too few"
	default:
		return "not shown"
	}
}

// sure is the corrected p-value without its "p =".
func sure(p float64) string {
	text := result.FormatP(p)
	if len(text) > 2 && text[:2] == "p " {
		text = text[2:]
		if text[0] == '=' {
			text = text[2:]
		}
	}
	return text
}

// detectable prints the smallest difference that would have been found.
func (c comparison) detectable() string {
	switch d := c.Detectable; {
	case math.IsNaN(d):
		return "–"
	case math.IsInf(d, 1):
		return "nothing"
	case d < 0.001:
		return "< 0.1%"
	case d < 0.1:
		return fmt.Sprintf("%.1f%%", 100*d)
	default:
		return fmt.Sprintf("%.0f%%", 100*d)
	}
}

// overlap prints Cliff's delta with its size.
func (c comparison) overlap() string {
	if math.IsNaN(c.Delta) {
		return "–"
	}
	return fmt.Sprintf("%.2f, %s", c.Delta, result.EffectSize(c.Delta))
}

// differTable answers for each pair whether it differs and how sure that is. The
// first one of a report explains its columns.
func (m *model) differTable(ms measured, caption string, first bool) []block {
	family := m.family(ms)
	if len(family) == 0 {
		return nil
	}
	t := &table{Caption: caption, Columns: []column{{Title: "Compared"}, {Title: "Differs?"}, {Title: "Ratio", Right: true}, {Title: "p (Holm)", Right: true},
		{Title: "Cliff's delta", Right: true}, {Title: "Detectable", Right: true}}}
	for _, c := range family {
		t.Rows = append(t.Rows, []string{c.A.Platform.label() + " and " + c.B.Platform.label(), c.differs(), ratio(c.Ratio), sure(c.Holm), c.overlap(), c.detectable()})
	}
	t.Notes = []string{fmt.Sprintf("Of %s, for which p is corrected. The columns are explained below the first table of this kind, under Startup time.",
		count(len(family), "comparison", "comparisons"))}
	if !first {
		return []block{t}
	}
	t.Notes = []string{
		"Differs: yes where p is below 0.05; \"not shown\" is not the same as \"no\".",
		fmt.Sprintf("p (Holm): how likely samples of one and the same platform would lie at least as far apart (Mann-Whitney), corrected for the %s of this table.",
			count(len(family), "comparison", "comparisons")),
		"Cliff's delta: 1 or -1 when the two samples do not overlap, 0 when neither lies above the other; it says how clear a difference is, and the ratio how large.",
		"Detectable: the smallest difference of the medians that these samples would have shown in 80% of such runs, were it the hardest of the table to show. No smaller one is claimed to be absent.",
	}
	return []block{t}
}

// key is that of a platform's samples.
func (ms measured) key(p *platform) result.Key {
	return result.Key{Experiment: ms.Experiment, Platform: p.Name, Series: ms.Series, N: ms.N}
}

// examine gives what is odd about the values of a metric on a platform. It is found once:
// the tests take their time.
func (m *model) examine(ms measured, f figureOf) []result.Warning {
	name := fmt.Sprintf("%v/%s", ms.key(f.Platform), ms.Value)
	if w, ok := m.examined[name]; ok {
		return w
	}
	w := result.Examine(f.Summary.Values)
	w = append(w, result.PrecededWarning(m.preceded(ms, f))...)
	if n := m.run.DisturbedOf(ms.key(f.Platform), ms.Value); n > 0 {
		w = append(w, result.Warning{Code: result.Unquiet, Text: fmt.Sprintf("%d of %d samples were taken while other programs disturbed the host; they count like all others", n, f.Summary.N)})
	}
	if m.examined == nil {
		m.examined = map[string][]result.Warning{}
	}
	m.examined[name] = w
	return w
}

// preceded is how sure it is that what ran before matters: see [result.Run.Preceded].
func (m *model) preceded(ms measured, f figureOf) float64 {
	name := fmt.Sprintf("%v/%s", ms.key(f.Platform), ms.Value)
	p, ok := m.before[name]
	if !ok {
		p = m.run.Preceded(ms.key(f.Platform), ms.Value)
		if m.before == nil {
			m.before = map[string]float64{}
		}
		m.before[name] = p
	}
	return p
}

// tailTable is what lies beyond the median: the slow starts, and what is odd.
func (m *model) tailTable(ms measured, caption string) []block {
	t := &table{Caption: caption, Columns: []column{{Title: "Platform"}, {Title: "n", Right: true}, {Title: "p95 (95% interval)", Right: true}, {Title: "p99 (95% interval)", Right: true},
		{Title: "Outliers", Right: true}, {Title: "Disturbed", Right: true}, {Title: "Groups"}, {Title: "Drift"}, {Title: "Before"}}}
	unit, points := ms.unit(), false
	codes := map[result.Code]bool{}
	for _, f := range ms.present() {
		row := []string{f.Platform.label(), fmt.Sprint(f.Summary.N)}
		for _, share := range []float64{0.95, 0.99} {
			p := result.PercentileOf(f.Summary.Sorted, share)
			text := value(p.Value, unit)
			if p.HasInterval() {
				text += " (" + glueUnit(p.FormatInterval(unit)) + ")"
			} else {
				text += " *"
				points = true
			}
			row = append(row, text)
		}
		odd := map[result.Code]bool{}
		for _, w := range m.examine(ms, f) {
			odd[w.Code], codes[w.Code] = true, true
		}
		drift := "–"
		if odd[result.Drift] {
			drift = "falls"
			if rho, _ := result.Drifts(f.Summary.Values); rho > 0 {
				drift = "rises"
			}
		}
		disturbed := "–" // by an older bench, which did not look
		if len(m.run.Blocks) > 0 {
			disturbed = fmt.Sprint(m.run.DisturbedOf(ms.key(f.Platform), ms.Value))
		}
		say := func(code result.Code, word string) string {
			if odd[code] {
				return word
			}
			return "–"
		}
		t.Rows = append(t.Rows, append(row, fmt.Sprint(len(result.Outliers(f.Summary.Sorted))), disturbed, say(result.Bimodal, "several"), drift, say(result.Predecessor, "matters")))
	}
	if len(t.Rows) == 0 {
		return nil
	}
	t.Notes = []string{"p95: 95 of 100 stay below it, p99: 99 of 100."}
	if points {
		t.Notes = append(t.Notes, "* without an interval, which p95 has from 72 samples and p99 from 368 on: the true one may lie above all that was measured.")
	}
	t.Notes = append(t.Notes, "Outliers lie far from the others (modified z-score above 3.5, Iglewicz and Hoaglin). They count like all others.")
	for _, n := range []struct {
		code result.Code
		text string
	}{
		{result.Unquiet, "Disturbed: other programs used the host enough, just before or during the sample, to change it. They count like all others."},
		{result.Bimodal, "Groups, several: the values fall into more than one group (Hartigan's dip test, p < 0.01), which one median does not describe."},
		{result.Drift, "Drift: the values rise or fall over the run (Spearman, p < 0.01), so that they are not independent, and the intervals are too narrow."},
		{result.Predecessor, "Before, matters: the values depend on which platform ran just before (Kruskal-Wallis, p < 0.01). The random order spreads that over all."},
	} {
		if codes[n.code] {
			t.Notes = append(t.Notes, n.text)
		}
	}
	return []block{t}
}
