package result

import (
	"math"
	"slices"
	"sort"

	"github.com/aclements/go-moremath/stats"
)

// leastOrdered is the smallest sample whose order is tested: Student's t
// approximates Spearman's rho from ten values on.
const leastOrdered = 10

// Drifts tests whether the values rise or fall in the order in which they were
// taken: Spearman's rank correlation of value and place, from -1 to 1, and its
// two-sided p-value by Student's t (Kendall and Gibbons, "Rank Correlation
// Methods", section 4.16). Both are NaN below ten values, and where all are
// equal. A host that warms up or fills makes values drift, and then they are not
// independent, which every interval supposes.
func Drifts(values []float64) (rho, p float64) {
	n := len(values)
	if n < leastOrdered || slices.ContainsFunc(values, math.IsNaN) {
		return math.NaN(), math.NaN()
	}
	middle := float64(n+1) / 2
	var both, ofPlace, ofValue float64
	for i, r := range meanRanks(values) {
		place := float64(i+1) - middle
		both += place * (r - middle)
		ofPlace += place * place
		ofValue += (r - middle) * (r - middle)
	}
	if ofValue == 0 {
		return math.NaN(), math.NaN()
	}
	rho = both / math.Sqrt(ofPlace*ofValue)
	if math.Abs(rho) >= 1 {
		return math.Copysign(1, rho), 0
	}
	freedom := float64(n - 2)
	t := math.Abs(rho) * math.Sqrt(freedom/(1-rho*rho))
	return rho, 2 * stats.TDist{V: freedom}.CDF(-t)
}

// meanRanks gives each value its rank from 1, and equal ones their mean rank.
func meanRanks(values []float64) []float64 {
	sorted := inOrder(values)
	ranks := make([]float64, len(values))
	for i, v := range values {
		first, _ := slices.BinarySearch(sorted, v)
		next := first + sort.Search(len(sorted)-first, func(j int) bool { return sorted[first+j] > v })
		ranks[i] = float64(first+1+next) / 2
	}
	return ranks
}
