package report

import (
	"fmt"
	"slices"
	"strings"

	"vmctr/report/result/isolation"
)

// wallEvidence is the appendix that says of each attempt what became of it: in the first
// container and the first machine, and where the other platforms differ from these.
func (m *model) wallEvidence() (s section, any bool) {
	w := m.walls
	if w == nil {
		return s, false
	}
	s = section{ID: "evidence", Title: "Appendix: evidence of the attempts"}
	var shown []*walled
	for _, kind := range []string{"container", "vm"} {
		if x := w.first(kind); x != nil {
			shown = append(shown, x)
		}
	}
	if len(shown) == 0 {
		return s, false
	}
	s.Blocks = append(s.Blocks, paragraph{"", "Stopped by: the walls without which, each by itself, a container lets the attempt through; if there is none, those that each stop it alone. What was seen stands behind the verdict: the call and the error that it gave, and what the host then found. " +
		"The journal has the same of each platform and of each variant in the throwaway machine."})
	for _, g := range w.groups() {
		t := &table{Caption: groupTitle(g), Columns: []column{{Title: "Attempt", Wide: 1}, {Title: "Stopped by", Wide: 1}}}
		for _, x := range shown {
			t.Columns = append(t.Columns, column{Title: x.platform.label(), Wide: 1.6})
		}
		for _, p := range isolation.Probes {
			if p.Group != g || !slices.ContainsFunc(shown, func(x *walled) bool { return x.finding(p.Name).Verdict != "" }) {
				continue
			}
			row := []string{p.Title, w.stoppedBy(p.Name)}
			for _, x := range shown {
				row = append(row, verdictCell(x.finding(p.Name)))
			}
			t.Rows = append(t.Rows, row)
		}
		s.Blocks = append(s.Blocks, t)
	}
	var differ []string
	for _, x := range w.subjects {
		like := w.first(x.platform.Kind)
		if x.platform.Kind == "nested" {
			like = w.first("vm")
		}
		if x.control || like == nil || x == like {
			continue
		}
		var parts []string
		for _, f := range x.findings {
			if other := like.finding(f.Probe).Verdict; other != f.Verdict {
				parts = append(parts, lowerFirst(isolation.Find(f.Probe).Title)+" ("+verdictCell(f)+")")
			}
		}
		text := fmt.Sprintf("%s: as %s in all", x.platform.label(), like.platform.label())
		if len(parts) > 0 {
			text += " but " + clip(strings.Join(parts, "; "), 1500)
		}
		differ = append(differ, text+".")
	}
	if len(differ) > 0 {
		s.Blocks = append(s.Blocks, heading("The other platforms"), points(differ))
	}
	return s, true
}

// verdictCell is a verdict with what was seen.
func verdictCell(f isolation.Finding) string {
	word := map[isolation.Verdict]string{isolation.Blocked: "blocked", isolation.Reached: "reached", isolation.Inconclusive: "not tried"}[f.Verdict]
	if f.Verdict == isolation.Blocked && f.Own {
		word = "only its own"
	}
	if f.Evidence == "" {
		return cmpOr(word, "–")
	}
	return cmpOr(word, "–") + ": " + clip(f.Evidence, 160)
}

// stoppedBy names the walls that an attempt meets.
func (w *walls) stoppedBy(probe string) string {
	var necessary, alone []string
	for _, mech := range isolation.Mechanisms {
		e := w.ablation.Effect(probe, mech.Name)
		if e.Opened == isolation.Yes {
			necessary = append(necessary, lowerFirst(mech.Title))
		}
		if e.Alone == isolation.Yes {
			alone = append(alone, lowerFirst(mech.Title))
		}
	}
	switch {
	case w.ablation.Verdict(probe, isolation.Contained) == isolation.Reached:
		return "nothing"
	case len(necessary) > 0:
		return strings.Join(necessary, ", ")
	case len(alone) > 1:
		return "any of " + strings.Join(alone, ", ")
	case len(alone) == 1:
		return alone[0]
	}
	return "–"
}
