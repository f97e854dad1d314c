package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
)

// A curve is how a quantity of one platform changes with a number.
type curve struct {
	platform *platform
	points   []curvePoint
}

type curvePoint struct {
	n       int
	summary result.Summary
}

// A guide is a line to compare curves with.
type guide struct {
	name string
	at   func(n float64) float64
}

// curves are a plot of them: both axes are logarithmic, and the horizontal one has a
// place for 0 besides.
type curves struct {
	name, caption, what string // what they show, for those who do not see it
	xTitle, yTitle      string
	unit                string
	list                []curve
	guides              []guide
}

// numberPlace is where a number is across, in powers of two: 0 is left of 1.
func numberPlace(n float64) float64 {
	if n < 1 {
		return 0
	}
	return 1.5 + math.Log2(n)
}

func (p curves) figure() *figure {
	caption := p.caption + " Medians"
	hasInterval := func(c curve) bool {
		return slices.ContainsFunc(c.points, func(p curvePoint) bool { return p.summary.HasInterval() })
	}
	if slices.ContainsFunc(p.list, hasInterval) {
		caption += ", with 95% intervals where there were enough samples"
	}
	caption += "; both axes are logarithmic"
	numbers := p.numbers()
	if slices.Contains(numbers, 0) {
		caption += ", and 0 has a place besides"
	}
	caption += "."
	if most := numbers[len(numbers)-1]; slices.ContainsFunc(p.list, func(c curve) bool { return c.last().n < most }) {
		caption += " A curve that ends before the others was not measured further; dotted lines lead to the names."
	}
	if slices.ContainsFunc(p.list, func(c curve) bool { return c.platform.Emulated }) {
		caption += " Hollow marks: emulated."
	}
	var alt []string
	for _, c := range p.list {
		first, last := c.points[0], c.points[len(c.points)-1]
		alt = append(alt, fmt.Sprintf("%s from %s at %d to %s at %d", c.platform.label(), value(first.summary.Median, p.unit), first.n, value(last.summary.Median, p.unit), last.n))
	}
	return &figure{Name: p.name, Caption: caption, Alt: p.what + ": " + strings.Join(alt, "; ") + ".", W: plotWidth, H: 88 * vg.Millimeter,
		Draw: func(c draw.Canvas) error { p.draw(c); return nil }}
}

// numbers are those of all curves, in order.
func (p curves) numbers() []int {
	var all []int
	for _, c := range p.list {
		for _, pt := range c.points {
			all = append(all, pt.n)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// numberTicks label what has room; round numbers go first.
func numberTicks(numbers []int) []plot.Tick {
	const apart = 0.6
	labelled := map[int]bool{}
	label := func(n int) {
		for other := range labelled {
			if math.Abs(numberPlace(float64(other))-numberPlace(float64(n))) < apart {
				return
			}
		}
		labelled[n] = true
	}
	for _, n := range numbers {
		if n < 2 || math.Log10(float64(n)) == math.Trunc(math.Log10(float64(n))) {
			label(n)
		}
	}
	for _, n := range numbers {
		label(n)
	}
	var ticks []plot.Tick
	for _, n := range numbers {
		t := plot.Tick{Value: numberPlace(float64(n))}
		if labelled[n] {
			t.Label = grouped(n)
		}
		ticks = append(ticks, t)
	}
	return ticks
}

// grouped prints a number with a comma before its thousands.
func grouped(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

func (cs curves) draw(c draw.Canvas) {
	numbers := cs.numbers()
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, c := range cs.list {
		for _, pt := range c.points {
			lo, hi = min(lo, pt.summary.Median), max(hi, pt.summary.Median)
			if pt.summary.HasInterval() {
				lo, hi = min(lo, pt.summary.Low), max(hi, pt.summary.High)
			}
		}
	}
	clamp := func(v float64) float64 { return min(max(v, leastTime), mostTime) }
	if cs.unit == timesUnit {
		clamp = func(v float64) float64 { return max(v, 1e-3) }
	}
	p := newPlot()
	p.Y.Scale = plot.LogScale{}
	p.Y.Min, p.Y.Max = logRange(clamp(lo), clamp(hi))
	ticks := logTicks(p.Y.Min, p.Y.Max, cs.unit)
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	left, right := numberPlace(float64(numbers[0])), numberPlace(float64(numbers[len(numbers)-1]))
	p.X.Min, p.X.Max = left-0.3, right+0.3
	p.X.Tick.Marker = plot.ConstantTicks(numberTicks(numbers))

	names := text(8.5, true, ink, draw.XLeft, yMiddle)
	small := text(8, false, grey, draw.XLeft, yMiddle)
	var room vg.Length
	for _, c := range cs.list {
		room = max(room, names.Width(c.platform.label())+markRoom)
	}
	for _, g := range cs.guides {
		room = max(room, small.Width(g.name))
	}
	inner := draw.Crop(c, 1*vg.Millimeter, -room-6*vg.Millimeter, axisRoom, -6*vg.Millimeter)
	d := p.DataCanvas(inner)
	axisTitle(d, c.Min.Y, cs.xTitle)
	c.FillText(text(9, false, ink, draw.XLeft, draw.YTop), vg.Point{X: c.Min.X + 1*vg.Millimeter, Y: c.Max.Y}, cs.yTitle)
	x := func(n float64) vg.Length { return d.X(p.X.Norm(numberPlace(n))) }
	y := func(v float64) vg.Length { return d.Y(p.Y.Norm(clamp(v))) }
	for _, t := range ticks {
		if t.Label != "" {
			d.StrokeLine2(draw.LineStyle{Color: rule, Width: vg.Points(0.5)}, d.Min.X, y(t.Value), d.Max.X, y(t.Value))
		}
	}

	var ends []vg.Point // of curves, then of guides
	for _, c := range cs.list {
		l := c.platform.look
		var path vg.Path
		for i, pt := range c.points {
			at := vg.Point{X: x(float64(pt.n)), Y: y(pt.summary.Median)}
			if i == 0 {
				path.Move(at)
			} else {
				path.Line(at)
			}
		}
		for _, line := range []draw.LineStyle{{Color: l.Edge, Width: vg.Points(2.2)}, {Color: l.Fill, Width: vg.Points(1.3)}} {
			line.Dashes = l.Dash
			d.SetLineStyle(line)
			d.Stroke(path)
		}
		d.SetLineDash(nil, 0)
		for _, pt := range c.points {
			at := vg.Point{X: x(float64(pt.n)), Y: y(pt.summary.Median)}
			if pt.summary.HasInterval() {
				drawUpright(d, at.X, y(pt.summary.Low), y(pt.summary.High))
			}
			l.Mark.draw(d, at, vg.Points(2.4), c.platform.inner(), l.Edge)
			tell(d, around(at, vg.Points(4)), c.platform.label()+", "+grouped(pt.n), medianAndInterval(pt.summary, cs.unit))
		}
		last := c.points[len(c.points)-1]
		ends = append(ends, vg.Point{X: x(float64(last.n)), Y: y(last.summary.Median)})
	}
	for _, g := range cs.guides {
		var path []vg.Point
		for at := left; at <= right+1e-9; at += (right - left) / 64 {
			n := math.Exp2(at - 1.5)
			if v := g.at(n); v >= p.Y.Min && v <= p.Y.Max {
				path = append(path, vg.Point{X: x(n), Y: y(v)})
			}
		}
		if len(path) < 2 {
			ends = append(ends, vg.Point{X: d.Max.X, Y: y(1)})
			continue
		}
		d.StrokeLines(draw.LineStyle{Color: grey, Width: vg.Points(0.9), Dashes: dash(3, 2)}, path)
		ends = append(ends, path[len(path)-1])
	}
	p.Draw(inner)

	// The names stand at the right, each as near to its curve's height as there is room.
	var spans []span
	for _, e := range ends {
		spans = append(spans, span{e.Y.Points(), 10})
	}
	bottom, ok := place(spans, d.Min.Y.Points()-4, d.Max.Y.Points()+8, 1.5)
	for i, e := range ends {
		at := vg.Point{X: d.Max.X + 5*vg.Millimeter, Y: e.Y}
		if ok {
			at.Y = vg.Points(bottom[i] + 5)
		}
		colour := grey
		if i < len(cs.list) {
			colour = cs.list[i].platform.look.Edge
		}
		// Dotted, so that nobody takes it for a curve that goes on.
		d.StrokeLine2(draw.LineStyle{Color: colour, Width: vg.Points(0.6), Dashes: dash(0.6, 1.8)}, e.X+vg.Points(3), e.Y, at.X-vg.Points(2), at.Y)
		d.SetLineDash(nil, 0)
		if i >= len(cs.list) {
			d.FillText(small, at, cs.guides[i-len(cs.list)].name)
			continue
		}
		q := cs.list[i].platform
		q.look.Mark.draw(d, vg.Point{X: at.X + vg.Points(3), Y: at.Y}, vg.Points(2.6), q.inner(), q.look.Edge)
		at.X += markRoom
		d.FillText(names, at, q.label())
	}
}

// drawUpright is an interval that goes upwards.
func drawUpright(d draw.Canvas, x, low, high vg.Length) {
	s := draw.LineStyle{Color: ink, Width: vg.Points(0.8)}
	cap := vg.Points(2.6)
	d.StrokeLine2(s, x, low, x, high)
	d.StrokeLine2(s, x-cap, low, x+cap, low)
	d.StrokeLine2(s, x-cap, high, x+cap, high)
}
