package selftest

import (
	"fmt"

	"vmctr/report/result"
)

// delays are how late the end of a start comes to be known, of each platform.
func delays(run *result.Run) []Check {
	const part = "Delay of the signal"
	var list []Check
	for _, p := range run.Platforms {
		if p.Kind == "" { // no platform, but what else the run looked for
			continue
		}
		key := result.Key{Experiment: Delay, Platform: p.Name}
		delay, start := result.Summarize(run.ValuesOf(key, "delay_ns")), result.Summarize(run.ValuesOf(key, "first_instruction_ns"))
		name := p.Name
		if p.Emulated {
			name += " *"
		}
		if delay.N == 0 {
			list = append(list, missing(part, name, why(run, Delay, p.Name)))
			continue
		}
		c := Check{Part: part, Name: name, Verdict: OK, Found: withInterval(delay),
			Figures: map[string]float64{"delay_ns": delay.Median, "n": float64(delay.N), "start_ns": start.Median}}
		if p.Kind == "vm" || p.Kind == "nested" {
			c.Verdict = Told
			c.Why = fmt.Sprintf("half the round trip of a message, %s of a start of %s: the error of its startup time", percent(delay.Median/start.Median), result.FormatValue(start.Median, "ns"))
		} else {
			c.Wanted = "< 100 µs"
			c = c.verdict(delay.Median < pipeDelay, "the target is missed: the process that stamps waits for a CPU; on a host with nothing else to do it does not")
		}
		list = append(list, c)
	}
	return list
}
