package result

import (
	"fmt"
	"math"
	"slices"
)

// Percentile is the value that a share of all stay below. Value, Low and High
// have the unit of the values.
type Percentile struct {
	Share      float64 // 0.95 for the 95th percentile
	Value      float64 // of the sample; NaN when there is none
	Low, High  float64 // 95% confidence interval; NaN when there is none
	Confidence float64 // what the interval attains, at least 0.95; 0 when there is none
	Warnings   []Warning
}

// PercentileOf gives a percentile of a sample with its 95% interval. The
// percentile lies between the two nearest values, as R and numpy have it
// (Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American
// Statistician 50, 1996, type 7).
//
// The interval lies between two values, as that of the median does (see
// [Summarize]), with at most 2.5% on either side: how many values are below
// the true percentile follows the binomial distribution with that share (David
// and Nagaraja, "Order Statistics", section 7.1). A percentile far out needs
// many values, since one above it must have been seen: the 95th needs 72, the
// 99th 368. With fewer it is a point with a warning, and the true one may lie
// above all that was measured.
func PercentileOf(values []float64, share float64) Percentile {
	p := Percentile{Share: share, Value: math.NaN(), Low: math.NaN(), High: math.NaN()}
	switch {
	case len(values) == 0:
		p.Warnings = []Warning{{NoSamples, "no samples"}}
		return p
	case slices.ContainsFunc(values, math.IsNaN):
		p.Warnings = []Warning{{NotANumber, "a sample is not a number"}}
		return p
	}
	sorted := inOrder(values)
	p.Value = quantile(sorted, share)
	low, high, confidence := orderInterval(len(sorted), share)
	if confidence == 0 {
		p.Warnings = []Warning{{PointOnly, fmt.Sprintf("percentile %g without an interval, which needs >= %d samples", 100*share, leastSamples(share))}}
		return p
	}
	p.Low, p.High, p.Confidence = sorted[low], sorted[high], confidence
	return p
}

// quantile of a sorted sample: Hyndman and Fan's type 7.
func quantile(sorted []float64, share float64) float64 {
	at := share * float64(len(sorted)-1)
	i := int(at)
	if f := at - float64(i); f > 0 {
		return sorted[i]*(1-f) + sorted[i+1]*f
	}
	return sorted[i]
}

// leastSamples is the smallest sample with an interval of a percentile: the
// largest value, or for a small share the smallest, must lie beyond it in all
// but 2.5% of samples.
func leastSamples(share float64) int {
	const tail = (1 - confidence) / 2
	return int(math.Ceil(math.Log(tail) / math.Log(max(share, 1-share))))
}

// orderInterval gives the indices of the two of n sorted values between which
// a percentile lies, and how surely; 0 when there are no such values.
func orderInterval(n int, share float64) (low, high int, attained float64) {
	if n < leastSamples(share) {
		return 0, 0, 0
	}
	const tail = (1 - confidence) / 2
	// below(k), the probability that at most k values lie below the percentile,
	// is summed up from as far down as it is nothing: 12 standard deviations.
	mean, sd := float64(n)*share, math.Sqrt(float64(n)*share*(1-share))
	first, last := max(0, int(mean-12*sd)-1), min(n, int(mean+12*sd)+1)
	sum, left, right := 0.0, 0.0, 0.0
	low, high = -1, -1
	for k := first; k <= last; k++ {
		// The low-th value (from 0) is above the percentile when at most low
		// values are below it.
		sum += binomial(n, k, share)
		if sum <= tail {
			low, left = k, sum
		}
		if high < 0 && sum >= 1-tail {
			high, right = k, sum
			break
		}
	}
	if low < 0 || high < 0 || high >= n {
		return 0, 0, 0
	}
	return low, high, right - left
}

// binomial is the probability of k in n.
func binomial(n, k int, p float64) float64 {
	lg := func(n int) float64 { v, _ := math.Lgamma(float64(n) + 1); return v }
	return math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// HasInterval tells whether there were enough values for an interval.
func (p Percentile) HasInterval() bool { return p.Confidence > 0 }

// FormatInterval prints the interval with one unit for both ends, or "–".
func (p Percentile) FormatInterval(unit string) string { return formatInterval(p.Low, p.High, unit) }
