package result

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestPercentileLeast: one value more, and there is an interval.
func TestPercentileLeast(t *testing.T) {
	for share, least := range map[float64]int{0.5: 6, 0.9: 36, 0.95: 72, 0.99: 368, 0.05: 72} {
		if p := PercentileOf(upTo(least-1), share); p.HasInterval() || len(p.Warnings) != 1 || p.Warnings[0].Code != PointOnly || math.IsNaN(p.Value) {
			t.Errorf("%v of %d: %+v", share, least-1, p)
		}
		if p := PercentileOf(upTo(least), share); !p.HasInterval() || p.Warnings != nil {
			t.Errorf("%v of %d: %+v", share, least, p)
		}
	}
	if p := PercentileOf(nil, 0.95); !math.IsNaN(p.Value) || p.Warnings[0].Code != NoSamples {
		t.Errorf("of none: %+v", p)
	}
	if p := PercentileOf([]float64{math.NaN()}, 0.95); p.Warnings[0].Code != NotANumber {
		t.Errorf("of what is no number: %+v", p)
	}
}

// TestPercentileIsExact holds the ends against the binomial distribution, by
// coefficients in whole numbers. They are the tightest with at most 2.5% on
// either side.
func TestPercentileIsExact(t *testing.T) {
	const tail = 0.025
	for _, q := range []float64{0.5, 0.95, 0.99} {
		for _, n := range []int{leastSamples(q), leastSamples(q) + 1, 400, 700} {
			p := PercentileOf(upTo(n), q)
			below := func(most int) (sum float64) {
				for k := 0; k <= most; k++ {
					c, _ := new(big.Float).SetInt(new(big.Int).Binomial(int64(n), int64(k))).Float64()
					sum += c * math.Pow(q, float64(k)) * math.Pow(1-q, float64(n-k))
				}
				return sum
			}
			low, high := int(p.Low), int(p.High) // ranks from 1
			if below(low-1) > tail || below(low) <= tail {
				t.Errorf("%v of %d: the lower end is the value %d", q, n, low)
			}
			if below(high-1) < 1-tail || below(high-2) >= 1-tail {
				t.Errorf("%v of %d: the upper end is the value %d", q, n, high)
			}
			if sure := below(high-1) - below(low-1); math.Abs(sure-p.Confidence) > 1e-9 || sure < 0.95 {
				t.Errorf("%v of %d: confidence %v, exactly %v", q, n, p.Confidence, sure)
			}
		}
	}
}

func TestPercentileCovers(t *testing.T) {
	for share, truth := range map[float64]float64{0.95: math.Exp(1.6448536), 0.99: math.Exp(2.3263479)} {
		for _, n := range []int{leastSamples(share), 500} {
			rng := rand.New(rand.NewPCG(20, uint64(n)))
			const draws = 1000
			covered := 0
			for range draws {
				if p := PercentileOf(skewed(rng, n), share); p.Low <= truth && truth <= p.High {
					covered++
				}
			}
			if s := float64(covered) / draws; s < 0.93 {
				t.Errorf("%v of %d: covered in %.1f%%", share, n, 100*s)
			}
		}
	}
}

func TestPercentileMany(t *testing.T) {
	n := 1_000_000
	low, high, sure := orderInterval(n, 0.99)
	// The normal approximation: 990,000 and 1.96 standard deviations of 99.5.
	if math.Abs(float64(low)-989_805) > 3 || math.Abs(float64(high)-990_195) > 3 || sure < 0.95 || sure > 0.952 {
		t.Errorf("%d to %d with %v", low, high, sure)
	}
}
