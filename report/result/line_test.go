package result

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestFitLine: points on a line give that line, and one far off does not move it.
func TestFitLine(t *testing.T) {
	var x, y []float64
	for round := range 3 {
		for _, n := range []float64{1, 2, 4, 8} {
			x, y = append(x, n), append(y, 10+3*n+0.01*float64(round))
		}
	}
	y[3] += 1000
	l := FitLine(x, y)
	if math.Abs(l.Slope-3) > 0.01 || math.Abs(l.Intercept-10) > 0.05 || l.N != 12 || len(l.Warnings) != 0 {
		t.Errorf("%+v", l)
	}
	if !l.HasInterval() || l.Low > l.Slope || l.High < l.Slope || l.InterceptLow > l.Intercept || l.InterceptHigh < l.Intercept {
		t.Errorf("its intervals do not hold it: %+v", l)
	}
}

// TestFitLineFew: what is thin is said, and no interval made up.
func TestFitLineFew(t *testing.T) {
	for _, tt := range []struct {
		name  string
		x, y  []float64
		slope bool
	}{
		{"nothing", nil, nil, false},
		{"one place", []float64{4, 4, 4, 4, 4, 4, 4, 4}, []float64{1, 2, 3, 4, 5, 6, 7, 8}, false},
		{"one round", []float64{1, 2, 4, 8}, []float64{2, 4, 8, 16}, true},
	} {
		l := FitLine(tt.x, tt.y)
		if l.HasInterval() || len(l.Warnings) != 1 || math.IsNaN(l.Slope) == tt.slope {
			t.Errorf("%s: %+v", tt.name, l)
		}
	}
}

// TestFitLineCovers: of a thousand noisy lines, about 95% of the intervals hold the true
// slope, and at least 95% the true intercept.
func TestFitLineCovers(t *testing.T) {
	const trials = 1000
	rng := rand.New(rand.NewPCG(1, 2))
	slope, intercept := 0, 0
	for range trials {
		var x, y []float64
		for range 3 {
			for _, n := range []float64{1, 4, 16, 64} {
				noise := rng.NormFloat64()
				if rng.IntN(10) == 0 {
					noise *= 20 // what else a host does
				}
				x, y = append(x, n), append(y, 5+2*n+noise)
			}
		}
		l := FitLine(x, y)
		if l.Low <= 2 && 2 <= l.High {
			slope++
		}
		if l.InterceptLow <= 5 && 5 <= l.InterceptHigh {
			intercept++
		}
	}
	// 95% less three standard deviations of a binomial; the interval may be too wide, never
	// everything.
	if slope < 929 || slope == trials {
		t.Errorf("%d of %d intervals hold the slope", slope, trials)
	}
	if intercept < 929 {
		t.Errorf("%d of %d intervals hold the intercept", intercept, trials)
	}
}
