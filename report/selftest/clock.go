package selftest

import (
	"fmt"
	"math"

	"vmctr/report/result"
)

// clockLimit is what a reading of the clock may cost, and its resolution: a thousandth of
// the fastest start that is measured, which takes about a millisecond.
const clockLimit = 1e3 // ns

// rateLimit is by how much two clocks may run apart: a time server steers
// CLOCK_MONOTONIC by at most 500 parts in a million (adjtimex(2)), and a crystal is off by
// some tens. That is a thirtieth of the narrowest interval.
const rateLimit = 500e-6

func clock(run *result.Run) []Check {
	const part = "Clock (CLOCK_MONOTONIC)"
	key := result.Key{Experiment: Clock, Platform: Host}
	value := func(name string) result.Summary { return result.Summarize(run.ValuesOf(key, name)) }
	resolution, cost, step := value("resolution_ns"), value("read_ns"), value("step_ns")
	if cost.N == 0 {
		return []Check{missing(part, "resolution and cost", why(run, Clock, Host))}
	}
	limit := "≤ 1 µs"
	slow := "the kernel may have to ask a slow clock source: cat /sys/devices/system/clocksource/clocksource0/current_clocksource"
	backward := 0.0
	for _, n := range run.ValuesOf(key, "backward") {
		backward += n
	}
	list := []Check{
		Check{Part: part, Name: "resolution", Found: result.FormatValue(resolution.Median, "ns"), Wanted: limit,
			Figures: map[string]float64{"resolution_ns": resolution.Median}}.verdict(resolution.Median <= clockLimit, "%s", slow),
		Check{Part: part, Name: "smallest step seen", Found: result.FormatValue(step.Median, "ns"), Wanted: limit,
			Figures: map[string]float64{"step_ns": step.Median}}.verdict(step.Median <= clockLimit, "%s", slow),
		Check{Part: part, Name: "cost of a reading", Found: withInterval(cost), Wanted: limit,
			Figures: map[string]float64{"read_ns": cost.Median}}.verdict(cost.Median <= clockLimit, "%s", slow),
		Check{Part: part, Name: "steps backward", Found: fmt.Sprint(backward), Wanted: "none",
			Figures: map[string]float64{"backward": backward}}.verdict(backward == 0, "the clock went backward: no time that was taken here is sure"),
	}
	for _, other := range []struct{ value, name string }{{"raw_ns", "rate of MONOTONIC_RAW"}, {"realtime_ns", "rate of REALTIME"}} {
		list = append(list, rate(run, part, other.value, other.name))
	}
	return list
}

// rate tells how much faster than CLOCK_MONOTONIC another clock runs: value is by how far
// it has got ahead, in the samples of Drift.
func rate(run *result.Run, part, value, name string) Check {
	blocks := blocksOf(run, value)
	if len(blocks) < 2 {
		return missing(part, name, why(run, Drift, Host))
	}
	var x, y []float64
	for _, b := range blocks {
		x, y = append(x, b.at), append(y, b.median)
	}
	t := theilSen(x, y)
	c := Check{Part: part, Name: name, Found: ppm(t.slope) + " ppm", Wanted: fmt.Sprintf("± %g ppm", 1e6*rateLimit),
		Figures: map[string]float64{"ppm": 1e6 * t.slope}}
	if t.hasInterval() {
		c.Found += ", " + ppm(t.low) + " to " + ppm(t.high)
		c.Figures["low_ppm"], c.Figures["high_ppm"] = 1e6*t.low, 1e6*t.high
	}
	return c.verdict(math.Abs(t.slope) <= rateLimit, "the two clocks run apart, or one was set meanwhile: every time may be off by that much")
}

// ppm prints parts in a million, to the hundredth.
func ppm(share float64) string {
	text := fmt.Sprintf("%+.2f", 1e6*share)
	if text == "+0.00" || text == "-0.00" {
		return "0.00"
	}
	return text
}

func withInterval(s result.Summary) string {
	text := result.FormatValue(s.Median, "ns")
	if s.HasInterval() {
		text += ", " + s.FormatInterval("ns")
	}
	return text
}
