package report

import (
	"math"
	"testing"
)

// Names above curves with medians that are close, equal, at the edge, or too
// many for one line never cover each other and stay in their range.
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
			const lo, hi, gap = 0, 300, 8
			row, left := placeRows(labels, lo, hi, gap)
			for i, a := range labels {
				if left[i] < lo-1e-9 || left[i]+a.width > hi+1e-9 {
					t.Errorf("label %d lies outside: %g to %g", i, left[i], left[i]+a.width)
				}
				for j := range i {
					if row[i] != row[j] {
						continue
					}
					apart := math.Max(left[i]-(left[j]+labels[j].width), left[j]-(left[i]+a.width))
					if apart < gap-1e-9 {
						t.Errorf("labels %d and %d are %g apart", j, i, apart)
					}
				}
			}
		})
	}
}

func TestLabelsStayWhereThereIsRoom(t *testing.T) {
	row, left := placeRows([]span{{50, 40}, {250, 40}}, 0, 300, 8)
	if row[0] != 0 || row[1] != 0 || left[0] != 30 || left[1] != 230 {
		t.Errorf("moved without need: %v %v", row, left)
	}
}
