package report

import (
	"math"
	"slices"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

const interferenceName = "interference"

// interfered is what one neighbour did to a victim of one platform.
type interfered struct {
	platform *platform
	isolation.Interference
	silent bool // the victim did not report
	why    string
	n      int // windows beside, of the measure with the most
	// kept is the rate beside the neighbour as a share of that alone, by measure.
	kept map[string]result.Ratio
	// drift is that of the rates alone after to those before.
	drift map[string]float64
	// alone and beside are the 99th percentiles of requests, and p99 their ratio.
	alone, beside   result.Percentile
	aloneN, besideN int
	p99             result.Ratio
	disturbed       bool
}

// interferences are all, by platform as the report has them, without limits first, in the
// order of neighbours.
func (m *model) interferences() (list []*interfered) {
	for _, p := range m.platforms {
		for _, limited := range []bool{false, true} {
			for _, n := range isolation.Neighbours {
				if x := m.interferenceOf(p, n.Name, limited); x != nil {
					list = append(list, x)
				}
			}
		}
	}
	return list
}

// interferenceOf is nil where nothing was measured.
func (m *model) interferenceOf(p *platform, neighbour string, limited bool) *interfered {
	var x *interfered
	rates := map[string][]float64{}
	for i := range m.run.Samples {
		s := &m.run.Samples[i]
		in := s.Interference
		if s.Experiment != interferenceName || s.Platform != p.Name || s.Warmup || in == nil || in.Neighbour != neighbour || in.Limited != limited || s.Error != "" {
			continue
		}
		if x == nil {
			x = &interfered{platform: p, kept: map[string]result.Ratio{}, drift: map[string]float64{}}
		}
		// Of several samples, the last tells of the neighbour and of requests; windows are of all.
		x.Interference, x.disturbed = *in, x.disturbed || s.Disturbed != ""
		if s.Outcome == isolation.DidNotReport {
			x.silent, x.why = true, s.Why
		}
		x.alone, x.aloneN = percentileOf(s.Values, "alone")
		x.beside, x.besideN = percentileOf(s.Values, "beside")
		for name, values := range s.Each {
			rates[name] = append(rates[name], values...)
		}
	}
	if x == nil {
		return nil
	}
	x.p99 = result.RatioOf(x.beside, x.alone)
	for _, measure := range isolation.Measures {
		before, beside, after := rates["before_"+measure.Name], rates["beside_"+measure.Name], rates["after_"+measure.Name]
		if len(beside) > 0 {
			x.n = max(x.n, len(beside))
			x.kept[measure.Name] = result.Compare(beside, slices.Concat(before, after), m.run.Header.Seed)
		}
		if len(before) > 0 && len(after) > 0 {
			x.drift[measure.Name] = result.Compare(after, before, m.run.Header.Seed).Ratio
		}
	}
	return x
}

// percentileOf is the 99th of requests, as the journal has it.
func percentileOf(values map[string]float64, state string) (p result.Percentile, n int) {
	p = result.Percentile{Share: 0.99, Value: math.NaN(), Low: math.NaN(), High: math.NaN()}
	if v, ok := values[state+"_request_p99_ns"]; ok {
		p.Value = v
	}
	low, hasLow := values[state+"_request_p99_low_ns"]
	high, hasHigh := values[state+"_request_p99_high_ns"]
	if hasLow && hasHigh {
		p.Low, p.High, p.Confidence = low, high, 0.95
	}
	return p, int(values[state+"_requests"])
}

// isLoss tells that less was kept than alone: the whole interval is below.
func isLoss(r result.Ratio) bool { return r.High < 1 }

// limits says with or without.
func (x *interfered) limits() string {
	if x.Limited {
		return "with"
	}
	return "without"
}

// of is the platform and its limits, as the object of a sentence.
func (x *interfered) of() string {
	switch x.platform.Kind {
	case "container":
		return x.platform.the() + " " + x.limits() + " limits"
	}
	return x.platform.the()
}
