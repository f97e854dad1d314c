package result

import (
	"fmt"
	"math"
	"slices"
)

// farOff is the modified z-score from which a value is called an outlier.
const farOff = 3.5

// Outliers gives the indices of the values that lie far from the others, by
// the modified z-score of Iglewicz and Hoaglin ("How to Detect and Handle
// Outliers", 1993): 0.6745 times the distance from the median over the median
// of all such distances (MAD), which is a standard deviation for a bell, and
// which the outliers themselves do not move. A score above 3.5 is far off. Where
// more than half of the values are equal the MAD is zero, and 1.2533 times the
// mean distance stands for it, as they propose.
//
// An outlier is a value to look at, not one to remove: nothing here does.
func Outliers(values []float64) []int {
	if len(values) < minSamples || slices.ContainsFunc(values, math.IsNaN) {
		return nil
	}
	sorted := inOrder(values)
	middle := median(sorted)
	spread := medianDistance(sorted, middle) / 0.6745
	if spread == 0 {
		mean := 0.0
		for _, v := range values {
			mean += math.Abs(v-middle) / float64(len(values))
		}
		spread = 1.2533 * mean
	}
	var far []int
	for i, v := range values {
		if math.Abs(v-middle) > farOff*spread {
			far = append(far, i)
		}
	}
	return far
}

// medianDistance is the median of the distances of a sorted sample from a value. They rise
// from there to both sides, so that those of both sides are in order already.
func medianDistance(sorted []float64, from float64) float64 {
	right, _ := slices.BinarySearch(sorted, from)
	left := right - 1
	var last, before float64
	for range len(sorted)/2 + 1 {
		before = last
		if left >= 0 && (right == len(sorted) || from-sorted[left] <= sorted[right]-from) {
			last, left = from-sorted[left], left-1
		} else {
			last, right = sorted[right]-from, right+1
		}
	}
	if len(sorted)%2 == 1 {
		return last
	}
	return middle(before, last)
}

// Examine gives what a reader must know of the shape of a sample and of the
// order in which it was taken: outliers, more than one group, a drift. The
// tests are read at 1%, since every figure of a report has them.
func Examine(values []float64) []Warning {
	var w []Warning
	sorted := inOrder(values)
	if n := len(Outliers(sorted)); n > 0 {
		w = append(w, Warning{FarOff, fmt.Sprintf("%d of %d values lie far from the others (modified z-score above 3.5); they count like all others", n, len(values))})
	}
	if Multimodal(sorted) {
		w = append(w, Warning{Bimodal, "the values fall into more than one group (dip test, p < 0.01), which a median alone does not describe"})
	}
	if rho, p := Drifts(values); p < odd {
		direction := map[bool]string{true: "rise", false: "fall"}[rho > 0]
		w = append(w, Warning{Drift, fmt.Sprintf("the values %s over the run (Spearman's rank correlation %.2f, %s)", direction, rho, FormatP(p))})
	}
	return w
}

// odd is the p-value below which a sample is said to be odd.
const odd = 0.01

// FormatP prints a p-value for people: "p = 0.031", "p < 0.001", "–" for none.
func FormatP(p float64) string {
	switch {
	case math.IsNaN(p):
		return none
	case p < 0.001:
		return "p < 0.001"
	case p > 0.995:
		return "p = 1"
	default:
		return "p = " + fmt.Sprintf("%.2g", p)
	}
}
