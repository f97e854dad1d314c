package result

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func times(f float64, values []float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = f * v
	}
	return out
}

func TestCompare(t *testing.T) {
	nan := math.NaN()
	same := []float64{2, 2, 2, 2, 2, 2}
	tests := []struct {
		name             string
		values, base     []float64
		ratio, low, high float64
		warning          string
	}{
		{"nothing", nil, same, nan, nan, nan, "no samples"},
		{"no base", same, nil, nan, nan, nan, "no samples"},
		{"too few", []float64{6, 2}, same, 2, nan, nan, "need >= 6 samples"},
		{"too few in the base", same, []float64{1}, 2, nan, nan, "need >= 6 samples"},
		{"no spread", times(3, same), same, 3, 3, 3, ""},
		{"zero base", same, times(0, same), nan, nan, nan, "base above zero"},
		{"negative base", same, times(-1, same), nan, nan, nan, "base above zero"},
		{"base that reaches zero", same, []float64{0, 1, 1, 1, 1, 1}, 2, nan, nan, "no interval"},
		{"negative values", times(-1, same), same, -1, -1, -1, ""},
		{"not a number", []float64{nan}, same, nan, nan, nan, "not a number"},
		{"huge", times(math.MaxFloat64/2, same), times(math.MaxFloat64/2, same), 1, 1, 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Compare(tt.values, tt.base, 1)
			got, want := []float64{r.Ratio, r.Low, r.High}, []float64{tt.ratio, tt.low, tt.high}
			if !cmp.Equal(got, want, cmpopts.EquateNaNs()) {
				t.Errorf("ratio, low, high = %v, want %v", got, want)
			}
			if got := texts(r.Warnings); (tt.warning == "") != (got == "") || !strings.Contains(got, tt.warning) {
				t.Errorf("warnings = %q, want %q", got, tt.warning)
			}
		})
	}
}

func TestCompareIsDeterministic(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	values, base := skewed(rng, 20), skewed(rng, 30)
	kept := slices.Clone(values)
	first, second, other := Compare(values, base, 7), Compare(values, base, 7), Compare(values, base, 8)
	if !slices.Equal(values, kept) {
		t.Error("the values were changed")
	}
	if !cmp.Equal(first, second) {
		t.Errorf("one seed gave %v and %v", first, second)
	}
	if first.Ratio != other.Ratio {
		t.Errorf("the seed changed the ratio from %v to %v", first.Ratio, other.Ratio)
	}
	// Another seed may move an end by a step between neighbouring values, not
	// by more.
	if wide := first.High - first.Low; math.Abs(first.Low-other.Low) > wide/5 || math.Abs(first.High-other.High) > wide/5 {
		t.Errorf("seeds 7 and 8 gave %v and %v", first, other)
	}
	// The order in which the values were taken is of no matter.
	slices.Reverse(values)
	if got := Compare(values, base, 7); !cmp.Equal(got, first) {
		t.Errorf("in reverse %v, was %v", got, first)
	}
}

func TestCompareCovers(t *testing.T) {
	const draws, truth = 400, 6.0
	for _, n := range []int{6, 25} {
		rng := rand.New(rand.NewPCG(2, uint64(n)))
		covered := 0
		for i := range draws {
			r := Compare(times(truth, skewed(rng, n)), skewed(rng, n), uint64(i))
			if r.Low <= truth && truth <= r.High {
				covered++
			}
		}
		share := float64(covered) / draws
		t.Logf("n=%d: %.1f%%", n, 100*share)
		if share < 0.90 {
			t.Errorf("n=%d: the 95%% interval held the true ratio in %.1f%% of %d draws", n, 100*share, draws)
		}
	}
}

// TestResampled holds the count against sorting.
func TestResampled(t *testing.T) {
	for n := 1; n <= 12; n++ {
		sorted := upTo(n)
		for seed := range uint64(50) {
			draw := rand.New(rand.NewPCG(seed, 0))
			drawn := make([]float64, n)
			for i := range drawn {
				drawn[i] = sorted[draw.IntN(n)]
			}
			slices.Sort(drawn)
			got := resampled(rand.New(rand.NewPCG(seed, 0)), sorted, make([]int, 20), 0.5)
			if want := median(drawn); got != want {
				t.Fatalf("n=%d seed=%d: %v, want the median of %v", n, seed, got, drawn)
			}
		}
	}
}

// TestComparePercentileCovers: the bootstrap of a percentile, and beyond 1,000
// values the formula.
func TestComparePercentileCovers(t *testing.T) {
	const truth = 1.25
	for _, tt := range []struct {
		n, draws int
		share    float64
	}{{100, 150, 0.95}, {drawnMost + 1, 1000, 0.5}, {drawnMost + 1, 1000, 0.99}} {
		rng := rand.New(rand.NewPCG(3, uint64(tt.n)))
		covered := 0
		for i := range tt.draws {
			r := ComparePercentile(times(truth, skewed(rng, tt.n)), skewed(rng, tt.n), tt.share, uint64(i))
			if r.Low <= truth && truth <= r.High {
				covered++
			}
			if said := len(r.Warnings) == 1 && r.Warnings[0].Code == Approximation; said != (tt.n > drawnMost) {
				t.Fatalf("n=%d: warnings %v", tt.n, r.Warnings)
			}
		}
		share := float64(covered) / float64(tt.draws)
		t.Logf("percentile %v of %d: %.1f%%", 100*tt.share, tt.n, 100*share)
		if share < 0.88 {
			t.Errorf("percentile %v of %d: the 95%% interval held the true ratio in %.1f%%", 100*tt.share, tt.n, 100*share)
		}
	}
	if r := ComparePercentile(upTo(71), upTo(72), 0.95, 1); len(r.Warnings) != 1 || r.Warnings[0].Code != FewSamples || !math.IsNaN(r.Low) {
		t.Errorf("71 values have %+v", r)
	}
	if r := Compare(upTo(drawnMost+1), slices.Repeat([]float64{2}, 6), 1); r.Low > r.Ratio || r.High < r.Ratio {
		t.Errorf("unequal sizes: %+v", r)
	}
}

func BenchmarkCompare(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 4))
	values, base := skewed(rng, 100), skewed(rng, 100)
	for b.Loop() {
		Compare(values, base, 1)
	}
}

// The ratio from two intervals is about that from the values themselves.
func TestRatioOf(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(scale float64) (v []float64) {
		for range 4000 {
			v = append(v, scale*math.Exp(rng.NormFloat64()))
		}
		return v
	}
	a, b := draw(3), draw(1)
	got, want := RatioOf(PercentileOf(a, 0.99), PercentileOf(b, 0.99)), ComparePercentile(a, b, 0.99, 1)
	if got.Ratio != want.Ratio || math.Abs(math.Log(got.Low/want.Low)) > 0.1 || math.Abs(math.Log(got.High/want.High)) > 0.1 {
		t.Errorf("from the intervals %+v, from the values %+v", got, want)
	}
	few := RatioOf(PercentileOf(a[:100], 0.99), PercentileOf(b, 0.99))
	if math.IsNaN(few.Ratio) || !math.IsNaN(few.Low) || len(few.Warnings) == 0 {
		t.Errorf("of too few values for an interval: %+v", few)
	}
	if none := RatioOf(PercentileOf(nil, 0.99), PercentileOf(b, 0.99)); !math.IsNaN(none.Ratio) {
		t.Errorf("of nothing: %+v", none)
	}
}
