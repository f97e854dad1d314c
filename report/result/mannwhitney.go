package result

import (
	"fmt"
	"math"
	"slices"
)

// exactMost bounds the cost of an exact test, which grows with the square of
// the smaller sample's size times that of both: 25 against 25 take some
// milliseconds, and above it the normal approximation is off by less than a
// hundredth of p.
const exactMost = 25 * 50

// MannWhitney gives the two-sided p-value of the Mann-Whitney U test: how
// likely two samples from one and the same distribution would lie at least as
// far apart, by ranks, as these do (Mann and Whitney, "On a Test of Whether
// one of Two Random Variables is Stochastically Larger than the Other", Annals
// of Mathematical Statistics 18, 1947). It assumes nothing about the shape of
// the distribution.
//
// Small samples have the exact distribution over all ways to deal the values
// out to the two samples, equal values with their mean rank (Klotz, "The
// Wilcoxon, Ties, and the Computer", Journal of the American Statistical
// Association 61, 1966): p is the share of ways in which U is at least as far
// from its mean as observed, on either side. With ties this distribution is
// not symmetric, which is why golang.org/x/perf/benchmath, which doubles one
// tail, is not used here. Larger samples have the normal approximation, with
// the corrections for ties and for continuity.
//
// p is NaN when a sample is empty or holds what is not a number, and 1 when
// all values are equal. A warning says when no values whatever could have given
// p below 0.05. It takes time by n log n.
func MannWhitney(a, b []float64) (p float64, warnings []Warning) {
	if len(a) == 0 || len(b) == 0 {
		return math.NaN(), []Warning{{NoSamples, "no samples to compare"}}
	}
	if slices.ContainsFunc(a, math.IsNaN) || slices.ContainsFunc(b, math.IsNaN) {
		return math.NaN(), []Warning{{NotANumber, "a sample is not a number"}}
	}
	if least := leastP(len(a), len(b)); least > 1-confidence {
		warnings = few(fmt.Sprintf("too few samples to show a difference: with %d and %d values p is at least %.2g", len(a), len(b), least))
	}
	r := rank(a, b)
	if len(r.ties) == 1 {
		return 1, append(warnings, Warning{AllEqual, "all values are equal"})
	}
	if isSmall(len(a), len(b)) {
		return r.exact(), warnings
	}
	return r.normal(), warnings
}

// isSmall tells whether two samples have the exact test.
func isSmall(n1, n2 int) bool {
	// By parts, since a product of two numbers of samples fits always.
	return min(n1, n2)*(n1+n2) <= exactMost
}

// leastP is the smallest p that samples of these sizes can give: that of two
// samples that do not overlap, 2 in n1+n2 over n1.
func leastP(n1, n2 int) float64 {
	if isSmall(n1, n2) {
		lg := func(n int) float64 { v, _ := math.Lgamma(float64(n) + 1); return v }
		return min(1, 2*math.Exp(lg(n1)+lg(n2)-lg(n1+n2)))
	}
	n, m := float64(n1), float64(n2)
	return twoSided((n*m/2 - 0.5) / math.Sqrt(n*m*(n+m+1)/12))
}

// twoSided is the probability that a standard normal variable is at least as
// far from zero as z.
func twoSided(z float64) float64 { return math.Erfc(math.Abs(z) / math.Sqrt2) }

// ranked are two samples by ranks. Ranks are doubled, so that the mean rank of
// equal values is whole.
type ranked struct {
	n1, n2 int
	sum    int   // doubled ranks of the first sample
	ties   []int // how many values there are of each different one, rising
}

func rank(a, b []float64) ranked {
	r := ranked{n1: len(a), n2: len(b)}
	a, b = inOrder(a), inOrder(b)
	for i, j := 0, 0; i < len(a) || j < len(b); {
		var v float64
		switch {
		case j == len(b), i < len(a) && a[i] < b[j]:
			v = a[i]
		default:
			v = b[j]
		}
		before, mine := i+j, i
		for i < len(a) && a[i] == v {
			i++
		}
		for j < len(b) && b[j] == v {
			j++
		}
		r.sum += (i - mine) * (before + 1 + i + j) // the first rank and the last
		r.ties = append(r.ties, i+j-before)
	}
	return r
}

// deviation is by how much twice U is off its mean.
func (r ranked) deviation() int { return r.sum - r.n1*(r.n1+r.n2+1) }

// exact counts in how many ways n1 of all ranks can be chosen so that their sum
// is at least as far from its mean as observed. Counts are floating-point
// numbers: they are only ever added.
func (r ranked) exact() float64 {
	// The smaller sample is chosen: the sums of both are as far off.
	k, n := min(r.n1, r.n2), r.n1+r.n2
	ways := make([][]float64, k+1) // by how many are chosen and by their sum
	for i := range ways {
		ways[i] = make([]float64, i*2*n+1)
	}
	ways[0][0] = 1
	before := 0
	for _, t := range r.ties {
		doubled := 2*before + t + 1
		for range t {
			for i := min(k, before+1); i >= 1; i-- {
				for s, w := range ways[i-1] {
					if w > 0 {
						ways[i][s+doubled] += w
					}
				}
			}
			before++
		}
	}
	off := r.deviation()
	if off < 0 {
		off = -off
	}
	mean := k * (n + 1)
	var far, all float64
	for s, w := range ways[k] {
		all += w
		if s-mean >= off || mean-s >= off {
			far += w
		}
	}
	return far / all
}

// normal is the approximation for larger samples.
func (r ranked) normal() float64 {
	n1, n2 := float64(r.n1), float64(r.n2)
	n := n1 + n2
	var ties float64
	for _, t := range r.ties {
		f := float64(t)
		ties += f * (f*f - 1)
	}
	sigma := math.Sqrt(n1 * n2 / 12 * (n + 1 - ties/(n*(n-1))))
	off := math.Abs(float64(r.deviation())) / 2
	// U comes in whole numbers, half of which belongs to either side.
	return twoSided(max(0, off-0.5) / sigma)
}
