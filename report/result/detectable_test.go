package result

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDetectable(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, tt := range []struct {
		name         string
		values, base []float64
		family       int
		want         float64
	}{
		{"none", nil, upTo(9), 1, nan},
		{"no number", []float64{nan}, upTo(9), 1, nan},
		{"zero", upTo(9), slices.Repeat([]float64{0}, 9), 1, nan},
		{"three", upTo(3), upTo(3), 1, inf},
		// Six against six have p >= 0.0022: enough alone, not among forty.
		{"too large a family", upTo(6), upTo(6), 40, inf},
		{"without spread", slices.Repeat([]float64{5}, 20), slices.Repeat([]float64{7}, 20), 1, 0},
	} {
		if got := Detectable(tt.values, tt.base, tt.family); !near(got, tt.want, 1e-5) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	// The larger the sample the smaller the difference, and the larger the family
	// the larger.
	rng := rand.New(rand.NewPCG(1, 1))
	a, b := skewed(rng, 400), skewed(rng, 400)
	if few, many := Detectable(a[:25], b[:25], 1), Detectable(a, b, 1); many >= few {
		t.Errorf("%v with 25, %v with 400", few, many)
	}
	if one, ten := Detectable(a, b, 1), Detectable(a, b, 10); ten <= one {
		t.Errorf("%v alone, %v among ten", one, ten)
	}
}

// TestDetectablePower injects the difference that is said to be detectable: the
// test finds it in about 80% of cases.
func TestDetectablePower(t *testing.T) {
	for _, n := range []int{25, 100} {
		rng := rand.New(rand.NewPCG(2, uint64(n)))
		draw := func() []float64 { // a floor and a tail
			v := skewed(rng, n)
			for i := range v {
				v[i] = 10 + v[i]
			}
			return v
		}
		// What one sample says varies: the median of many is meant.
		var said []float64
		for range 50 {
			said = append(said, Detectable(draw(), draw(), 1))
		}
		slices.Sort(said)
		d := median(said)
		const draws = 400
		found := 0
		for range draws {
			if p, _ := MannWhitney(times(1+d, draw()), draw()); p < 0.05 {
				found++
			}
		}
		t.Logf("n=%d: %.2f%% is found in %d of %d", n, 100*d, found, draws)
		if share := float64(found) / draws; share < 0.7 || share > 0.92 {
			t.Errorf("n=%d: a difference of %.1f%%, said to be found in 80%%, is found in %.0f%%", n, 100*d, 100*share)
		}
	}
}
