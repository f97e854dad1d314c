package result

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// upTo is 1, 2, ... n: the ends of an interval are then the ranks of the
// values that it lies between.
func upTo(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(i + 1)
	}
	return v
}

func TestSummarize(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		name      string
		values    []float64
		median    float64
		low, high float64
		sure      float64
		warning   string
	}{
		{"none", nil, nan, nan, nan, 0, "no samples"},
		{"one", []float64{7}, 7, nan, nan, 0, "need >= 6 samples"},
		{"two", []float64{8, 6}, 7, nan, nan, 0, "need >= 6 samples"},
		// benchmath gives -Inf to 5 here.
		{"five", []float64{5, 1, 4, 2, 3}, 3, nan, nan, 0, "need >= 6 samples"},
		// 1 - 2/2^6.
		{"six", []float64{6, 1, 5, 2, 4, 3}, 3.5, 1, 6, 0.96875, ""},
		// 1 - 2/2^7; without an end it would be 1 - 9/128 = 0.93.
		{"seven", upTo(7), 4, 1, 7, 0.984375, ""},
		// 1 - 1/256 - (1+8)/256: one end can be spared, and it is the upper.
		{"eight", upTo(8), 4.5, 1, 7, 0.9609375, ""},
		// The 2nd to the 9th: 1 - 2*(1+10)/1024 = 0.979; sparing the upper end
		// more would be 1 - (11+56)/1024 = 0.935.
		{"ten", upTo(10), 5.5, 2, 9, 0.978515625, ""},
		// The textbook case, 8th to 18th: C(25,0) + ... + C(25,7) = 726,206.
		{"twenty-five", upTo(25), 13, 8, 18, 1 - 2*726206./(1<<25), ""},
		{"ties", []float64{4, 4, 4, 4, 4, 4, 4}, 4, 4, 4, 0.984375, ""},
		{"outlier stays", []float64{1, 2, 3, 4, 5, 1e9}, 3.5, 1, 1e9, 0.96875, ""},
		{"negative", []float64{-6, -1, -5, -2, -4, -3}, -3.5, -6, -1, 0.96875, ""},
		{"not a number", []float64{1, 2, 3, nan, 5, 6, 7}, nan, nan, nan, 0, "not a number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.values)
			s := Summarize(tt.values)
			same := cmpopts.EquateNaNs()
			if !cmp.Equal(before, tt.values, same) {
				t.Errorf("the values were changed to %v", tt.values)
			}
			if !cmp.Equal(before, s.Values, same) {
				t.Errorf("Values = %v, want them in the order taken", s.Values)
			}
			if s.N != len(tt.values) {
				t.Errorf("N = %d", s.N)
			}
			got := []float64{s.Median, s.Low, s.High, s.Confidence}
			want := []float64{tt.median, tt.low, tt.high, tt.sure}
			if !cmp.Equal(got, want, same, cmpopts.EquateApprox(0, 1e-9)) {
				t.Errorf("median, low, high, confidence = %v, want %v", got, want)
			}
			if got := texts(s.Warnings); (tt.warning == "") != (got == "") || !strings.Contains(got, tt.warning) {
				t.Errorf("warnings = %q, want %q", got, tt.warning)
			}
			if s.HasInterval() != (tt.sure > 0) {
				t.Errorf("HasInterval = %v", s.HasInterval())
			}
		})
	}
}

// TestSummarizeOrder: the values stay in the order taken.
func TestSummarizeOrder(t *testing.T) {
	values := []float64{3, 1, 2}
	s := Summarize(values)
	if !slices.Equal(s.Values, []float64{3, 1, 2}) || !slices.Equal(s.Sorted, []float64{1, 2, 3}) {
		t.Errorf("values %v, sorted %v", s.Values, s.Sorted)
	}
}

// TestIntervalIsExact holds every interval against the binomial distribution
// in whole numbers, because benchmath approximates it above 30 values.
func TestIntervalIsExact(t *testing.T) {
	for n := minSamples; n <= 400; n++ {
		s := Summarize(upTo(n))
		// The true median lies between the low-th and the high-th value when
		// at least low and fewer than high of the values are below it.
		sum := new(big.Int)
		for k := int64(s.Low); k < int64(s.High); k++ {
			sum.Add(sum, new(big.Int).Binomial(int64(n), k))
		}
		exact, _ := new(big.Rat).SetFrac(sum, new(big.Int).Lsh(big.NewInt(1), uint(n))).Float64()
		if exact < 0.95 {
			t.Errorf("n=%d: %v to %v holds the median in %.4f", n, s.Low, s.High, exact)
		}
		if s.Confidence > exact+1e-6 || s.Confidence < exact-0.002 {
			t.Errorf("n=%d: confidence %.4f, exactly %.4f", n, s.Confidence, exact)
		}
	}
}

// skewed is a log-normal distribution with the median 1: a floor, a long tail.
func skewed(rng *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.Exp(rng.NormFloat64())
	}
	return v
}

func TestSummarizeCovers(t *testing.T) {
	const draws = 2000
	for _, n := range []int{6, 25, 60} {
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		covered := 0
		for range draws {
			if s := Summarize(skewed(rng, n)); s.Low <= 1 && 1 <= s.High {
				covered++
			}
		}
		share := float64(covered) / draws
		t.Logf("n=%d: %.2f%%", n, 100*share)
		if share < 0.94 {
			t.Errorf("n=%d: the 95%% interval held the true median in %.2f%% of %d draws", n, 100*share, draws)
		}
	}
}
