package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// missingSection names every platform that has no figure, every sample that failed and every
// trial that was out of reach, with the reason.
func (m *model) missingSection() section {
	s := section{ID: "missing", Title: "Appendix: what failed or is missing, and why"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	if text := m.unfinished(); text != "" {
		add(paragraph{"The run.", text})
	}
	status, failures, notes := m.statusTable(), m.failureTable(), m.unreached()
	if status == nil && failures == nil && len(notes) == 0 {
		add(paragraph{"", "No platform failed or was unavailable, no sample failed, and no trial was out of reach."})
	}
	if status != nil {
		add(status)
	}
	if failures != nil {
		add(failures)
	}
	if len(notes) > 0 {
		add(heading("Trials that were out of reach"), points(notes))
	}
	if t := m.coverageTable(); t != nil {
		add(t)
	}
	return s
}

// statusTable says what became of the platforms that were not measured to the end.
func (m *model) statusTable() *table {
	t := &table{Caption: "What became of the platforms", Columns: []column{{Title: "Platform"}, {Title: "State"}, {Title: "Why", Wide: 1}}}
	platforms := m.everyone()
	if p := m.throwaway(); p != nil {
		platforms = append(platforms, &platform{Platform: *p})
	}
	for _, p := range platforms {
		if !p.ready() {
			t.Rows = append(t.Rows, []string{p.label(), p.state(), clip(p.why(), 600)})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

// failureTable has the samples that gave no value.
func (m *model) failureTable() *table {
	t := &table{Caption: "Samples that failed", Columns: []column{{Title: "Platform"}, {Title: "Experiment"}, {Title: "Round", Right: true}, {Title: "Fault"}, {Title: "Error", Wide: 1}}}
	// The same error a hundred times says no more than once.
	const most = 8
	left := 0
	for _, e := range m.namedExperiments() {
		for _, p := range m.takingPart(e) {
			for i, s := range m.run.Failures(e, p.Name) {
				if i >= most {
					left++
					continue
				}
				round := fmt.Sprint(s.Round)
				if s.Warmup {
					round = "warm-up"
				}
				t.Rows = append(t.Rows, []string{p.label(), e, round, cmpOr(clean(string(s.Fault)), "–"), clip(sentence(s.Error), 400)})
			}
		}
	}
	if left > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("And %s more, which the journal has.", count(left, "failed sample", "failed samples")))
	}
	if len(t.Rows) == 0 {
		return nil
	}
	t.Notes = append(t.Notes, "Fault: instance, if what was started failed; harness, if the measurement did.")
	return t
}

// unreached are the trials that this host or this run could not make, as the journal says it.
func (m *model) unreached() (notes []string) {
	for _, n := range m.run.Notes {
		if text := clip(sentence(n.Text), 400); n.Experiment != "" && !slices.Contains(notes, text) {
			notes = append(notes, text)
		}
	}
	return notes
}

// coverageTable counts, by experiment, the samples of each platform, and names those that
// have none.
func (m *model) coverageTable() *table {
	t := &table{Caption: "What was measured of which platform", Columns: []column{{Title: "Experiment"}, {Title: "Samples that count", Wide: 3}, {Title: "None", Wide: 2}},
		Notes: []string{"A sample is one start, one reading or one look, as the experiment has it. Warm-ups and failed samples do not count.",
			"not measured: the experiment is not made on that platform, or its time was over before."}}
	for _, e := range m.namedExperiments() {
		by := map[int][]*platform{}
		none := map[string][]*platform{}
		for _, p := range m.takingPart(e) {
			n := m.run.Count(e, p.Name)
			good := n.Counted - n.Failed
			for _, s := range m.run.Failures(e, p.Name) {
				if s.Warmup {
					good++ // it was not counted in the first place
				}
			}
			switch {
			case good > 0:
				by[good] = append(by[good], p)
			case n.Failed > 0:
				why := fmt.Sprintf("all %d failed", n.Failed)
				none[why] = append(none[why], p)
			default:
				none[p.state()] = append(none[p.state()], p)
			}
		}
		var some, missing []string
		for _, n := range slices.Backward(slices.Sorted(maps.Keys(by))) {
			some = append(some, fmt.Sprintf("%d: %s", n, labels(by[n])))
		}
		for _, why := range slices.Sorted(maps.Keys(none)) {
			missing = append(missing, why+": "+labels(none[why]))
		}
		t.Rows = append(t.Rows, []string{clip(clean(e), 40), cmpOr(strings.Join(some, "; "), "–"), cmpOr(strings.Join(missing, "; "), "–")})
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

// namedExperiments are those that the run was asked for, and others of which it has samples.
func (m *model) namedExperiments() []string {
	names := slices.Clone(m.run.Header.Experiments)
	for _, e := range m.allExperiments() {
		if !slices.Contains(names, e) && m.run.Count(e, "").All() > 0 {
			names = append(names, e)
		}
	}
	for i := range m.run.Samples {
		if e := m.run.Samples[i].Experiment; !slices.Contains(names, e) {
			names = append(names, e)
		}
	}
	return names
}

// takingPart are the platforms of an experiment, and the throwaway machine if it has samples
// of it.
func (m *model) takingPart(experiment string) []*platform {
	list := m.subjects(experiment)
	if p := m.throwaway(); p != nil && m.run.Count(experiment, p.Name).All() > 0 {
		list = append(slices.Clone(list), &platform{Platform: *p})
	}
	return list
}
