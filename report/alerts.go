package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"vmctr/report/result"
)

// noisy is the width of an interval, as a share of its median, above which the
// reader is told that a figure is uncertain.
const noisy = 0.25

// What a label "(emulated)" means: in full where a reader begins, and in short
// wherever one stands.
const (
	emulatedMeans = "Emulated: QEMU imitated the processor in software (TCG) instead of running the machine on the host's processor. " +
		"Such a figure shows what an emulator costs, and is no measure of a hypervisor."
	emulatedNote = "(emulated): a figure of an emulator, not of a hypervisor."
)

// alerts are what a reader must know before the first figure.
func (m *model) alerts() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }

	if s := m.unfinished(); s != "" {
		out = append(out, s)
	}
	var unreached []string
	for _, p := range m.platforms {
		switch p.Status {
		case result.Ready:
		case "":
			unreached = append(unreached, p.Name)
		case result.Unavailable:
			add("%s is not available on this host. %s The appendix has more.", p.Name, clip(sentence(cmpOr(p.Reason, "no reason was recorded")), 200))
		default:
			add("%s %s. %s The appendix has more.", p.Name, p.state(), clip(sentence(cmpOr(p.Reason, "no reason was recorded")), 200))
		}
	}
	if len(unreached) > 0 {
		add("Not measured, since the run ended before: %s.", list(unreached))
	}
	if e := m.emulated(); len(e) > 0 {
		var names []string
		var variants []string // their experiments
		for _, p := range e {
			if p.Experiment == "" {
				names = append(names, p.Name)
			} else if !slices.Contains(variants, p.Experiment) {
				variants = append(variants, p.Experiment)
			}
		}
		if len(variants) > 0 {
			names = append(names, "the machines of "+list(variants))
		}
		add("%s: emulated. %s", strings.Join(names, ", "), strings.TrimPrefix(emulatedMeans, "Emulated: "))
	}
	out = append(out, m.resumedAlert()...)
	if m.run.Folded() {
		add("This run is large. All its values count. Of what else the samples hold (phases, what ran before, errors), the report has that of the first %s of each kind. "+
			"Intervals of ratios are computed and not drawn anew (see Method), and curves leave out steps that nobody could see.", grouped(result.KeepWhole))
	}
	out = append(out, m.failedSamples()...)
	out = append(out, m.disturbedAlert()...)
	out = append(out, m.thin()...)
	for _, n := range m.run.Notes {
		if n.Experiment != "" {
			continue // of a trial that was out of reach: its section says so
		}
		out = append(out, sentence(n.Text))
	}
	return out
}

// unfinished says how a run ended that did not come to its end.
func (m *model) unfinished() string {
	const so = " What follows is what was measured until then."
	switch e := m.run.End; {
	case e == nil && m.run.Truncated:
		return "This run was cut off in the middle of a line of its journal." + so
	case e == nil:
		return "This run was cut off: its journal has no end." + so
	case e.Reason == "complete":
		return ""
	case e.Reason == "interrupted":
		return "This run was interrupted after " + duration(e.AtNs) + "." + so
	default:
		return "This run ended early after " + duration(e.AtNs) + ": " + sentence(clip(e.Reason, 300)) + so
	}
}

// failedSamples counts the samples that gave no value.
func (m *model) failedSamples() []string {
	var list []string
	for _, e := range m.allExperiments() {
		for _, p := range m.subjects(e) {
			failed := m.run.Failures(e, p.Name)
			if len(failed) == 0 {
				continue
			}
			whose := map[result.Fault]int{}
			for _, s := range failed {
				whose[s.Fault]++
			}
			n := m.run.Count(e, p.Name)
			text := fmt.Sprintf("%s: %d of %s of %s failed", p.label(), n.Failed, count(n.All(), "sample", "samples"), e)
			switch {
			case whose[result.InstanceFault] == len(failed):
				text += ", by the fault of the instance"
			case whose[result.HarnessFault] == len(failed):
				text += ", by the fault of the measurement"
			}
			list = append(list, text+"; the appendix has the errors.")
		}
	}
	return list
}

// thin names the figures that rest on too few samples or are uncertain, and
// the platforms that are ready and have none.
func (m *model) thin() []string {
	var few, wide, none []string
	for _, e := range m.experiments() {
		var short []figureOf
		for _, p := range m.platforms {
			for i, ms := range m.of(e) {
				f := ms.figure(p)
				s := f.Summary
				switch {
				// One metric speaks for all of its experiment.
				case s.N == 0 && i == 0 && p.ready() && m.asked(e):
					none = append(none, p.label()+" ("+e+")")
				case s.N > 0 && !s.HasInterval() && i == 0:
					short = append(short, f)
				case s.HasInterval() && s.Median > 0 && (s.High-s.Low)/s.Median > noisy:
					wide = append(wide, fmt.Sprintf("%s (%s)", p.label(), strings.ToLower(ms.Title[:1])+ms.Title[1:]))
				}
			}
		}
		few = append(few, m.together(e, short)...)
	}
	var out []string
	if len(none) > 0 {
		out = append(out, "No samples at all: "+list(none)+".")
	}
	if len(few) > 0 {
		out = append(out, "Too few samples for a 95% interval, which needs six: "+list(few)+".")
	}
	if len(wide) > 0 {
		out = append(out, fmt.Sprintf("Noisy: the interval spans more than %d%% of the median for %s.", int(noisy*100), list(wide)))
	}
	return out
}

// together names the platforms that have few samples of an experiment: all in one, if
// that is every one that was measured.
func (m *model) together(e string, short []figureOf) []string {
	measured, least, most := 0, math.MaxInt, 0
	var list []string
	for _, p := range m.platforms {
		if p.ready() && len(m.of(e)) > 0 && m.of(e)[0].figure(p).Summary.N > 0 {
			measured++
		}
	}
	for _, f := range short {
		n := f.Summary.N
		least, most = min(least, n), max(most, n)
		list = append(list, fmt.Sprintf("%s (%s, n%s=%s%d)", f.Platform.label(), e, nbsp, nbsp, n))
	}
	if len(short) < 3 || len(short) < measured {
		return list
	}
	numbers := strconv.Itoa(least)
	if most > least {
		numbers += " to " + strconv.Itoa(most)
	}
	return []string{fmt.Sprintf("all platforms (%s, n%s=%s%s)", e, nbsp, nbsp, numbers)}
}

// figure is the figure of one platform.
func (ms measured) figure(p *platform) figureOf {
	for _, f := range ms.Figures {
		if f.Platform == p {
			return f
		}
	}
	return figureOf{Platform: p}
}

// subjects are the platforms of an experiment.
func (m *model) subjects(experiment string) []*platform {
	for _, ms := range m.ofVariants() {
		if ms.Experiment == experiment {
			return ms.platforms()
		}
	}
	return m.platforms
}

// experiments are those that have metrics of all platforms, in the report's order,
// and identity, which has none.
func (m *model) experiments() []string {
	names := []string{"identity"}
	for _, mt := range metrics {
		if names[len(names)-1] != mt.Experiment {
			names = append(names, mt.Experiment)
		}
	}
	return names
}

// allExperiments are these, and those with platforms of their own.
func (m *model) allExperiments() []string {
	names := m.experiments()
	for _, ms := range m.ofVariants() {
		names = append(names, ms.Experiment)
	}
	return names
}
