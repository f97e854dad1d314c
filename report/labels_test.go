package report

import (
	"math"
	"testing"
)

// Names above curves with medians that are close, equal, at the edge, or too
// many for one line never cover each other nor another's pole, and stay in their range.
func TestLabelsDoNotCollide(t *testing.T) {
	for name, labels := range map[string][]span{
		"close":     {{100, 60}, {101, 50}, {99, 70}},
		"equal":     {{100, 60}, {100, 60}, {100, 60}, {100, 60}},
		"left edge": {{0, 60}, {1, 60}},
		"right":     {{300, 60}, {299, 60}, {298, 90}},
		"far apart": {{50, 40}, {250, 40}},
		"too many":  {{10, 90}, {20, 90}, {30, 90}, {40, 90}, {200, 90}, {201, 90}, {202, 90}},
		"one":       {{150, 40}},
		"none":      {},
	} {
		t.Run(name, func(t *testing.T) {
			const lo, hi, gap, apart = 0, 300, 8, 4
			all := raise(labels, apart, lo, hi, gap)
			for i, a := range all {
				right := a.left + labels[i].width
				if a.left < lo-1e-9 || right > hi+1e-9 {
					t.Errorf("label %d lies outside: %g to %g", i, a.left, right)
				}
				if a.left > a.pole || right < a.pole {
					t.Errorf("label %d does not stand over its pole", i)
				}
				for j, b := range all {
					if b.row > a.row && a.left < b.pole && b.pole < right {
						t.Errorf("the pole of label %d passes behind label %d", j, i)
					}
					if between := math.Max(a.left-(b.left+labels[j].width), b.left-right); i != j && a.row == b.row && between < gap-1e-9 {
						t.Errorf("labels %d and %d are %g apart", j, i, between)
					}
					if i != j && math.Abs(a.pole-b.pole) < apart-1e-9 {
						t.Errorf("the poles of labels %d and %d are at %g and %g", j, i, b.pole, a.pole)
					}
				}
			}
		})
	}
}

func TestLabelsStayWhereThereIsRoom(t *testing.T) {
	got := raise([]span{{50, 40}, {250, 40}}, 4, 0, 300, 8)
	if got[0] != (raised{50, 30, 0}) || got[1] != (raised{250, 230, 0}) {
		t.Errorf("moved without need: %v", got)
	}
}
