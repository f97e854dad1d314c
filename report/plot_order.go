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
	// orderMost is the largest sample of which each value is drawn. Of larger ones, the
	// smallest and the largest of each of so many equal parts of the run are.
	orderMost = 600
	// orderLeast is how far an axis reaches from the median at least, as a share of it.
	orderLeast = 0.02
)

// orderBlocks show each value at its place in the run, so that a drift can be seen.
func (m *model) orderBlocks() []block {
	var all []measured
	for _, name := range []string{"first_instruction_ns", "pss_bytes"} {
		if ms := m.metric(name); slices.ContainsFunc(ms.present(), func(f figureOf) bool { return f.Summary.N > 1 }) {
			all = append(all, ms)
		}
	}
	if len(all) == 0 {
		return nil
	}
	text := "A host that warms up, fills its memory, or slows down makes values rise or fall over the run. Then they are not independent, and the intervals of the medians are too narrow. "
	var drifting []string
	for _, ms := range all {
		for _, f := range ms.present() {
			if d := m.drift(ms, f); d.flagged {
				drifting = append(drifting, fmt.Sprintf("%s of %s (%s)", ms.Short, f.Platform.label(), d.direction()))
			}
		}
	}
	if len(drifting) > 0 {
		text += "In this run the order matters for " + list(drifting) + "."
	} else {
		text += "In this run no such drift was shown."
	}
	blocks := []block{paragraph{"Run order.", text}}
	for i, ms := range all {
		f := m.orderFigure(ms)
		if i > 0 {
			f.Name = fmt.Sprintf("order-%d", i+1)
		}
		blocks = append(blocks, f)
	}
	return blocks
}

// A drift is how the values of a platform change over the run.
type drift struct {
	rho, p  float64 // Spearman's; NaN for too few values
	flagged bool
}

func (m *model) drift(ms measured, f figureOf) drift {
	name := fmt.Sprintf("%v/%s", ms.key(f.Platform), ms.Value)
	if d, ok := m.drifts[name]; ok {
		return d
	}
	var d drift
	d.rho, d.p = result.Drifts(f.Summary.Values)
	d.flagged = slices.ContainsFunc(m.examine(ms, f), func(w result.Warning) bool { return w.Code == result.Drift })
	if m.drifts == nil {
		m.drifts = map[string]drift{}
	}
	m.drifts[name] = d
	return d
}

func (d drift) direction() string { return map[bool]string{true: "rises", false: "falls"}[d.rho > 0] }

func (d drift) text() string {
	switch {
	case math.IsNaN(d.rho):
		return "not tested"
	case d.flagged:
		return fmt.Sprintf("%s (ρ = %.2f, %s)", d.direction(), d.rho, result.FormatP(d.p))
	default:
		return fmt.Sprintf("no drift shown (%s)", result.FormatP(d.p))
	}
}

// orderFigure answers: do the values change over the run? A small panel for each platform.
func (m *model) orderFigure(ms measured) *figure {
	o := order{m, ms}
	emulated, parts := false, false
	var alt []string
	for _, f := range ms.present() {
		emulated, parts = emulated || f.Platform.Emulated, parts || f.Summary.N > orderMost
		alt = append(alt, f.Platform.label()+": "+m.drift(ms, f).text())
	}
	caption := ms.Title + ": each value at its place in the order in which it was taken, from the first to the last. Each panel has an axis of its own, linear, that does not begin at 0: it goes from the smallest value to the largest, " +
		"and at least from 2% below the median, which is the line, to 2% above. " +
		"Drift is tested by Spearman's rank correlation ρ of value and place, from ten values on, and flagged if p < 0.01."
	if parts {
		caption += fmt.Sprintf(" Of more than %d values, each stroke goes from the smallest to the largest of a %[1]dth of the run.", orderMost)
	}
	if emulated {
		caption += " Hollow marks: emulated."
	}
	return &figure{
		Name: "order", Caption: caption, Alt: "Drift of " + ms.Short + " over the run. " + strings.Join(alt, "; ") + ".",
		W: plotWidth, H: o.height(),
		Draw: func(c draw.Canvas) error { o.draw(c); return nil },
	}
}

// order is a plot of run order.
type order struct {
	m  *model
	of measured
}

var orderName = text(7.5, true, ink, draw.XLeft, yMiddle)

// columns are as many as there is room for, with the longest name.
func (o order) columns() int {
	var most vg.Length
	for _, f := range o.of.present() {
		most = max(most, markRoom+orderName.Width(f.Platform.label()))
	}
	return min(max(int((plotWidth-2*vg.Millimeter+orderGap)/(most+orderGap)), 1), 4)
}

const orderPitch = orderNames + orderHigh + orderBelow

func (o order) height() vg.Length {
	n := o.columns()
	return orderTitle + vg.Length((len(o.of.present())+n-1)/n)*orderPitch
}

func (o order) draw(c draw.Canvas) {
	c = draw.Crop(c, 1*vg.Millimeter, -1*vg.Millimeter, 0, 0)
	n := o.columns()
	width := (c.Max.X - c.Min.X + orderGap) / vg.Length(n)
	c.FillText(text(8.5, true, ink, draw.XLeft, yMiddle), vg.Point{X: c.Min.X, Y: c.Max.Y - orderTitle/2}, o.of.Title+" against the place in the run (axes not from 0)")
	for i, f := range o.of.present() {
		at := vg.Rectangle{Min: vg.Point{X: c.Min.X + vg.Length(i%n)*width}}
		at.Max = vg.Point{X: at.Min.X + width - orderGap, Y: c.Max.Y - orderTitle - vg.Length(i/n)*orderPitch}
		o.panel(c, f, at)
	}
}

// panel draws one platform into a rectangle, from its upper edge.
func (o order) panel(c draw.Canvas, f figureOf, at vg.Rectangle) {
	ms, look, s := o.of, f.Platform.look, f.Summary
	look.Mark.draw(c, vg.Point{X: at.Min.X + vg.Points(3.5), Y: at.Max.Y - vg.Points(4)}, vg.Points(2.4), f.Platform.inner(), look.Edge)
	c.FillText(orderName, vg.Point{X: at.Min.X + markRoom, Y: at.Max.Y - vg.Points(4)}, f.Platform.label())
	d := o.m.drift(ms, f)
	// Bold, and not only in another colour.
	said := text(7, d.flagged, ink, draw.XLeft, yMiddle)
	if d.flagged {
		said.Color = darker(red)
	}
	c.FillText(said, vg.Point{X: at.Min.X + markRoom, Y: at.Max.Y - vg.Points(13)}, d.text())

	left, right := at.Min.X+orderLeft, at.Max.X
	high, low := at.Max.Y-orderNames, at.Max.Y-orderNames-orderHigh
	// A little noise is not to fill the panel and look large.
	clamp := func(v float64) float64 { return min(max(v, -mostTime), mostTime) }
	lo, hi := clamp(min(slices.Min(s.Values), (1-orderLeast)*s.Median)), clamp(max(slices.Max(s.Values), (1+orderLeast)*s.Median))
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
	small.XAlign, small.YAlign = draw.XCenter, draw.YTop
	for _, i := range slices.Compact([]int{0, s.N - 1}) {
		c.StrokeLine2(axis, x(i), low-vg.Points(2), x(i), low)
		c.FillText(small, vg.Point{X: x(i), Y: low - vg.Points(2.5)}, grouped(i+1))
	}
	if s.N > orderMost {
		for k := range orderMost {
			part := s.Values[k*s.N/orderMost : (k+1)*s.N/orderMost]
			across := x(k * s.N / orderMost)
			c.StrokeLine2(draw.LineStyle{Color: look.Edge, Width: vg.Points(0.4)}, across, y(slices.Min(part))-vg.Points(0.3), across, y(slices.Max(part))+vg.Points(0.3))
		}
		return
	}
	for i, v := range s.Values {
		p := vg.Point{X: x(i), Y: y(v)}
		look.Mark.draw(c, p, vg.Points(1.1), f.Platform.inner(), look.Edge)
		if s.N <= stripMost {
			tell(c, around(p, vg.Points(2)), fmt.Sprintf("%s, %s, number %d", f.Platform.label(), ms.Short, i+1), value(v, ms.unit()))
		}
	}
}
