package selftest

import "math"

// binomial is the probability of k successes in n trials of chance p.
func binomial(k, n int, p float64) float64 {
	switch {
	case k < 0 || k > n:
		return 0
	case p <= 0 || p >= 1:
		if (p <= 0) == (k == 0) && (p >= 1) == (k == n) {
			return 1
		}
		return 0
	}
	lg := func(n int) float64 { v, _ := math.Lgamma(float64(n) + 1); return v }
	return math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// atLeast is the probability of k successes or more.
func atLeast(k, n int, p float64) float64 {
	sum := 0.0
	for i := max(k, 0); i <= n; i++ {
		sum += binomial(i, n, p)
	}
	return min(sum, 1)
}

// twoSided is the p-value of the exact binomial test: the probability of all that is
// no more probable than k.
func twoSided(k, n int, p float64) float64 {
	const same = 1 + 1e-7 // two that are equally probable, but for rounding
	most := binomial(k, n, p) * same
	sum := 0.0
	for i := range n + 1 {
		if b := binomial(i, n, p); b <= most {
			sum += b
		}
	}
	return min(sum, 1)
}

// interval is the 95% confidence interval of a chance, of which k of n trials had
// success (Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in
// the Case of the Binomial", Biometrika 26, 1934): it holds the true one at least so
// often, however few trials there are.
func interval(k, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	// Both tails rise or fall with p, so halving finds where they are 2.5%.
	solve := func(below func(p float64) bool) float64 {
		low, high := 0.0, 1.0
		for range 60 {
			if mid := (low + high) / 2; below(mid) {
				low = mid
			} else {
				high = mid
			}
		}
		return (low + high) / 2
	}
	const tail = 0.025
	if k > 0 {
		low = solve(func(p float64) bool { return atLeast(k, n, p) < tail })
	}
	if high = 1; k < n {
		high = solve(func(p float64) bool { return 1-atLeast(k+1, n, p) > tail })
	}
	return low, high
}
