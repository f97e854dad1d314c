package harness

import (
	"time"

	"vmctr/report/result"
)

// past is what the journal of a run that was stopped holds of one experiment.
type past struct {
	experiment string
	samples    map[place]map[result.Key][]result.Sample
	last       *place // the last round that was begun; nil for none
	longest    map[result.Key]time.Duration
	endings    map[result.Key]result.Reason
	far        map[result.Key]bool // out of reach: of these no sample tells
	ended      result.Reason       // why the whole experiment had; "" if it had not
	spent      time.Duration
}

func (h *Harness) past(experiment string) past {
	p := past{
		experiment: experiment, samples: map[place]map[result.Key][]result.Sample{},
		longest: map[result.Key]time.Duration{}, endings: map[result.Key]result.Reason{}, far: map[result.Key]bool{},
	}
	if h.Past == nil {
		return p
	}
	for _, e := range h.Past.Endings {
		if e.Experiment != experiment {
			continue
		}
		p.endings[e.Key()] = e.Reason
		if e.Reason == result.BudgetSpent || e.Reason == result.RoundsDone {
			p.ended = e.Reason
		}
	}
	for _, n := range h.Past.Notes {
		if n.Experiment == experiment {
			p.far[result.Key{Experiment: n.Experiment, Platform: n.Platform, Series: n.Series, N: n.N}] = true
		}
	}
	took := map[place]map[result.Key]time.Duration{}
	for i, s := range h.Past.Samples {
		if s.Experiment != experiment {
			continue
		}
		at, key := place{s.Warmup, s.Round}, s.Key()
		if p.samples[at] == nil {
			p.samples[at], took[at] = map[result.Key][]result.Sample{}, map[result.Key]time.Duration{}
		}
		p.samples[at][key] = append(p.samples[at][key], s)
		p.last = &at
		d := h.tookPast(i)
		p.spent += d
		took[at][key] += d
		p.longest[key] = max(p.longest[key], took[at][key])
	}
	return p
}

// tookPast is how long a sample took, with the pause after it: until the next one of its
// experiment began. Of the last one before a stop, nothing more is known than its phases.
func (h *Harness) tookPast(i int) time.Duration {
	s := &h.Past.Samples[i]
	if i+1 < len(h.Past.Samples) {
		next := &h.Past.Samples[i+1]
		stopped := false
		for _, r := range h.Past.Resumes {
			stopped = stopped || s.AtNs <= r.AtNs && r.AtNs <= next.AtNs
		}
		if !stopped && next.Experiment == s.Experiment {
			return time.Duration(next.AtNs - s.AtNs)
		}
	}
	if n := len(s.Phases); n > 0 {
		return time.Duration(s.Phases[n-1].Ns)
	}
	return 0
}

// begun tells whether a round had been.
func (p past) begun(at place) bool { return p.samples[at] != nil }

// complete tells whether nothing is missing of a round: another one had begun after it,
// or the experiment had ended.
func (p past) complete(at place) bool {
	return p.begun(at) && (at != *p.last || p.ended != "")
}

// Spent is how much of its time an experiment has used before the run was stopped.
func (h *Harness) Spent(experiment string) time.Duration { return h.past(experiment).spent }
