package selftest

import (
	"fmt"
	"slices"
	"strings"

	"vmctr/report/result"
)

// Limits of one trial of an injected delay, in samples of each side: before the least the
// harness does not look at the width, and at the most the trial is given up.
const (
	leastSamples = 20
	mostSamples  = 500
)

// found is what became of the trials of one delay.
type found struct {
	percent        int
	trials, called int     // those that reached HalfWidth, and in which it was found
	samples        float64 // of each side, in the median trial
	given, seen    int     // those that did not reach it, and in which it was found
	best           float64 // the narrowest half-width of those
}

// injected tells how often a known delay was found in the starts of the container.
//
// A trial is what the profile standard does: it goes on, a start without and a start
// with the delay in each round, until the intervals of both medians are narrow enough.
// Then it is tested whether the one is slower (Mann-Whitney, 5%). The next trial goes on
// with new samples: none is used twice.
func injected(run *result.Run) []Check {
	const part = "Injected delay, container"
	var list []Check
	for _, f := range foundIn(run) {
		name := fmt.Sprintf("%d%%", f.percent)
		if f.trials == 0 {
			c := missing(part, name, why(run, experimentOf(f.percent), "container"))
			if f.given > 0 {
				c.Found = fmt.Sprintf("%d of %d, at ±%s", f.seen, f.given, percent(f.best))
				c.Why = fmt.Sprintf("%d samples a side were not enough here for a half-width of %s: so this host cannot tell, unless it becomes quieter", mostSamples, percent(HalfWidth))
			} else if len(run.Failures(experimentOf(f.percent), "container")) == 0 && strings.HasPrefix(c.Why, "there was no time") {
				c.Why = fmt.Sprintf("no trial reached a half-width of %s in the time; a longer selftest (--time), or a quieter host, may", percent(HalfWidth))
			}
			list = append(list, c)
			continue
		}
		rate := float64(f.called) / float64(f.trials)
		low, high := interval(f.called, f.trials)
		c := Check{Part: part, Name: name, Verdict: Told,
			Found:   fmt.Sprintf("%s, %s to %s", percent(rate), percent(low), percent(high)),
			Figures: map[string]float64{"found": float64(f.called), "trials": float64(f.trials), "low": low, "high": high, "samples_each": f.samples, "not_reached": float64(f.given)}}
		c.Why = fmt.Sprintf("found in %d of %d trials, which reached a half-width of %s with %.0f samples a side", f.called, f.trials, percent(HalfWidth), f.samples)
		if f.given > 0 {
			c.Why += fmt.Sprintf("; %d more did not reach a half-width of %s with %d samples a side; it was found in %d of them", f.given, percent(HalfWidth), mostSamples, f.seen)
		}
		if f.percent == MustFind {
			c.Wanted = "≥ " + percent(FoundShare)
			c = c.verdict(rate >= FoundShare, "a slowdown of %d%% is missed more often than once in 20%s", MustFind,
				map[bool]string{true: ", though so few trials do not exclude 95%: a longer selftest (--time) tells", false: ""}[high >= FoundShare])
		}
		list = append(list, c)
	}
	return list
}

func experimentOf(percent int) string {
	if percent == MustFind {
		return Injected
	}
	return Others
}

// A Share is in how many of the trials that reached HalfWidth a delay was found, and the
// 95% interval of that share.
type Share struct {
	Percent, Found, Trials int
	Low, High              float64
}

// Shares are those of the delays that had such trials, the smallest first.
func Shares(run *result.Run) (list []Share) {
	for _, f := range foundIn(run) {
		if f.trials > 0 {
			low, high := interval(f.called, f.trials)
			list = append(list, Share{f.percent, f.called, f.trials, low, high})
		}
	}
	return list
}

// foundIn gives the trials of each delay, the smallest first.
func foundIn(run *result.Run) []found {
	delays := append(slices.Clone(OtherDelays), MustFind)
	slices.Sort(delays)
	var list []found
	for _, percent := range delays {
		values := func(series string) []float64 {
			return run.ValuesOf(result.Key{Experiment: experimentOf(percent), Platform: "container", Series: series}, "first_instruction_ns")
		}
		list = append(list, trials(percent, values(None), values(Series(percent))))
	}
	return list
}

// trials cuts two series into trials.
func trials(percent int, without, with []float64) found {
	f := found{percent: percent, best: 1}
	var sizes []float64
	for begin, n := 0, leastSamples; begin+n <= min(len(without), len(with)); n++ {
		a, b := without[begin:begin+n], with[begin:begin+n]
		width := max(halfWidth(a), halfWidth(b))
		if width > HalfWidth && n < mostSamples {
			continue
		}
		p, _ := result.MannWhitney(a, b)
		slower := p < level && result.CliffsDelta(b, a) > 0
		if width <= HalfWidth {
			f.trials++
			sizes = append(sizes, float64(n))
			if slower {
				f.called++
			}
		} else {
			f.given++
			f.best = min(f.best, width)
			if slower {
				f.seen++
			}
		}
		begin, n = begin+n, leastSamples-1
	}
	f.samples = result.Summarize(sizes).Median
	return f
}

// halfWidth is that of the median's interval, as a share of the median.
func halfWidth(values []float64) float64 {
	s := result.Summarize(values)
	if !s.HasInterval() {
		return 1
	}
	return (s.High - s.Low) / 2 / s.Median
}
