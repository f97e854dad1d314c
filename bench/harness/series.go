package harness

import (
	"time"

	"vmctr/report/result"
)

// leastSamples are taken before the width of an interval is looked at. Who looks after
// each sample and stops once the interval is narrow stops too early where it was so by
// luck. In simulated samples (lognormal, sigma of 0.02 to 0.2) the intervals of series that
// ended so held the true median in 93 to 97% of 400 cases with this least number, and in
// 93 to 98% with 6; but with 6 an interval runs from the smallest to the largest value, and
// so few see no second mode.
const leastSamples = 20

// series is a trial with what has become of it.
type series struct {
	key      result.Key
	trial    Trial
	values   []float64     // of its main value, that are counted
	failed   int           // so many times in a row
	longest  time.Duration // of what it took in a round
	reason   result.Reason // why it takes part no longer; "" as long as it does
	recorded bool          // in the journal
}

type allSeries map[result.Key]*series

func newSeries(trials []Trial, past past) allSeries {
	all := allSeries{}
	for _, t := range trials {
		key := t.key(past.experiment)
		all[key] = &series{key: key, trial: t, longest: past.longest[key], recorded: past.endings[key] != ""}
		if past.far[key] {
			all[key].reason = result.NotPossible
		}
	}
	return all
}

// running tells whether any takes part in the next round.
func (all allSeries) running() bool {
	for _, s := range all {
		if s.reason == "" {
			return true
		}
	}
	return false
}

// round is how long one takes, at most, as far as it is known.
func (all allSeries) round() time.Duration {
	var sum time.Duration
	for _, s := range all {
		if s.reason == "" {
			sum += s.longest
		}
	}
	return sum
}

// count takes a sample in.
func (s *series) count(sample result.Sample) {
	if sample.Error != "" {
		s.failed++
		return
	}
	s.failed = 0
	if v, ok := sample.Values[s.trial.Value]; ok && !sample.Warmup {
		s.values = append(s.values, v)
	}
}

// end ends a series that has not ended.
func (s *series) end(reason result.Reason) {
	if s.reason == "" {
		s.reason = reason
	}
}

// judge ends those whose median is known well enough.
func (all allSeries) judge() {
	for _, s := range all {
		if aim := s.trial.HalfWidth; aim > 0 && s.reason == "" && len(s.values) >= leastSamples {
			if w := halfWidth(s.values); w != nil && *w <= aim {
				s.reason = result.PrecisionReached
			}
		}
	}
}

// halfWidth is half the 95% interval of the median, as a share of it; nil if there is no
// interval, or nothing that it could be a share of.
func halfWidth(values []float64) *float64 {
	s := result.Summarize(values)
	if !s.HasInterval() || !(s.Median > 0) {
		return nil
	}
	w := (s.High - s.Low) / 2 / s.Median
	return &w
}

// end records the series that have ended, in the order of the plan.
func (h *Harness) end(p Plan, all allSeries) error {
	for _, t := range p.Trials {
		s := all[t.key(p.Experiment)]
		if s.reason == "" || s.recorded {
			continue
		}
		s.recorded = true
		e := result.Ending{
			Experiment: p.Experiment, Platform: t.Platform, Series: t.Series, N: t.N, AtNs: Now() - h.Start,
			Value: t.Value, Samples: len(s.values), HalfWidth: halfWidth(s.values), Aim: t.HalfWidth, Reason: s.reason,
		}
		if err := h.Journal.Append(result.Record{Ending: &e}); err != nil {
			return err
		}
	}
	return nil
}
