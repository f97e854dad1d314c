package selftest

import (
	"fmt"

	"vmctr/report/result"
)

// Commands are the platforms whose command hyperfine executes as well.
var Commands = []string{"process", "runc", "crun"}

// exits compares the time from a command's start to its exit with hyperfine's.
//
// Runs of one block share what the host did in it, so that a block is one measurement,
// of which the value is its median.
func exits(run *result.Run) []Check {
	const part = "Start to exit: ratio to hyperfine's"
	var list []Check
	for _, name := range Commands {
		values := func(series string) []float64 {
			return run.ValuesOf(result.Key{Experiment: Exit, Platform: name, Series: series}, "exit_ns")
		}
		own, other := values(Own), values(Hyperfine)
		r := result.Compare(own, other, run.Header.Seed)
		if len(own) == 0 || len(other) == 0 {
			reason := why(run, Exit, Hyperfine)
			for _, p := range run.Platforms {
				if p.Name == Hyperfine && p.Status == result.Ready {
					reason = why(run, Exit, name)
				}
			}
			list = append(list, missing(part, name, reason))
			continue
		}
		c := Check{Part: part, Name: name, Wanted: "holds 1",
			Found:   fmt.Sprintf("%.3f, %.3f to %.3f", r.Ratio, r.Low, r.High),
			Figures: map[string]float64{"ratio": r.Ratio, "bench_ns": result.Summarize(own).Median, "hyperfine_ns": result.Summarize(other).Median, "blocks": float64(min(len(own), len(other)))}}
		c.Why = fmt.Sprintf("%s against %s, medians of %d and %d blocks", result.FormatValue(c.Figures["bench_ns"], "ns"), result.FormatValue(c.Figures["hyperfine_ns"], "ns"), len(own), len(other))
		if len(r.Warnings) > 0 {
			c.Found, c.Verdict, c.Why = fmt.Sprintf("%.3f", r.Ratio), NotMeasured, fmt.Sprintf("%d and %d blocks are too few for an interval; a longer selftest (--time) has more", len(own), len(other))
		} else {
			c.Figures["low"], c.Figures["high"] = r.Low, r.High
			c.Why += fmt.Sprintf("; a difference of less than about %s would not show", percent((r.High-r.Low)/2))
			c = c.verdict(r.Low <= 1 && 1 <= r.High, "bench and hyperfine do not agree on how long the same command takes (%s); of such intervals one in 20 is without 1 by chance: if it is again, it is none", c.Why)
		}
		list = append(list, c)
	}
	return list
}
