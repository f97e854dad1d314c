package selftest

import (
	"math"
	"slices"
)

// A trend is how y changes with x: a slope and its 95% interval, which is NaN when
// there are too few points.
type trend struct{ slope, low, high float64 }

// theilSen is the median of the slopes between all pairs of points (Sen, "Estimates of
// the Regression Coefficient Based on Kendall's Tau", Journal of the American Statistical
// Association 63, 1968): a few points that are far off, as a busy host gives, do not move
// it. Its interval lies between two of those slopes, and takes the points' errors for
// independent.
func theilSen(x, y []float64) trend {
	nan := math.NaN()
	var slopes []float64
	for i := range x {
		for j := range i {
			if x[i] != x[j] {
				slopes = append(slopes, (y[i]-y[j])/(x[i]-x[j]))
			}
		}
	}
	if len(slopes) == 0 {
		return trend{nan, nan, nan}
	}
	slices.Sort(slopes)
	pairs := len(slopes)
	t := trend{(slopes[(pairs-1)/2] + slopes[pairs/2]) / 2, nan, nan}
	n := float64(len(x))
	c := 1.96 * math.Sqrt(n*(n-1)*(2*n+5)/18) // of Kendall's statistic
	if low, high := int(math.Floor((float64(pairs)-c)/2))-1, int(math.Ceil((float64(pairs)+c)/2)); low >= 0 && high < pairs {
		t.low, t.high = slopes[low], slopes[high]
	}
	return t
}

func (t trend) hasInterval() bool { return !math.IsNaN(t.low) }

// holds tells whether the interval has v in it.
func (t trend) holds(v float64) bool { return t.low <= v && v <= t.high }
