package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
)

// Sizes of a plot of run order: small panels in columns.
const (
	orderTitle = 6 * vg.Millimeter
	orderNames = 7 * vg.Millimeter // a platform's name, and what is said of its order
	orderHigh  = 11 * vg.Millimeter
	orderBelow = 5 * vg.Millimeter // the ends of the axis, and room to the next row
	orderLeft  = 13 * vg.Millimeter
	orderGap   = 3 * vg.Millimeter
	// orderMost is the largest sample of which each value is drawn. Larger ones are cut
	// into orderParts parts, of which the quartiles are.
	orderMost  = 600
	orderParts = 60
	// orderLeast is how far an axis reaches from the median at least, as a share of it.
	orderLeast = 0.02
)

// orderBlocks show each value at its place in the run, so that a drift can be seen.
func (m *model) orderBlocks() []block {
	var figures []block
	var drifting []string
	for _, name := range []string{"first_instruction_ns", "pss_bytes"} {
		ms := m.metric(name)
		if !slices.ContainsFunc(ms.present(), func(f figureOf) bool { return f.Summary.N > 1 }) {
			continue
		}
		o := order{of: ms}
		for _, f := range ms.present() {
			p := m.orderPanel(ms, f)
			if o.panels = append(o.panels, p); p.flagged {
				drifting = append(drifting, fmt.Sprintf("%s of %s (%s)", ms.Short, f.Platform.label(), p.direction()))
			}
		}
		f := o.figure()
		if len(figures) > 0 {
			f.Name += "-2"
		}
		figures = append(figures, f)
	}
	if len(figures) == 0 {
		return nil
	}
	text := "A host that warms up, fills its memory, or slows down makes values rise or fall over the run. Then they are not independent, and the intervals of the medians are too narrow. "
	if len(drifting) > 0 {
		text += "In this run the order matters for " + list(drifting) + "."
	} else {
		text += "In this run no such drift was shown."
	}
	return append([]block{paragraph{"Run order.", text}}, figures...)
}

// order is a plot of run order: of one value, with a panel for each platform.
type order struct {
	of     measured
	panels []orderPanel
}

// orderPanel is what is drawn of one platform, and how its values change over the run.
type orderPanel struct {
	figureOf
	points  []orderPoint
	rho, p  float64 // Spearman's; NaN for too few values
	flagged bool
}

// An orderPoint is a value, or the quartiles of a part of the run.
type orderPoint struct {
	place             int // in the run, from 0
	low, middle, high float64
}

func (m *model) orderPanel(ms measured, f figureOf) orderPanel {
	o := orderPanel{figureOf: f, flagged: slices.ContainsFunc(m.examine(ms, f), func(w result.Warning) bool { return w.Code == result.Drift })}
	o.rho, o.p = result.Drifts(f.Summary.Values)
	v := f.Summary.Values
	if !o.inParts() {
		for i := range v {
			o.points = append(o.points, orderPoint{i, v[i], v[i], v[i]})
		}
		return o
	}
	for k := range orderParts {
		from, to := k*len(v)/orderParts, (k+1)*len(v)/orderParts
		part := slices.Sorted(slices.Values(v[from:to]))
		n := len(part)
		o.points = append(o.points, orderPoint{(from + to) / 2, part[n/4], part[n/2], part[3*n/4]})
	}
	return o
}

func (o orderPanel) inParts() bool { return o.Summary.N > orderMost }

func (o orderPanel) direction() string {
	return map[bool]string{true: "rises", false: "falls"}[o.rho > 0]
}

// says is what is said of the order.
func (o orderPanel) says() string {
	switch {
	case math.IsNaN(o.rho):
		return "not tested"
	case o.flagged:
		return fmt.Sprintf("%s (ρ = %.2f, %s)", o.direction(), o.rho, result.FormatP(o.p))
	default:
		return fmt.Sprintf("no drift shown (%s)", result.FormatP(o.p))
	}
}

// figure answers: do the values change over the run? A small panel for each platform.
func (o order) figure() *figure {
	emulated, parts := false, false
	var alt []string
	for _, p := range o.panels {
		emulated, parts = emulated || p.Platform.Emulated, parts || p.inParts()
		alt = append(alt, p.Platform.label()+": "+p.says())
	}
	caption := o.of.Title + ", each value at its place in the order in which it was taken, from the first to the last. Each panel has an axis of its own, linear, that does not begin at 0: it goes from the smallest value to the largest, " +
		"and at least from 2% below the median, which is the line, to 2% above. Drift is tested by Spearman's rank correlation ρ of value and place, from ten values on, and flagged if p < 0.01."
	if parts {
		caption += fmt.Sprintf(" Of more than %d values, each mark is the median of a %dth of the run, with its quartiles.", orderMost, orderParts)
	}
	if emulated {
		caption += " Hollow marks: emulated."
	}
	return &figure{
		Name: "order", Caption: caption, Alt: "Drift of " + o.of.Short + " over the run. " + strings.Join(alt, "; ") + ".",
		W: plotWidth, H: o.height(),
		Draw: func(c draw.Canvas) error { o.draw(c); return nil },
	}
}

var orderName = text(7.5, true, ink, draw.XLeft, yMiddle)

// columns are as many as there is room for, with the longest name.
func (o order) columns() int {
	var most vg.Length
	for _, p := range o.panels {
		most = max(most, markRoom+orderName.Width(p.Platform.label()))
	}
	return min(max(int((plotWidth-2*vg.Millimeter+orderGap)/(most+orderGap)), 1), 4)
}

const orderPitch = orderNames + orderHigh + orderBelow

func (o order) height() vg.Length {
	n := o.columns()
	return orderTitle + vg.Length((len(o.panels)+n-1)/n)*orderPitch
}

func (o order) draw(c draw.Canvas) {
	c = draw.Crop(c, 1*vg.Millimeter, -1*vg.Millimeter, 0, 0)
	n := o.columns()
	width := (c.Max.X - c.Min.X + orderGap) / vg.Length(n)
	c.FillText(text(8.5, true, ink, draw.XLeft, yMiddle), vg.Point{X: c.Min.X, Y: c.Max.Y - orderTitle/2}, o.of.Title+" against the place in the run (axes not from 0)")
	for i, p := range o.panels {
		at := vg.Rectangle{Min: vg.Point{X: c.Min.X + vg.Length(i%n)*width}}
		at.Max = vg.Point{X: at.Min.X + width - orderGap, Y: c.Max.Y - orderTitle - vg.Length(i/n)*orderPitch}
		p.draw(c, o.of, at)
	}
}

// draw draws a panel into a rectangle, from its upper edge.
func (o orderPanel) draw(c draw.Canvas, ms measured, at vg.Rectangle) {
	p, s := o.Platform, o.Summary
	p.look.Mark.draw(c, vg.Point{X: at.Min.X + vg.Points(3.5), Y: at.Max.Y - vg.Points(4)}, vg.Points(2.4), p.inner(), p.look.Edge)
	c.FillText(orderName, vg.Point{X: at.Min.X + markRoom, Y: at.Max.Y - vg.Points(4)}, p.label())
	// What is flagged is bold, and not only in another colour.
	said := text(7, o.flagged, ink, draw.XLeft, yMiddle)
	if o.flagged {
		said.Color = darker(red)
	}
	c.FillText(said, vg.Point{X: at.Min.X + markRoom, Y: at.Max.Y - vg.Points(13)}, o.says())

	left, right := at.Min.X+orderLeft, at.Max.X
	high, low := at.Max.Y-orderNames, at.Max.Y-orderNames-orderHigh
	// A little noise is not to fill the panel and look large.
	lo, hi := (1-orderLeast)*s.Median, (1+orderLeast)*s.Median
	for _, pt := range o.points {
		lo, hi = min(lo, pt.low), max(hi, pt.high)
	}
	clamp := func(v float64) float64 { return min(max(v, -mostTime), mostTime) }
	lo, hi = clamp(lo), clamp(hi)
	x := func(i int) vg.Length {
		return left + vg.Points(3) + (right-left-vg.Points(6))*vg.Length(float64(i)/float64(max(1, s.N-1)))
	}
	y := func(v float64) vg.Length {
		if hi == lo {
			return (low + high) / 2
		}
		return low + vg.Points(3) + (high-low-vg.Points(6))*vg.Length((clamp(v)-lo)/(hi-lo))
	}
	axis := draw.LineStyle{Color: ink, Width: vg.Points(0.6)}
	c.StrokeLine2(axis, left, low, left, high)
	c.StrokeLine2(axis, left, low, right, low)
	c.StrokeLine2(draw.LineStyle{Color: grey, Width: vg.Points(0.6)}, left, y(s.Median), right, y(s.Median))
	small := text(7, false, ink, draw.XRight, yMiddle)
	for _, v := range slices.Compact([]float64{lo, hi}) {
		c.StrokeLine2(axis, left-vg.Points(2), y(v), left, y(v))
		c.FillText(small, vg.Point{X: left - vg.Points(3), Y: y(v)}, result.FormatValue(v, ms.unit()))
	}
	small.YAlign = draw.YTop
	for _, i := range slices.Compact([]int{0, s.N - 1}) {
		c.StrokeLine2(axis, x(i), low-vg.Points(2), x(i), low)
		label := grouped(i + 1)
		c.FillText(small, vg.Point{X: min(x(i)+small.Width(label)/2, right), Y: low - vg.Points(2.5)}, label)
	}
	for _, pt := range o.points {
		middle := vg.Point{X: x(pt.place), Y: y(pt.middle)}
		if pt.low < pt.high {
			c.StrokeLine2(draw.LineStyle{Color: p.look.Edge, Width: vg.Points(0.5)}, middle.X, y(pt.low), middle.X, y(pt.high))
		}
		p.look.Mark.draw(c, middle, vg.Points(1.1), p.inner(), p.look.Edge)
		if s.N <= stripMost {
			tell(c, around(middle, vg.Points(2)), fmt.Sprintf("%s, %s, number %d", p.label(), ms.Short, pt.place+1), value(pt.middle, ms.unit()))
		}
	}
}
