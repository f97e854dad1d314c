package result

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestKruskalWallis(t *testing.T) {
	for _, tt := range []struct {
		name   string
		groups [][]float64
		want   float64
		by     float64
	}{
		{"one group", [][]float64{upTo(5)}, math.NaN(), 0},
		{"equal", [][]float64{{1, 1}, {1, 1}}, 1, 0},
		// Of the 90 ways to deal 1 to 6 out to three pairs, 6 keep the pairs together.
		{"apart", [][]float64{{1, 2}, {3, 4}, {5, 6}}, 6. / 90, 0.02},
		// Two groups: the Mann-Whitney test, exactly 2 in 70.
		{"two", [][]float64{{1, 2, 3, 4}, {5, 6, 7, 8}}, 2. / 70, 0.015},
	} {
		if got := kruskalWallis(tt.groups, 1); !near(got, tt.want, tt.by) {
			t.Errorf("%s: p = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestKruskalWallisMany: of many values the formula says what dealing them out says.
func TestKruskalWallisMany(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for _, shift := range []float64{0, 0.1, 0.15, 0.2, 2} {
		groups := make([][]float64, 4)
		for g := range groups {
			for range 130 {
				groups[g] = append(groups[g], math.Round(10*(rng.ExpFloat64()+shift*float64(g)))) // with ties
			}
		}
		formula := kruskalWallis(groups, 1)
		groups[3] = groups[3][:shuffledMost-3*130]
		if dealt := kruskalWallis(groups, 1); math.Abs(dealt-formula) > 0.15 || (dealt < 0.01) != (formula < 0.01) {
			t.Errorf("shifted by %v: p = %v, and %v by dealing out", shift, formula, dealt)
		}
	}
	if p := kruskalWallis([][]float64{make([]float64, 300), make([]float64, 300)}, 1); p != 1 {
		t.Errorf("of equal values p = %v", p)
	}
}

func TestPreceded(t *testing.T) {
	platforms := []string{"a", "b", "c"}
	make := func(cost float64) *Run {
		rng := rand.New(rand.NewPCG(4, 5))
		r := &Run{}
		for range 40 {
			for _, i := range rng.Perm(3) {
				v := 10 + rng.Float64()
				if n := len(r.Samples); n > 0 && r.Samples[n-1].Platform == "c" {
					v += cost
				}
				r.Samples = append(r.Samples, Sample{Experiment: "startup", Platform: platforms[i], Values: map[string]float64{"x_ns": v}})
			}
		}
		return r
	}
	k := Key{Experiment: "startup", Platform: "a"}
	if p := make(0).Preceded(k, "x_ns"); p < 0.01 {
		t.Errorf("nothing matters, and p = %v", p)
	}
	if p := make(1).Preceded(k, "x_ns"); p > 0.001 {
		t.Errorf("c matters, and p = %v", p)
	}
	if w := PrecededWarning(make(1).Preceded(k, "x_ns")); len(w) != 1 || w[0].Code != Predecessor {
		t.Errorf("warnings %v", w)
	}
	if p := (&Run{}).Preceded(k, "x_ns"); !math.IsNaN(p) {
		t.Errorf("without samples p = %v", p)
	}
}

func TestDisturbedOf(t *testing.T) {
	r := &Run{}
	for i := range 6 {
		s := Sample{Experiment: "startup", Platform: "a", Values: map[string]float64{"x_ns": 1}, Warmup: i == 0}
		if i < 3 {
			s.Disturbed = "CPU pressure"
		}
		r.Samples = append(r.Samples, s)
	}
	r.Samples[1].Error = "broke"
	if n := r.DisturbedOf(Key{Experiment: "startup", Platform: "a"}, "x_ns"); n != 1 {
		t.Errorf("%d are disturbed, want 1", n)
	}
	if n := r.DisturbedOf(Key{Experiment: "startup", Platform: "a"}, "y_ns"); n != 0 {
		t.Errorf("%d of another value are disturbed", n)
	}
}
