package selftest

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(a, b, within float64) bool {
	return a == b || math.Abs(a-b) <= within || math.IsNaN(a) && math.IsNaN(b)
}

func TestTwoSided(t *testing.T) {
	for _, tt := range []struct {
		k, n int
		p    float64
		want float64
	}{
		{0, 10, 0.5, 2. / 1024},
		{10, 10, 0.5, 2. / 1024},
		{5, 10, 0.5, 1},
		{3, 20, 0.5, 0.002576828},             // R: binom.test(3, 20)$p.value
		{0, 20, 0.05, 1 - math.Pow(0.95, 19)}, // all but 1, which alone is more probable than 0
		{0, 3, 0, 1},
		{3, 3, 1, 1},
	} {
		if got := twoSided(tt.k, tt.n, tt.p); !near(got, tt.want, 1e-8) {
			t.Errorf("twoSided(%d, %d, %v) = %.9f, want %.9f", tt.k, tt.n, tt.p, got, tt.want)
		}
	}
}

// TestInterval holds the interval against values of the tables, and against what defines it.
func TestInterval(t *testing.T) {
	for _, tt := range []struct {
		k, n      int
		low, high float64
	}{
		{0, 0, 0, 1},
		{0, 20, 0, 1 - math.Pow(0.025, 1./20)},
		{20, 20, math.Pow(0.025, 1./20), 1},
		{5, 10, 0.1870860, 0.8129140}, // R: binom.test(5, 10)$conf.int
	} {
		if low, high := interval(tt.k, tt.n); !near(low, tt.low, 1e-6) || !near(high, tt.high, 1e-6) {
			t.Errorf("interval(%d, %d) = %.7f, %.7f; want %.7f, %.7f", tt.k, tt.n, low, high, tt.low, tt.high)
		}
	}
	for n := 1; n < 40; n++ {
		for k := 1; k < n; k++ {
			low, high := interval(k, n)
			if a, b := atLeast(k, n, low), 1-atLeast(k+1, n, high); !near(a, 0.025, 1e-6) || !near(b, 0.025, 1e-6) {
				t.Errorf("interval(%d, %d): the tails are %v and %v", k, n, a, b)
			}
		}
	}
}

func TestTheilSen(t *testing.T) {
	line := func(n int, slope float64) (x, y []float64) {
		for i := range n {
			x, y = append(x, float64(i)), append(y, 3+slope*float64(i))
		}
		return x, y
	}
	x, y := line(12, 0.5)
	if got := theilSen(x, y); got != (trend{0.5, 0.5, 0.5}) {
		t.Errorf("a line: %+v", got)
	}
	y[7] = 1e6 // one that is far off
	if got := theilSen(x, y); !near(got.slope, 0.5, 1e-9) || !got.holds(0.5) {
		t.Errorf("a line with an outlier: %+v", got)
	}
	for n, want := range map[int]bool{1: false, 2: false, 4: false, 8: true} {
		x, y := line(n, 1)
		if got := theilSen(x, y); got.hasInterval() != want {
			t.Errorf("%d points: %+v", n, got)
		}
	}
	// The interval is of 95%: of noise with no trend it leaves out 0 in about one case of 20.
	rng, left := rand.New(rand.NewPCG(1, 2)), 0
	for range 2000 {
		x, y := line(15, 0)
		for i := range y {
			y[i] += rng.NormFloat64()
		}
		if !theilSen(x, y).holds(0) {
			left++
		}
	}
	if left < 50 || left > 150 {
		t.Errorf("of 2000 intervals of no trend %d are without 0, want about 100", left)
	}
}

// TestTrials: a delay of 5% is found where the half-width is reached, none is found where
// there is none, and what does not reach it counts apart.
func TestTrials(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	series := func(n int, scale, spread float64) (values []float64) {
		for range n {
			values = append(values, scale*(1+spread*math.Exp(rng.NormFloat64()/2)))
		}
		return values
	}
	for _, tt := range []struct {
		name            string
		scale, spread   float64
		share, mostly   float64 // of the trials, those in which it is found: about this
		reached, others bool
	}{
		{"5%", 1.05, 0.08, 1, 0.05, true, false},
		{"nothing", 1, 0.08, 0.05, 0.06, true, false},
		{"a host that is too busy", 1.05, 5, 0, 0, false, true},
	} {
		f := trials(5, series(4000, 1, tt.spread), series(4000, tt.scale, tt.spread))
		if (f.trials > 10) != tt.reached || (f.given > 0) != tt.others {
			t.Errorf("%s: %+v", tt.name, f)
			continue
		}
		if share := float64(f.called) / float64(f.trials); tt.reached && math.Abs(share-tt.share) > tt.mostly {
			t.Errorf("%s: found in %v of the trials: %+v", tt.name, share, f)
		}
		if f.given > 0 && !(f.best > HalfWidth) {
			t.Errorf("%s: %+v", tt.name, f)
		}
	}
	if f := trials(5, nil, nil); f.trials != 0 || f.given != 0 {
		t.Errorf("no samples: %+v", f)
	}
}
