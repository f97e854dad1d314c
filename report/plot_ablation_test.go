package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"vmctr/report/result/isolation"
)

// TestAblationRows: attempts share a row only if each wall does the same against them,
// and there are two pages at most, whatever the run.
func TestAblationRows(t *testing.T) {
	w := newModel(wallsRun("rrrr", "bbbr", "bbri", "bbbi", false)).walls
	groups := w.ablatedRows()
	var got []string
	for _, rows := range groups {
		for _, r := range rows[1:] {
			got = append(got, fmt.Sprintf("%d %v", len(r.titles), r.open))
		}
	}
	// The first is opened by a wall, the last is reached with all walls up.
	if want := []string{"1 false", "2 false", "1 true"}; !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
	var many [][]ablated
	for range 12 {
		many = append(many, make([]ablated, 13))
	}
	for _, n := range []int{0, 1, 6, 12} {
		rows := 0
		pages := pagesOf(many[:n])
		for _, p := range pages {
			rows += len(p)
		}
		if len(pages) > ablationPages || rows != n*13 {
			t.Errorf("%d groups: %d rows on %d pages", n, rows, len(pages))
		}
	}
	m := newModel(wallsRun("rrrr", "bbbr", "bbri", "bbbi", false))
	for _, f := range m.ablationFigures(m.walls) {
		if !strings.Contains(f.Caption, "(#evidence)") || !strings.Contains(f.Alt, isolation.Mechanisms[0].Title+": 1 opened without it") {
			t.Errorf("%s; %s", f.Caption, f.Alt)
		}
	}
}

// TestStoppers: the walls that are named beside a group of attempts are those that stop
// them, the one that stops most first.
func TestStoppers(t *testing.T) {
	w := newModel(wallsRun("rrrr", "bbbr", "bbri", "bbbi", false)).walls
	group := isolation.Probes[0].Group
	// The first attempt is opened without the first wall, and stopped by the second alone:
	// but that needs another wall, which alone does not stop it.
	if got := w.stoppers(group, 2); len(got) == 0 || got[0] != "user mapping" {
		t.Errorf("%q", got)
	}
	if got := w.stoppers("no such group", 2); len(got) > 0 {
		t.Errorf("%q", got)
	}
	if got := newModel(wallsRun("", "", "bbri", "bbbi", false)).walls.stoppers(group, 2); len(got) > 0 {
		t.Errorf("without a throwaway machine: %q", got)
	}
}

// TestUntriedWalls: of a wall that a run had no time for, nothing is said, and not that it
// stops nothing.
func TestUntriedWalls(t *testing.T) {
	run := wallsRun("rrrr", "bbbr", "bbri", "bbbi", false)
	for i := range run.Samples {
		if s := &run.Samples[i]; s.Experiment == probesExperiment && len(s.Probings) > 4 {
			s.Probings = s.Probings[:4] // the controls, and the first wall
		}
	}
	m := newModel(run)
	for i, mech := range isolation.Mechanisms {
		if got := m.walls.tried(mech.Name); got != (i == 0) {
			t.Errorf("%s: tried %v", mech.Name, got)
		}
	}
	words := strings.Join(m.ablationWords(m.walls), "\n")
	if !strings.Contains(words, "nothing is known of them: PID namespace, ") || strings.Contains(words, "Not seen to stop") {
		t.Error(words)
	}
	for _, f := range m.ablationFigures(m.walls) {
		if _, err := renderSVG(f); err != nil {
			t.Error(err)
		}
	}
}
