package result

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func near(got, want, by float64) bool {
	return got == want || math.IsNaN(got) && math.IsNaN(want) || math.Abs(got-want) <= by
}

func TestMannWhitney(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		name    string
		a, b    []float64
		p       float64
		warning string
	}{
		{"nothing", nil, upTo(3), nan, "no samples to compare"},
		{"not a number", []float64{nan}, upTo(3), nan, "a sample is not a number"},
		{"one each", []float64{1}, []float64{2}, 1, "too few samples to show a difference: with 1 and 1 values p is at least 1"},
		// The smallest p of 3 and 3 is 2 in 20; of 4 and 4 it is 2 in 70.
		{"three apart", []float64{1, 2, 3}, []float64{4, 5, 6}, 0.1, "too few samples to show a difference: with 3 and 3 values p is at least 0.1"},
		{"four apart", upTo(4), []float64{5, 6, 7, 8}, 2. / 70, ""},
		// Hollander and Wolfe, "Nonparametric Statistical Methods" (1973), pages 69 to 71:
		// permeability of membranes. R's help of wilcox.test has it: W = 35, one-sided
		// p = 0.1272, which exactly is 382 of 3003.
		{"membranes", []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}, []float64{1.15, 0.88, 0.90, 0.74, 1.21}, 2 * 382. / 3003, ""},
		// By hand: of the six ways to choose two of 1 1 2 3 (ranks 1.5 1.5 3 4, mean of the
		// sum 5) sums are 3, 4.5, 5.5, 4.5, 5.5, 7: two are at least 2 off.
		{"ties", []float64{1, 1}, []float64{2, 3}, 2. / 6, "too few samples to show a difference: with 2 and 2 values p is at least 0.33"},
		{"all equal", []float64{4, 4, 4, 4}, []float64{4, 4, 4, 4}, 1, "all values are equal"},
		{"infinite", []float64{1, 2, 3, math.Inf(1)}, []float64{-1, -2, -3, math.Inf(-1)}, 2. / 70, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, w := MannWhitney(tt.a, tt.b)
			if !near(p, tt.p, 1e-12) || texts(w) != tt.warning {
				t.Errorf("p = %v %q, want %v %q", p, texts(w), tt.p, tt.warning)
			}
			if q, _ := MannWhitney(tt.b, tt.a); !near(p, q, 1e-12) {
				t.Errorf("the other way round p = %v", q)
			}
		})
	}
}

// enumerated goes through all ways to deal the values out.
func enumerated(a, b []float64) float64 {
	all := slices.Concat(a, b)
	u := func(chosen uint) (sum float64) {
		for i, x := range all {
			if chosen>>i&1 == 0 {
				continue
			}
			for j, y := range all {
				switch {
				case chosen>>j&1 == 1:
				case x > y:
					sum++
				case x == y:
					sum += 0.5
				}
			}
		}
		return sum
	}
	mean := float64(len(a)*len(b)) / 2
	observed := math.Abs(u(1<<len(a)-1) - mean)
	var far, ways float64
	for c := range uint(1) << len(all) {
		if bits.OnesCount(c) == len(a) {
			ways++
			if math.Abs(u(c)-mean) >= observed {
				far++
			}
		}
	}
	return far / ways
}

func TestMannWhitneyEnumerated(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		a, b := make([]float64, 1+rng.IntN(5)), make([]float64, 1+rng.IntN(5))
		different := 2 + rng.IntN(9) // few give many ties
		for _, s := range [][]float64{a, b} {
			for i := range s {
				s[i] = float64(rng.IntN(different))
			}
		}
		got, _ := MannWhitney(a, b)
		if want := enumerated(a, b); !near(got, want, 1e-12) {
			t.Errorf("%v against %v: p = %v, want %v", a, b, got, want)
		}
	}
}

// TestMannWhitneyNormal: where the exact test ends the approximation is close to it.
func TestMannWhitneyNormal(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		a, b := times(1+rng.Float64(), skewed(rng, 25)), skewed(rng, 25)
		if rng.IntN(2) == 0 { // ties
			for _, s := range [][]float64{a, b} {
				for i := range s {
					s[i] = math.Round(4 * s[i])
				}
			}
		}
		r := rank(a, b)
		if exact, normal := r.exact(), r.normal(); math.Abs(exact-normal) > 0.01 {
			t.Errorf("exactly %v, by the normal distribution %v", exact, normal)
		}
	}
}

// TestMannWhitneyLevel: of equal platforms 5% are called different, not more.
func TestMannWhitneyLevel(t *testing.T) {
	for _, n := range []int{6, 20, 60} {
		rng := rand.New(rand.NewPCG(5, uint64(n)))
		const draws = 1000
		called := 0
		for range draws {
			if p, _ := MannWhitney(skewed(rng, n), skewed(rng, n)); p < 0.05 {
				called++
			}
		}
		// 5% and four standard deviations; the exact test of few values is below it.
		if share := float64(called) / draws; share > 0.078 || share < 0.02 {
			t.Errorf("n=%d: %.1f%% of equal samples were called different", n, 100*share)
		}
	}
}

// TestMannWhitneyMany: a million samples are no trouble.
func TestMannWhitneyMany(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 7))
	a, b := times(1.01, skewed(rng, 1_000_000)), skewed(rng, 1_000_000)
	begin := time.Now()
	p, _ := MannWhitney(a, b)
	d := CliffsDelta(a, b)
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	if p > 1e-6 || d < 0.002 || d > 0.01 {
		t.Errorf("p = %v, delta = %v for a shift of 1%%", p, d)
	}
}
