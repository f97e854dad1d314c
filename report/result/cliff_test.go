package result

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestCliffsDelta(t *testing.T) {
	for _, tt := range []struct {
		a, b []float64
		want float64
		size string
	}{
		{nil, upTo(2), math.NaN(), "–"},
		{[]float64{math.NaN()}, upTo(2), math.NaN(), "–"},
		{[]float64{4, 5}, upTo(3), 1, "large"},
		{upTo(3), []float64{4, 5}, -1, "large"},
		{upTo(9), upTo(9), 0, "negligible"},
		{[]float64{2, 2}, []float64{1, 2, 3, 3}, -0.25, "small"},
		// Pairs: 1 is above none of 1 2 3 and below two, 3 above two, 4 above three.
		{[]float64{4, 1, 3}, []float64{3, 1, 2}, (3. - 2 + 2) / 9, "medium"},
	} {
		got := CliffsDelta(tt.a, tt.b)
		if !near(got, tt.want, 1e-12) || EffectSize(got) != tt.size {
			t.Errorf("CliffsDelta(%v, %v) = %v %s, want %v %s", tt.a, tt.b, got, EffectSize(got), tt.want, tt.size)
		}
	}
}

// TestCliffsDeltaPairs holds the merge against all pairs.
func TestCliffsDeltaPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	for range 100 {
		a, b := make([]float64, 1+rng.IntN(20)), make([]float64, 1+rng.IntN(20))
		for i := range a {
			a[i] = float64(rng.IntN(12))
		}
		for i := range b {
			b[i] = float64(rng.IntN(12))
		}
		sum := 0
		for _, x := range a {
			for _, y := range b {
				if x > y {
					sum++
				} else if x < y {
					sum--
				}
			}
		}
		if got, want := CliffsDelta(a, b), float64(sum)/float64(len(a)*len(b)); !near(got, want, 1e-12) {
			t.Errorf("%v, %v: %v, want %v", a, b, got, want)
		}
	}
}
