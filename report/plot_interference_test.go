package report

import (
	"math"
	"testing"

	"vmctr/report/result"
)

// TestKeptRange: the axis holds every ratio that it can, and it is said if something is
// cut off.
func TestKeptRange(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct {
		name   string
		ratio  result.Ratio
		lo, hi float64
		beyond bool
	}{
		{"no loss", result.Ratio{Ratio: 1, Low: 0.9, High: 1.1}, 0.5, 2, false},
		{"an interval beyond", result.Ratio{Ratio: 0.9, Low: 0.1, High: 1.1}, 0.5, 2, true},
		{"a loss", result.Ratio{Ratio: 0.06, Low: nan, High: nan}, 0.05, 2, false},
		{"a gain", result.Ratio{Ratio: 6, Low: 5, High: 7}, 0.5, 10, false},
		{"nothing is left", result.Ratio{Ratio: 0, Low: 0, High: 0}, 0.01, 2, true},
		{"out of all bounds", result.Ratio{Ratio: 1e9, Low: nan, High: nan}, 0.5, 100, true},
		{"no ratio", result.Ratio{Ratio: nan, Low: nan, High: nan}, 0.5, 2, false},
	} {
		lo, hi, beyond := keptRange([]*interfered{{kept: map[string]result.Ratio{"compute": tt.ratio}}})
		if lo != tt.lo || hi != tt.hi || beyond != tt.beyond {
			t.Errorf("%s: %v to %v, beyond: %v", tt.name, lo, hi, beyond)
		}
	}
}
