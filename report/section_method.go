package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"vmctr/report/result"
)

// How the samples were taken: the order of the rounds, when it was enough, what others did
// on the host meanwhile, and where a run was stopped. A journal of an older bench has no
// records of the last three.

// disturbedShare is the share of disturbed samples from which the first page tells of them.
const disturbedShare = 0.1

// endingNote says how the sampling of each platform ended, for the table of a main value.
func (m *model) endingNote(ms measured) []string {
	var enough, spent, done, gaveUp []string
	aimed := false
	for _, p := range ms.platforms() {
		i := slices.IndexFunc(m.run.Endings, func(e result.Ending) bool {
			return e.Key() == (result.Key{Experiment: ms.Experiment, Platform: p.Name}) && e.Value == ms.Value
		})
		if i < 0 {
			continue
		}
		e := m.run.Endings[i]
		name := p.label()
		if e.Aim > 0 {
			aimed = true
			width := "no interval"
			if e.HalfWidth != nil {
				width = partText(*e.HalfWidth)
			}
			name += fmt.Sprintf(" (%s, aimed at %s)", width, partText(e.Aim))
		}
		switch e.Reason {
		case result.PrecisionReached:
			enough = append(enough, name)
		case result.BudgetSpent:
			spent = append(spent, name)
		case result.RoundsDone:
			done = append(done, name)
		case result.GaveUp:
			gaveUp = append(gaveUp, p.label())
		}
	}
	var parts []string
	add := func(names []string, what string) {
		if len(names) > 0 {
			parts = append(parts, what+": "+list(names)+".")
		}
	}
	add(enough, "Measured until the median was known as well as was aimed at")
	add(spent, "Measured until the time of the experiment was spent")
	add(done, "Measured for as many rounds as there were to be")
	add(gaveUp, "Given up after failures in a row")
	if len(parts) == 0 {
		return nil
	}
	if aimed {
		parts = append(parts, "In brackets: half the 95% interval, as a share of the median.")
	}
	return []string{strings.Join(parts, " ")}
}

// partText is a share with two figures: "1.5%".
func partText(v float64) string {
	if v >= 0.1 {
		return fmt.Sprintf("%.0f%%", 100*v)
	}
	return fmt.Sprintf("%.1f%%", 100*v)
}

// disturbed counts the samples that others disturbed, of one experiment or of all (""),
// and names the platform that was most hit.
type disturbed struct {
	samples, all int
	most         *platform // by its share; nil if none was
	hit, of      int       // of its samples
}

func (m *model) disturbed(experiment string) disturbed {
	all := m.run.Count(experiment, "")
	d := disturbed{samples: all.Disturbed, all: all.Counted}
	for _, p := range m.everyone() {
		if n := m.run.Count(experiment, p.Name); n.Disturbed > 0 && (d.most == nil || n.Disturbed*d.of > d.hit*n.Counted) {
			d.most, d.hit, d.of = p, n.Disturbed, n.Counted
		}
	}
	return d
}

// many is how many of how many, with a verb.
func (d disturbed) many(one, several string) string {
	if d.samples == d.all {
		return fmt.Sprintf("all of the %s %s", count(d.all, "sample", "samples"), several)
	}
	return fmt.Sprintf("%d of the %s (%s) %s", d.samples, count(d.all, "sample", "samples"), share(float64(d.samples), float64(d.all)), map[bool]string{true: one, false: several}[d.samples == 1])
}

// whose says which platform was most hit, if not all were alike.
func (d disturbed) whose() string {
	if d.samples == d.all {
		return ""
	}
	return fmt.Sprintf(", most of all those of %s: %d of %d", d.most.the(), d.hit, d.of)
}

// watched tells whether the run looked for what others do.
func (m *model) watched() bool { return len(m.run.Blocks) > 0 }

// disturbedAlert is for the first page, if it was more than a little.
func (m *model) disturbedAlert() []string {
	d := m.disturbed("")
	if d.most == nil || float64(d.samples) < disturbedShare*float64(d.all) {
		return nil
	}
	return []string{fmt.Sprintf("Disturbed: %s taken while others used the host%s. They are counted like all others; the appendix says how that is found out.", d.many("was", "were"), d.whose())}
}

// disturbedText says the same of an experiment, and what the most hit platform's median is
// without those samples.
func (m *model) disturbedText(ms measured) string {
	if !m.watched() {
		return ""
	}
	d := m.disturbed(ms.Experiment)
	if d.most == nil {
		return fmt.Sprintf(" None of the %s was disturbed by others on the host, as far as bench can tell.", count(d.all, "sample", "samples"))
	}
	many := d.many("was", "were")
	text := " " + strings.ToUpper(many[:1]) + many[1:] + " disturbed by others on the host" + d.whose() + ". None was left out."
	var quiet []float64
	for _, s := range m.run.Samples {
		if v, ok := s.Values[ms.Value]; ok && s.Key() == (result.Key{Experiment: ms.Experiment, Platform: d.most.Name}) && !s.Warmup && s.Error == "" && s.Disturbed == "" {
			quiet = append(quiet, v)
		}
	}
	if s := result.Summarize(quiet); s.HasInterval() {
		text += fmt.Sprintf(" Its samples that were not disturbed have a median of %s.", medianAndInterval(s, ms.unit()))
	}
	return text
}

// methodBlocks are the part of the appendix.
func (m *model) methodBlocks() []block {
	h := m.run.Header
	out := []block{paragraph{"Order.", fmt.Sprintf("An experiment runs in rounds: in each, every platform has its turn once. Where it stands in the round is drawn from the seed (%d), the experiment, the round and the platform, "+
		"so the same seed gives the same order, also to a run that was stopped and goes on, and the order of the others does not change when one has ended.", h.Seed)}}
	if len(m.run.Endings) > 0 {
		text := "A series of samples ends when its experiment's time is spent or its rounds are done."
		if slices.ContainsFunc(m.run.Endings, func(e result.Ending) bool { return e.Aim > 0 }) {
			text += " It ends earlier when half the 95% interval of the median of its main value is at most a given share of the median, but not before 20 samples; its time then goes to the others. " +
				"Who looks after each round and stops when the interval is narrow stops sometimes where it is narrow by chance: in simulations the intervals of such series hold the true median in 93% of cases or more."
		}
		out = append(out, paragraph{"When it is enough.", text + " The notes below the tables say what ended each."})
	}
	if m.watched() {
		out = append(out, paragraph{"Disturbance.", "What is measured makes load itself, so others are judged while nothing of bench runs, in the pause before each sample. A sample is marked as disturbed if others used a quarter of the CPUs' time in it or more, " +
			"if something waited for a CPU or a disk in a tenth of it, or for memory in a hundredth (pressure stall information, PSI); and if a hypervisor below the host took away a fiftieth of the CPUs' time during the sample itself (steal), 10" + nbsp + "ms at least. " +
			"Kernels count idle time in steps of 10" + nbsp + "ms, so a share of the CPUs may be off by a few percent. The counters are read outside the time that is measured. A marked sample is counted like any other. " +
			"The table has what each round was like as a whole, bench's own load with it."})
		out = append(out, m.blockTable())
	}
	for _, r := range m.run.Resumes {
		text := fmt.Sprintf("This run had run for %v when it was stopped, and went on at %s. What it had measured was kept; of the round that was cut, the rest was measured. Times since its start leave out the time between, and the platforms were prepared anew.",
			time.Duration(r.AtNs).Round(time.Second), r.Time.UTC().Format("2006-01-02 15:04:05 MST"))
		if r.Cut > 0 {
			text += fmt.Sprintf(" The last line of the journal was not whole and was cut off (%s).", count(int(r.Cut), "byte", "bytes"))
		}
		var changes []string
		for _, c := range r.Changed {
			changes = append(changes, fmt.Sprintf("%s was %s and was then %s", strings.ReplaceAll(c.What, "_", " "), cmpOr(clip(c.Was, 80), "unknown"), cmpOr(clip(c.Is, 80), "unknown")))
		}
		if len(changes) > 0 {
			text += " Of the host had changed: " + strings.Join(changes, "; ") + "."
		}
		out = append(out, paragraph{"Stopped and resumed.", text})
	}
	return out
}

// resumedAlert says that a run was stopped.
func (m *model) resumedAlert() []string {
	if n := len(m.run.Resumes); n > 0 {
		return []string{fmt.Sprintf("This run was stopped and went on %s; the appendix says when, and what of the host had changed.", map[bool]string{true: "later", false: fmt.Sprintf("%d times", n)}[n == 1])}
	}
	return nil
}

// blockTable is what the host was like, by experiment.
func (m *model) blockTable() *table {
	t := &table{Caption: "What the host was like in the rounds: median, and the highest in brackets", Columns: []column{{Title: "Experiment"}, {Title: "Rounds", Right: true}, {Title: "CPU pressure", Right: true},
		{Title: "Memory pressure", Right: true}, {Title: "I/O pressure", Right: true}, {Title: "Steal", Right: true}, {Title: "Load", Right: true}, {Title: "Clock", Right: true}}}
	by := map[string][]result.Block{}
	var names []string
	for _, b := range m.run.Blocks {
		if by[b.Experiment] == nil {
			names = append(names, b.Experiment)
		}
		by[b.Experiment] = append(by[b.Experiment], b)
	}
	for _, name := range names {
		of := func(pick func(result.Block) (float64, bool), format func(float64) string) string {
			var values []float64
			for _, b := range by[name] {
				if v, ok := pick(b); ok {
					values = append(values, v)
				}
			}
			if len(values) == 0 {
				return "–"
			}
			return fmt.Sprintf("%s (%s)", format(result.Summarize(values).Median), format(slices.Max(values)))
		}
		pressure := func(what string) string {
			return of(func(b result.Block) (float64, bool) { v, ok := b.Pressure[what]; return v, ok }, func(v float64) string { return share(v, 1) })
		}
		lo, hi := math.Inf(1), 0.0
		for _, b := range by[name] {
			if len(b.MHz) == 2 {
				lo, hi = min(lo, b.MHz[0]), max(hi, b.MHz[1])
			}
		}
		clock := "–"
		if hi > 0 {
			if clock = fmt.Sprintf("%.0f to %.0f MHz", lo, hi); math.Round(lo) == math.Round(hi) {
				clock = fmt.Sprintf("%.0f MHz", lo)
			}
		}
		t.Rows = append(t.Rows, []string{name, fmt.Sprint(len(by[name])), pressure("cpu some"), pressure("memory some"), pressure("io some"),
			of(func(b result.Block) (float64, bool) { return b.Steal, true }, partText),
			of(func(b result.Block) (float64, bool) { return b.Load, true }, func(v float64) string { return fmt.Sprintf("%.1f", v) }), clock})
	}
	return t
}
