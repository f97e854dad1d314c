package result

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Ratio is how many times as much one sample is as another. It has no unit.
type Ratio struct {
	Ratio     float64 // NaN when it cannot be formed
	Low, High float64 // 95% confidence interval; NaN when there is none
	Warnings  []Warning
}

// resamples is how many times [Compare] draws: enough that another seed moves
// the ends of the interval by far less than the interval is wide.
const resamples = 5000

// Compare gives median(values) / median(base) with a 95% interval.
//
// The interval is the percentile bootstrap (Efron and Tibshirani, "An
// Introduction to the Bootstrap", chapter 13): from each sample as many values
// are drawn, with replacement, as it has, the ratio of the two new medians is
// formed, and the middle 95% of 5,000 such ratios are the interval. The
// corrected variant BCa is no better here: its correction needs the jackknife,
// which is not consistent for a median. The two samples are drawn from
// independently. Values of the same round share the state of the host, so
// pairing them could only make the interval narrower.
//
// The draws come from a PCG generator with the seed: the same journal gives
// the same interval.
//
// Fewer than six values on either side give a warning and no interval, as for
// [Summarize]; a base whose median is not above zero gives no ratio.
func Compare(values, base []float64, seed uint64) Ratio {
	r := Ratio{Ratio: math.NaN(), Low: math.NaN(), High: math.NaN()}
	if len(values) == 0 || len(base) == 0 {
		r.Warnings = []Warning{{NoSamples, "no samples to compare"}}
		return r
	}
	if slices.ContainsFunc(values, math.IsNaN) || slices.ContainsFunc(base, math.IsNaN) {
		r.Warnings = []Warning{{NotANumber, "a sample is not a number"}}
		return r
	}
	values, base = slices.Sorted(slices.Values(values)), slices.Sorted(slices.Values(base))
	denominator := median(base)
	if !(denominator > 0) {
		r.Warnings = []Warning{{NoRatio, "a ratio needs a base above zero"}}
		return r
	}
	r.Ratio = median(values) / denominator
	switch {
	case len(values) < minSamples || len(base) < minSamples:
		r.Warnings = []Warning{{FewSamples, "need >= 6 samples on each side for a 95% interval"}}
		return r
	case base[0] <= 0:
		// A resampled median of the base could be zero or change its sign.
		r.Warnings = []Warning{{NoInterval, "a base with values that are not above zero has no interval of its ratio"}}
		return r
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	counts := make([]int, max(len(values), len(base)))
	ratios := make([]float64, resamples)
	for i := range ratios {
		numerator := resampledMedian(rng, values, counts)
		ratios[i] = numerator / resampledMedian(rng, base, counts)
	}
	slices.Sort(ratios)
	const tail = (1 - confidence) / 2
	r.Low = ratios[int(math.Floor(tail*resamples))]
	r.High = ratios[int(math.Ceil((1-tail)*resamples))-1]
	return r
}

// median of a sorted sample.
func median(sorted []float64) float64 {
	n := len(sorted)
	return middle(sorted[(n-1)/2], sorted[n/2])
}

// middle of two values, which stays finite where their sum does not.
func middle(a, b float64) float64 { return a/2 + b/2 }

// resampledMedian draws as many values from a sorted sample as it has, with
// replacement, and returns their median. Counting how often each was drawn
// gives the new sample in order without sorting it. The counts are scratch.
func resampledMedian(rng *rand.Rand, sorted []float64, counts []int) float64 {
	n := len(sorted)
	clear(counts)
	for range n {
		counts[rng.IntN(n)]++
	}
	below, i := 0, 0
	for ; below+counts[i] <= (n-1)/2; i++ {
		below += counts[i]
	}
	lower := sorted[i]
	for ; below+counts[i] <= n/2; i++ {
		below += counts[i]
	}
	return middle(lower, sorted[i])
}
