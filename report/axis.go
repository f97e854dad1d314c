package report

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// timesUnit is the unit of ratios.
const timesUnit = ""

// tickUnits are the units of axis labels, by the unit of the journal.
var tickUnits = map[string][]struct {
	name string
	size float64
}{
	"ns":      {{"ns", 1}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}},
	timesUnit: {{"×", 1}},
	"bytes":   {{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}},
}

// The ends of what an axis can show: three thousand TiB, and 1 ns to 31 years.
// A value beyond is drawn at the end.
const (
	mostBytes = 3000 << 40
	leastTime = 1.0
	mostTime  = 1e18
)

// tickLabel prints a round number: "1 ms", "200 µs", "0".
func tickLabel(v float64, unit string) string {
	if v == 0 {
		return "0"
	}
	units := tickUnits[unit]
	u := units[0]
	for _, next := range units[1:] {
		if v < next.size*0.999 {
			break
		}
		u = next
	}
	return strconv.FormatFloat(v/u.size, 'g', 6, 64) + nbsp + u.name
}

// logRange is the range of a logarithmic axis that holds all values with a
// margin, and at least a factor of four, so that a little noise does not fill
// the plot and look large.
func logRange(lo, hi float64) (float64, float64) {
	lo, hi = lo/1.25, hi*1.25
	if f := hi / lo; f < 4 {
		grow := math.Sqrt(4 / f)
		lo, hi = lo/grow, hi*grow
	}
	return lo, hi
}

// logTicks labels decades, and between them as much as there is room for.
func logTicks(lo, hi float64, unit string) []plot.Tick {
	decades := math.Log10(hi / lo)
	labelled := map[int]bool{1: true}
	switch {
	case decades < 1.1:
		labelled = map[int]bool{1: true, 2: true, 3: true, 5: true, 7: true}
	case decades < 2.2:
		labelled = map[int]bool{1: true, 2: true, 5: true}
	}
	every := max(1, int(math.Ceil(decades/8)))
	var ticks []plot.Tick
	for e := int(math.Floor(math.Log10(lo))); e <= int(math.Ceil(math.Log10(hi))); e++ {
		for d := 1; d <= 9; d++ {
			v := float64(d) * math.Pow(10, float64(e))
			if v < lo || v > hi {
				continue
			}
			t := plot.Tick{Value: v}
			if labelled[d] && (d > 1 || e%every == 0) {
				t.Label = tickLabel(v, unit)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// byteTicks are round numbers of a binary unit, from 0 to at least the
// largest value; the last one is the end of the axis.
func byteTicks(most float64) []plot.Tick {
	most = min(max(most, 1), mostBytes)
	step := byteStep(most)
	var ticks []plot.Tick
	for i := 0; ; i++ {
		v := float64(i) * step
		ticks = append(ticks, plot.Tick{Value: v, Label: tickLabel(v, "bytes")})
		if v >= most {
			return ticks
		}
	}
}

// byteStep is the distance of ticks, of which there are six at most.
func byteStep(most float64) float64 {
	step := 1.0
	for _, u := range tickUnits["bytes"] {
		for _, f := range []float64{1, 2, 5, 10, 20, 50, 100, 200, 500} {
			if step = f * u.size; most/step <= 6 {
				return step
			}
		}
	}
	return step
}

// timeStep is the distance of the ticks of a linear axis of time from 0, of which there are
// eight at most.
func timeStep(most float64) float64 {
	for step := 1.0; ; step *= 10 {
		for _, f := range []float64{1, 2, 5} {
			if most/(f*step) < 8 {
				return f * step
			}
		}
	}
}
