package selftest

import (
	"fmt"
	"math"
	"slices"

	"vmctr/report/result"
)

// same is A/A: one platform against itself.
//
// It is done in two ways. Dealt out at random, any difference between A and B is chance
// alone, whatever the host does meanwhile: the Mann-Whitney test is then the permutation
// test that it is by its definition, and its rate of false alarms must be 5%. With one
// of each in every round, as bench all measures, what the host does in a round falls on
// both alike: the test does not know that, and gives fewer false alarms. So more than 5%
// is a failure, and less is not.
//
// Every comparison has starts of its own, which follow each other without the rest that
// bench all has between samples: 8,000 with it would take a quarter of an hour. So they
// depend on one another more than those of bench all do.
func same(run *result.Run) []Check {
	return []Check{aa(run, AA, "dealt out at random", false), aa(run, AARounds, "one of each a round", true)}
}

func aa(run *result.Run, experiment, name string, conservative bool) Check {
	const part = "A/A: false alarms"
	a, b := ofSeries(run, experiment, A), ofSeries(run, experiment, B)
	n := min(len(a), len(b)) / SeriesSize
	if n == 0 {
		return missing(part, name, why(run, experiment, "process"))
	}
	called := 0
	var apart []float64 // how far the medians of two are apart
	for i := range n {
		x, y := a[i*SeriesSize:(i+1)*SeriesSize], b[i*SeriesSize:(i+1)*SeriesSize]
		if p, _ := result.MannWhitney(x, y); p < level {
			called++
		}
		apart = append(apart, math.Abs(result.Summarize(x).Median/result.Summarize(y).Median-1))
	}
	slices.Sort(apart)
	floor := apart[int(math.Ceil(0.95*float64(n)))-1]
	low, high := interval(called, n)
	p, wanted := twoSided(called, n, level), "5%, p > 0.01"
	if conservative {
		p, wanted = atLeast(called, n, level), "≤ 5%, p > 0.01"
	}
	c := Check{Part: part, Name: name, Wanted: wanted,
		Found: fmt.Sprintf("%s, %s to %s", percent(float64(called)/float64(n)), percent(low), percent(high)),
		Figures: map[string]float64{"called": float64(called), "comparisons": float64(n), "low": low, "high": high, "p": p,
			"samples_each": SeriesSize, "noise_floor": floor}}
	c.Why = fmt.Sprintf("%d of %d comparisons of process with itself call a difference, binomial p = %.2g; the medians of 95 of 100 pairs of %d samples are less than %s apart, which is the noise floor of such series", called, n, p, SeriesSize, percent(floor))
	if n < Comparisons {
		c.Verdict, c.Why = NotMeasured, fmt.Sprintf("only %d of %d comparisons: the time was over; a longer one (--time) has them all", n, Comparisons)
		return c
	}
	if float64(called)/float64(n) < level {
		return c.verdict(p > falseAt, "the harness calls too few differences (p = %.2g): its test sees less than it should", p)
	}
	return c.verdict(p > falseAt, "the harness calls differences that are not there: a p-value below 0.05 means less than it says (p = %.2g)", p)
}

// ofSeries are the starts of a series, in the order taken. Where a whole comparison is one
// round, each of its starts has a number.
func ofSeries(run *result.Run, experiment, series string) []float64 {
	var values []float64
	for i := range run.Samples {
		s := &run.Samples[i]
		if v, ok := s.Values["first_instruction_ns"]; ok && s.Experiment == experiment && s.Series == series && !s.Warmup && s.Error == "" {
			values = append(values, v)
		}
	}
	return values
}
