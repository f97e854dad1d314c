package result

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// A Line is what values over a number of things come to: Slope is what one more of them
// adds, and Intercept what is left at none. Both have the unit of the values.
type Line struct {
	N                           int     // number of points
	Slope, Low, High            float64 // with a 95% interval; NaN where there is none
	Intercept                   float64
	InterceptLow, InterceptHigh float64 // 95% interval; NaN where there is none
	Warnings                    []Warning
}

// minLinePoints is from where on a line has an interval. Kendall's statistic, on which it
// rests, is then near enough to normal.
const minLinePoints = 8

// FitLine fits a line by the estimator of Theil and Sen: the slope is the median of those
// between any two points that differ in x, and the intercept the median of what the
// values then leave. Least squares would give a single value that lies far off, as the
// memory of a whole host does now and then, a weight that grows with the distance; the
// medians hold while no more than 29% of the points are off.
//
// The interval of the slope is Sen's ("Estimates of the Regression Coefficient Based on
// Kendall's Tau", JASA 63, 1968, section 3), which allows for several points of one x. For
// that of the intercept, the slope takes any value of its 97.5% interval, and the median
// of what is left has a 97.5% interval for each: both together miss it in 5% at most.
func FitLine(x, y []float64) Line {
	l := Line{N: min(len(x), len(y)), Slope: math.NaN(), Low: math.NaN(), High: math.NaN(), Intercept: math.NaN(), InterceptLow: math.NaN(), InterceptHigh: math.NaN()}
	var slopes []float64
	for i := range l.N {
		for j := range i {
			if x[i] != x[j] {
				slopes = append(slopes, (y[i]-y[j])/(x[i]-x[j]))
			}
		}
	}
	if len(slopes) == 0 {
		l.Warnings = few("a line needs points at two places at least")
		return l
	}
	slices.Sort(slopes)
	l.Slope = median(slopes)
	l.Intercept = median(left(x, y, l.Slope))
	if l.N < minLinePoints {
		l.Warnings = few("a line needs 8 points or more for an interval")
		return l
	}
	deviation := math.Sqrt(kendallVariance(x[:l.N]))
	var ok bool
	if l.Low, l.High, ok = between(slopes, 1.960*deviation); !ok {
		l.Warnings = few("too few of the points differ in their number for an interval")
		return l
	}
	if low, high, ok := between(slopes, 2.241*deviation); ok { // 97.5%
		at := func(slope float64) benchmath.Summary {
			return benchmath.AssumeNothing.Summary(benchmath.NewSample(left(x, y, slope), &benchmath.DefaultThresholds), 0.975)
		}
		a, b := at(low), at(high)
		lo, hi := min(a.Lo, b.Lo), max(a.Hi, b.Hi)
		if !math.IsInf(lo, 0) && !math.IsInf(hi, 0) {
			l.InterceptLow, l.InterceptHigh = lo, hi
		}
	}
	return l
}

// HasInterval tells whether the slope has one.
func (l Line) HasInterval() bool { return !math.IsNaN(l.Low) && !math.IsNaN(l.High) }

// left is what a line of a slope through the origin leaves of the values, sorted.
func left(x, y []float64, slope float64) []float64 {
	rest := make([]float64, min(len(x), len(y)))
	for i := range rest {
		rest[i] = y[i] - slope*x[i]
	}
	slices.Sort(rest)
	return rest
}

// kendallVariance is that of Kendall's S for points of which some have the same x (Sen
// 1968, equation 2.6).
func kendallVariance(x []float64) float64 {
	term := func(n float64) float64 { return n * (n - 1) * (2*n + 5) }
	count := map[float64]float64{}
	for _, v := range x {
		count[v]++
	}
	variance := term(float64(len(x)))
	for _, n := range count {
		variance -= term(n)
	}
	return variance / 18
}

// between are the sorted slopes that lie c of Kendall's S apart, around the middle.
func between(slopes []float64, c float64) (low, high float64, ok bool) {
	n := float64(len(slopes))
	below, above := int(math.Floor((n-c)/2)), int(math.Ceil((n+c)/2))
	if below < 1 || above >= len(slopes) {
		return math.NaN(), math.NaN(), false
	}
	return slopes[below-1], slopes[above], true
}
