package result

import (
	"math"
	"slices"
)

// power is the probability with which a difference is to be found.
const power = 0.8

// Detectable is the smallest relative difference of two medians that samples
// such as these would have shown: 0.05 means that a platform slower by 5% would
// have been found with a probability of 80%, by a two-sided [MannWhitney] at 5%
// after Holm's correction in a family of so many comparisons. Of a smaller
// difference the samples say nothing: no difference found is not no difference.
//
// It is computed from the samples themselves, as sizes of samples are planned
// with this test (Noether, "Sample Size Determination for Some Common
// Nonparametric Tests", Journal of the American Statistical Association 82,
// 1987): the test finds a difference with that power when a value of the one
// sample is above one of the other with a probability of 1/2 + (z(1-α/2) +
// z(power)) / √(12 n m / (n+m+1)), where α is 5% over the family, the level
// that Holm's correction has for the hardest comparison. The values are scaled
// to the median of the base, so that nothing differs but the shape, and then by
// the factor that gives this probability, found by bisection.
//
// Of more than 2,000 values on a side it is computed from 2,000
// of their quantiles.
//
// It is +Inf when no difference, however large, could have been found, and NaN
// without samples, or where a median is not above zero.
func Detectable(values, base []float64, family int) float64 {
	bad := func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }
	if len(values) == 0 || len(base) == 0 || slices.ContainsFunc(values, bad) || slices.ContainsFunc(base, bad) {
		return math.NaN()
	}
	values, base = inOrder(values), inOrder(base)
	own, middle := median(values), median(base)
	if !(own > 0) || !(middle > 0) {
		return math.NaN()
	}
	alpha := (1 - confidence) / float64(max(1, family))
	n, m := float64(len(values)), float64(len(base))
	above := (normalQuantile(1-alpha/2) + normalQuantile(power)) / math.Sqrt(12*n*m/(n+m+1))
	if above > 0.5 || leastP(len(values), len(base)) > alpha {
		return math.Inf(1)
	}
	// Of many values, as many in equal steps have the same shape.
	values, base = thinned(values), thinned(base)
	scaled := make([]float64, len(values))
	found := func(factor float64) bool {
		for i, v := range values {
			scaled[i] = v / own * middle * factor
		}
		return sortedDelta(scaled, base)/2 >= above
	}
	low, high := 1.0, 2.0
	for ; !found(high); low, high = high, high*2 {
		if high > 1e6 {
			return math.Inf(1) // values at or below zero stay below, however large the factor is
		}
	}
	for high-low > 1e-6*low {
		if half := (low + high) / 2; found(half) {
			high = half
		} else {
			low = half
		}
	}
	return high - 1
}

// thinned are at most 2,000 of the values of a sorted sample, in equal steps.
func thinned(sorted []float64) []float64 {
	const most = 2000
	if len(sorted) <= most {
		return sorted
	}
	list := make([]float64, most)
	for i := range list {
		list[i] = quantile(sorted, (float64(i)+0.5)/most)
	}
	return list
}

// normalQuantile is the quantile of the standard normal distribution.
func normalQuantile(p float64) float64 { return -math.Sqrt2 * math.Erfcinv(2*p) }
