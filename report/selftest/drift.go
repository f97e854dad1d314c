package selftest

import (
	"fmt"

	"vmctr/report/result"
)

// driftLimit is how much the host may change in a whole selftest. The random order of
// rounds keeps a drift from falling on one platform; but a series that begins on one
// host and ends on another has no one median.
const driftLimit = 0.05

// A block is what was measured of the host at one moment.
type block struct{ at, median float64 } // ns since the run began; of the value

// blocksOf gives the medians of the blocks of Drift: each is one plan, whose rounds count
// from 0. What one block has in common is one measurement, not many.
func blocksOf(run *result.Run, value string) []block {
	var blocks []block
	var values, times []float64
	last := -1
	end := func() {
		if len(values) > 0 {
			blocks = append(blocks, block{result.Summarize(times).Median, result.Summarize(values).Median})
		}
		values, times = nil, nil
	}
	for i := range run.Samples {
		s := &run.Samples[i]
		v, ok := s.Values[value]
		if s.Experiment != Drift || s.Warmup || s.Error != "" || !ok {
			continue
		}
		if s.Round <= last {
			end()
		}
		last = s.Round
		values, times = append(values, v), append(times, float64(s.AtNs))
	}
	end()
	return blocks
}

func drift(run *result.Run) []Check {
	const part, name = "Drift of the host", "a fixed task"
	blocks := blocksOf(run, "task_ns")
	var x, y []float64
	for _, b := range blocks {
		x, y = append(x, b.at), append(y, b.median)
	}
	t := theilSen(x, y)
	if !t.hasInterval() {
		return []Check{missing(part, name, fmt.Sprintf("only %d blocks were measured: %s", len(blocks), why(run, Drift, Host)))}
	}
	span, median := x[len(x)-1]-x[0], result.Summarize(y).Median
	change := func(slope float64) float64 { return slope * span / median }
	c := Check{Part: part, Name: name, Wanted: "± " + percent(driftLimit), Verdict: OK,
		Found:   fmt.Sprintf("%+.1f%%, %+.1f to %+.1f%%", 100*change(t.slope), 100*change(t.low), 100*change(t.high)),
		Figures: map[string]float64{"change": change(t.slope), "low": change(t.low), "high": change(t.high), "span_ns": span, "task_ns": median},
		Why:     fmt.Sprintf("the change of the time that a task of %s takes, in the %s of the test, of %d blocks", result.FormatValue(median, "ns"), result.FormatValue(span, "ns"), len(blocks))}
	switch {
	case -driftLimit <= change(t.low) && change(t.high) <= driftLimit:
	case !t.holds(0):
		c = c.verdict(false, "the host became slower or faster while it was measured (its clock rate, its temperature, other programs): compare only what was measured in the same rounds")
	default:
		c = c.verdict(false, "the host is too unsteady for a drift of %s to be told from its ups and downs: other programs run, or other machines on the same hardware", percent(driftLimit))
	}
	return []Check{c}
}
