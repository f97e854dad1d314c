package result

import (
	"math"
	"slices"
)

// Multimodal tells whether the values fall into more than one group, by
// Hartigan's dip test at 1% (Hartigan and Hartigan, "The Dip Test of
// Unimodality", Annals of Statistics 13, 1985). The dip is the distance from
// the sample's distribution to the nearest one with a single peak. It is held
// against the dips of samples of the uniform distribution, which has the
// largest dips of all with one peak, so that a long tail alone is never called
// a second group: a cruder measure such as Sarle's coefficient, of skewness and
// kurtosis, calls every skewed sample bimodal, and all times are skewed.
//
// Fewer than 10 values are never called so, since hardly any dip would be large
// enough. Values that come in steps, as memory comes in pages, are spread evenly
// over their step, the smallest distance between two different ones: else every
// step would be a group. So two values and nothing else are not called groups.
func Multimodal(values []float64) bool {
	n := len(values)
	if n < 10 || slices.ContainsFunc(values, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
		return false
	}
	return dip(spreadTies(inOrder(values)))*math.Sqrt(float64(n)) > largestDip(n)
}

// dips are the dips, times the square root of n, that 99 of 100 samples of the
// uniform distribution stay below: by 100,000 samples of each n with dip.go
// (TestDipTable; the largest are the limit). They agree with the table of the R
// package diptest within 1%.
var dips = []struct {
	n   int
	dip float64
}{{10, 0.505}, {15, 0.527}, {20, 0.540}, {30, 0.556}, {50, 0.574}, {100, 0.591}, {200, 0.604}, {500, 0.614}, {1000, 0.620}, {5000, 0.627}, {50_000, 0.632}}

// largestDip is between two of the table in proportion to 1/√n, by which it
// approaches its limit.
func largestDip(n int) float64 {
	for i := 1; i < len(dips); i++ {
		if a, b := dips[i-1], dips[i]; n <= b.n {
			at := func(n int) float64 { return 1 / math.Sqrt(float64(n)) }
			f := (at(n) - at(a.n)) / (at(b.n) - at(a.n))
			return a.dip + f*(b.dip-a.dip)
		}
	}
	return dips[len(dips)-1].dip
}

// spreadTies spreads equal values of a sorted sample evenly over the smallest
// distance of two that differ.
func spreadTies(sorted []float64) []float64 {
	step := math.Inf(1)
	ties := false
	for i := 1; i < len(sorted); i++ {
		if d := sorted[i] - sorted[i-1]; d > 0 {
			step = min(step, d)
		} else {
			ties = true
		}
	}
	if !ties || math.IsInf(step, 0) {
		return sorted
	}
	out := make([]float64, 0, len(sorted))
	for i := 0; i < len(sorted); {
		j := i
		for j < len(sorted) && sorted[j] == sorted[i] {
			j++
		}
		for k := range j - i {
			out = append(out, sorted[i]+step*((float64(k)+0.5)/float64(j-i)-0.5))
		}
		i = j
	}
	return out
}

// dip of a sorted sample: half of the largest distance, in values, between its
// distribution and the nearest with one peak, over n. The algorithm is AS 217
// (Hartigan, Applied Statistics 34, 1985) with the correction of Maechler (R
// package diptest): left of the peak the nearest distribution is convex, right
// of it concave, and the interval of the peak shrinks until the distance
// outside of it is no longer the smaller one.
func dip(x []float64) float64 {
	n := len(x)
	if n < 2 || x[0] == x[n-1] {
		return 0
	}
	convex, concave := hulls(x)
	low, high, largest := 0, n-1, 1.0
	for {
		// The corners of the greatest convex minorant, from the right to the left, and
		// of the least concave majorant, from the left to the right.
		minorant, majorant := []int{high}, []int{low}
		for i := high; i > low; i = convex[i] {
			minorant = append(minorant, convex[i])
		}
		for i := low; i < high; i = concave[i] {
			majorant = append(majorant, concave[i])
		}
		left, right, apart := widest(x, minorant, majorant)
		if apart < largest {
			break
		}
		for i := left; i+1 < len(minorant); i++ {
			largest = max(largest, sag(x, minorant[i+1], minorant[i], 1))
		}
		for i := right; i+1 < len(majorant); i++ {
			largest = max(largest, sag(x, majorant[i], majorant[i+1], -1))
		}
		if low == minorant[left] && high == majorant[right] {
			break
		}
		low, high = minorant[left], majorant[right]
	}
	return largest / float64(2*n)
}

// hulls gives for each value the corner before it of the convex minorant of the
// values up to it, and the corner after it of the concave majorant of the
// values from it on.
func hulls(x []float64) (convex, concave []int) {
	n := len(x)
	convex, concave = make([]int, n), make([]int, n)
	for j := 1; j < n; j++ {
		c := j - 1
		for c > 0 && (x[j]-x[c])*float64(c-convex[c]) >= (x[c]-x[convex[c]])*float64(j-c) {
			c = convex[c]
		}
		convex[j] = c
	}
	concave[n-1] = n - 1
	for k := n - 2; k >= 0; k-- {
		c := k + 1
		for c < n-1 && (x[k]-x[c])*float64(c-concave[c]) >= (x[c]-x[concave[c]])*float64(k-c) {
			c = concave[c]
		}
		concave[k] = c
	}
	return convex, concave
}

// widest finds where minorant and majorant are farthest apart, and gives the
// corners at it.
func widest(x []float64, minorant, majorant []int) (left, right int, apart float64) {
	left, right = len(minorant)-1, len(majorant)-1
	if len(minorant) == 2 && len(majorant) == 2 {
		return left, right, 1
	}
	i, j := len(minorant)-2, 1
	for {
		lower, upper := minorant[i], majorant[j]
		if lower > upper {
			before := minorant[i+1]
			d := float64(upper-before+1) - (x[upper]-x[before])*float64(lower-before)/(x[lower]-x[before])
			j++
			if d >= apart {
				apart, left, right = d, i+1, j-1
			}
		} else {
			before := majorant[j-1]
			d := (x[lower]-x[before])*float64(upper-before)/(x[upper]-x[before]) - float64(lower-before-1)
			i--
			if d >= apart {
				apart, left, right = d, i+1, j
			}
		}
		i, j = max(i, 0), min(j, len(majorant)-1)
		if minorant[i] == majorant[j] {
			return left, right, apart
		}
	}
}

// sag is the largest distance between the distribution and the straight line
// between two corners, above it (side 1) or below it (side -1).
func sag(x []float64, from, to int, side float64) float64 {
	most := 1.0
	if to-from <= 1 || x[from] == x[to] {
		return most
	}
	slope := float64(to-from) / (x[to] - x[from])
	for i := from; i <= to; i++ {
		most = max(most, side*(float64(i-from)-(x[i]-x[from])*slope)+1)
	}
	return most
}
