package report

import (
	"fmt"
	"testing"

	"gonum.org/v1/plot/vg"
)

// TestLooksDiffer: of as many platforms of a kind as there can be, no two look the same,
// and none is told apart by its colour alone.
func TestLooksDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, kind := range kinds {
		for i := range 9 {
			l := lookOf(kind, i)
			name, key := fmt.Sprintf("%s %d", kind, i), fmt.Sprint(l.Mark, l.Fill)
			if kind == "nested" && i > 4 {
				continue // has no tones
			}
			if other, ok := seen[key]; ok {
				t.Errorf("%s and %s look the same", name, other)
			}
			seen[key] = name
			if p := l.Mark.path(vg.Point{}, 3); len(p) < 3 {
				t.Errorf("%s has no mark: %v", name, p)
			}
		}
	}
}
