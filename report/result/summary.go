// # Statistics
//
// The code that reads a journal is of one opinion, and this is it.
//
// The middle of a sample is its median. Times and sizes on a real host have a
// hard floor and a long tail: nothing makes a start faster than the machine
// allows, and much makes it slower. A mean moves with every accident of the
// tail, and a standard deviation describes a bell that is not there. The
// median says what half of all starts stay below, and a few accidents do not
// move it.
//
// Its uncertainty is an interval between two of the values themselves. Each
// value lies below the true median with probability one half, whatever the
// distribution, so the number of values below it follows the binomial
// distribution, and counting tells how sure one can be that the true median
// lies between, say, the 8th and the 18th of 25. Nothing is assumed about the
// shape. That the values are independent is: a host that drifts while they are
// taken breaks it, which no statistic can mend; the random order of the rounds
// sees to it that the drift falls on all platforms alike. The interval is at
// least as sure as asked for, since counts come in whole numbers: of six
// values, the smallest and the largest hold the true median between them in 1 -
// 2/2^6 = 96.9% of all experiments. Of five it is 93.75%: below six values
// there is no 95% interval, and none is shown.
//
// Nothing is removed. A slow start happened, and a rule that throws it away
// decides the result; the median does not need its help. Warm-ups and failed
// samples are not counted, and both stay in the journal.
//
// Two platforms are compared by the ratio of their medians, with an interval
// that comes from resampling (see [Compare]). Two intervals of two medians say
// less: they can overlap while the ratio is clearly not 1.
//
// Whether two platforms differ at all is asked of a test of ranks, which assumes
// nothing about the shape either ([MannWhitney]). A report asks it many times,
// and of a hundred such questions about equal things five would be answered yes:
// so the p-values are corrected for their number ([Holm]). How clearly they
// differ is [CliffsDelta], by how much the ratio. Where no difference is found,
// [Detectable] says how large one would have had to be: less than that is not
// claimed to be absent.
//
// What is thin is said. A result with too few values carries a [Warning] and no
// interval; it is neither an error nor silently a number. Nor is what is odd
// passed over: values far from the others, values in more than one group, values
// that drift ([Examine]), and whether it mattered what ran before
// ([Run.Preceded]).
package result

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// confidence is the level of every interval.
const confidence = 0.95

// minSamples is the smallest sample whose extremes are a 95% interval of its
// median: 1 - 2/2^n first reaches 0.95 with n = 6.
const minSamples = 6

// Summary is what a sample of one value says. Median, Low and High have the
// unit of the values.
type Summary struct {
	N          int     // number of values
	Median     float64 // NaN when there is no value
	Low, High  float64 // 95% confidence interval of the median; NaN when there is none
	Confidence float64 // what the interval attains, at least 0.95; 0 when there is none
	Warnings   []Warning
	Values     []float64 // those that were given, in the order taken
	// Sorted are the same from the smallest to the largest, nil if one is not a number. The
	// statistics that do not ask for the order taken are faster with these.
	Sorted []float64
}

// inOrder are the values from the smallest to the largest: the same slice if they are already.
// None of them may be NaN.
func inOrder(values []float64) []float64 {
	if slices.IsSorted(values) {
		return values
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted
}

// Summarize gives the median of a sample and its 95% confidence interval,
// which lies between two of the values: benchmath.AssumeNothing. It does
// not change the values, and keeps them. A sample that is too small for an interval has Low and High
// NaN and a warning.
//
// Where two intervals of values are equally good, the lower one is taken, so
// that of eight values the interval ends with the seventh. Above 30 values
// benchmath approximates the binomial distribution by the normal one, and the
// Confidence it gives can be 0.002 too low, never too high.
func Summarize(values []float64) Summary {
	s := Summary{N: len(values), Median: math.NaN(), Low: math.NaN(), High: math.NaN(), Values: values}
	if s.N == 0 {
		s.Warnings = []Warning{{NoSamples, "no samples"}}
		return s
	}
	if slices.ContainsFunc(values, math.IsNaN) {
		s.Warnings = []Warning{{NotANumber, "a sample is not a number"}}
		return s
	}
	s.Sorted = inOrder(values)
	sample := &benchmath.Sample{Values: s.Sorted, Thresholds: &benchmath.DefaultThresholds}
	sum := benchmath.AssumeNothing.Summary(sample, confidence)
	s.Median = sum.Center
	if s.N < minSamples {
		// One end of benchmath's can be finite here: five values go from -Inf
		// to their largest. Half an interval would be read as a whole one.
		s.Warnings = []Warning{{FewSamples, "need >= 6 samples for a 95% interval"}}
		return s
	}
	s.Low, s.High, s.Confidence = sum.Lo, sum.Hi, sum.Confidence
	for _, w := range sum.Warnings {
		s.Warnings = append(s.Warnings, Warning{Statistics, w.Error()})
	}
	return s
}

// HasInterval tells whether there were enough values for an interval.
func (s Summary) HasInterval() bool { return s.Confidence > 0 }
