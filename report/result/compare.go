package result

import (
	"fmt"
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

// drawnMost is the size of a sample up to which intervals come from drawing
// anew: 5,000 samples of 1,000 values take a tenth of a second, and a report has a
// hundred of such intervals.
const drawnMost = 1000

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
//
// With more than 1,000 values on a side the interval is not drawn but computed,
// and a warning says so: see [orderRatio].
func Compare(values, base []float64, seed uint64) Ratio {
	return ComparePercentile(values, base, 0.5, seed)
}

// ComparePercentile is [Compare] of another percentile than the median: 0.95
// compares the 95th of both. It needs as many values as [PercentileOf] for an
// interval.
func ComparePercentile(values, base []float64, share float64, seed uint64) Ratio {
	r := Ratio{Ratio: math.NaN(), Low: math.NaN(), High: math.NaN()}
	if len(values) == 0 || len(base) == 0 {
		r.Warnings = []Warning{{NoSamples, "no samples to compare"}}
		return r
	}
	if slices.ContainsFunc(values, math.IsNaN) || slices.ContainsFunc(base, math.IsNaN) {
		r.Warnings = []Warning{{NotANumber, "a sample is not a number"}}
		return r
	}
	values, base = inOrder(values), inOrder(base)
	of := func(sorted []float64) float64 {
		if share == 0.5 {
			return median(sorted)
		}
		return quantile(sorted, share)
	}
	denominator := of(base)
	if !(denominator > 0) {
		r.Warnings = []Warning{{NoRatio, "a ratio needs a base above zero"}}
		return r
	}
	r.Ratio = of(values) / denominator
	switch least := leastSamples(share); {
	case len(values) < least || len(base) < least:
		r.Warnings = few(fmt.Sprintf("need >= %d samples on each side for a 95%% interval", least))
		return r
	case base[0] <= 0:
		// A resampled median of the base could be zero or change its sign.
		r.Warnings = []Warning{{NoInterval, "a base with values that are not above zero has no interval of its ratio"}}
		return r
	case max(len(values), len(base)) > drawnMost:
		r.Low, r.High = orderRatio(values, base, r.Ratio, share)
		if math.IsNaN(r.Low) {
			r.Warnings = []Warning{{NoInterval, "values that are not above zero have no interval of their ratio"}}
			return r
		}
		r.Warnings = []Warning{{Approximation, "the interval is computed from order statistics, since drawing so many values anew takes too long"}}
		return r
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	counts := make([]int, max(len(values), len(base)))
	ratios := make([]float64, resamples)
	for i := range ratios {
		numerator := resampled(rng, values, counts, share)
		ratios[i] = numerator / resampled(rng, base, counts, share)
	}
	slices.Sort(ratios)
	const tail = (1 - confidence) / 2
	r.Low = ratios[int(math.Floor(tail*resamples))]
	r.High = ratios[int(math.Ceil((1-tail)*resamples))-1]
	return r
}

// orderRatio is the interval of a ratio of percentiles of large samples (Price
// and Bonett, "Distribution-Free Confidence Intervals for Difference and Ratio
// of Medians", Journal of Statistical Computation and Simulation 72, 2002): the
// order statistics about each percentile give the variance of its logarithm, the
// two add up, and the logarithm of the ratio is normal. Values that are not above
// zero where it matters have no interval.
func orderRatio(values, base []float64, ratio, share float64) (low, high float64) {
	variance := 0.0
	for _, sorted := range [][]float64{values, base} {
		l, h, sure := orderInterval(len(sorted), share)
		if sure == 0 || !(sorted[l] > 0) {
			return math.NaN(), math.NaN()
		}
		sd := math.Log(sorted[h]/sorted[l]) / (2 * normalQuantile((1+sure)/2))
		variance += sd * sd
	}
	off := math.Exp(normalQuantile((1+confidence)/2) * math.Sqrt(variance))
	return ratio / off, ratio * off
}

// RatioOf is the ratio of two percentiles of which the values are not at hand, but their
// intervals: as that of large samples (Price and Bonett, see orderRatio), from the ends of
// both. Without both intervals it is a point, with a warning.
func RatioOf(p, base Percentile) Ratio {
	r := Ratio{Ratio: math.NaN(), Low: math.NaN(), High: math.NaN()}
	switch {
	case math.IsNaN(p.Value) || math.IsNaN(base.Value):
		r.Warnings = []Warning{{NoSamples, "no samples to compare"}}
		return r
	case !(base.Value > 0):
		r.Warnings = []Warning{{NoRatio, "a ratio needs a base above zero"}}
		return r
	}
	r.Ratio = p.Value / base.Value
	variance := 0.0
	for _, of := range []Percentile{p, base} {
		if !of.HasInterval() || !(of.Low > 0) {
			r.Warnings = []Warning{{PointOnly, "one of the two has no interval, so their ratio has none"}}
			return r
		}
		sd := math.Log(of.High/of.Low) / (2 * normalQuantile((1+of.Confidence)/2))
		variance += sd * sd
	}
	off := math.Exp(normalQuantile((1+confidence)/2) * math.Sqrt(variance))
	r.Low, r.High = r.Ratio/off, r.Ratio*off
	r.Warnings = []Warning{{Approximation, "the interval is computed from those of the two percentiles"}}
	return r
}

// median of a sorted sample.
func median(sorted []float64) float64 {
	n := len(sorted)
	return middle(sorted[(n-1)/2], sorted[n/2])
}

// middle of two values, which stays finite where their sum does not.
func middle(a, b float64) float64 { return a/2 + b/2 }

// resampled draws as many values from a sorted sample as it has, with
// replacement, and returns a percentile of them. Counting how often each was
// drawn gives the new sample in order without sorting it. The counts are scratch.
func resampled(rng *rand.Rand, sorted []float64, counts []int, share float64) float64 {
	n := len(sorted)
	clear(counts)
	for range n {
		counts[rng.IntN(n)]++
	}
	at := share * float64(n-1)
	whole := int(at)
	below, i := 0, 0
	for ; below+counts[i] <= whole; i++ {
		below += counts[i]
	}
	lower := sorted[i]
	part := at - float64(whole)
	if part == 0 {
		return lower
	}
	for ; below+counts[i] <= whole+1; i++ {
		below += counts[i]
	}
	if part == 0.5 {
		return middle(lower, sorted[i])
	}
	return lower*(1-part) + sorted[i]*part
}
