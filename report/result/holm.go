package result

import (
	"cmp"
	"math"
	"slices"
)

// Holm corrects the p-values of a family of comparisons for their number, so
// that the chance of one false "differs" among all of them stays below the
// level at which each is read (Holm, "A Simple Sequentially Rejective Multiple
// Test Procedure", Scandinavian Journal of Statistics 6, 1979): the smallest of
// m is multiplied by m, the next by m-1 and so on, and none is smaller than the
// one before it, nor larger than 1. This holds however the comparisons depend
// on one another, as those do that share a base.
//
// The result has the order of p. A NaN is a comparison that was not made: it
// stays NaN and does not count.
func Holm(p []float64) []float64 {
	order := make([]int, 0, len(p))
	out := slices.Repeat([]float64{math.NaN()}, len(p))
	for i, v := range p {
		if !math.IsNaN(v) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(p[i], p[j]) })
	most := 0.0
	for rank, i := range order {
		most = max(most, min(1, float64(len(order)-rank)*p[i]))
		out[i] = most
	}
	return out
}
