package report

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
)

// barPitch is the height of a row of the memory plot. Very many rows are set
// closer.
func barPitch(rows int) vg.Length {
	return max(3.4*vg.Millimeter, min(5*vg.Millimeter, 190*vg.Millimeter/vg.Length(rows)))
}

// A bar is one row of the memory plot; one without a name is the heading of a
// platform.
type bar struct {
	platform *platform
	name     string
	summary  result.Summary
}

// memoryFigure answers: how much memory does an instance occupy, by each
// account? Bars from zero on a linear axis, since their lengths are compared;
// the shortest are read by their figures.
func (m *model) memoryFigure(list []measured) *figure {
	var bars []bar
	var alt []string
	for _, p := range m.platforms {
		if list[0].figure(p).Summary.N == 0 {
			continue
		}
		bars = append(bars, bar{platform: p})
		var accounts []string
		for _, ms := range list {
			s := ms.figure(p).Summary
			bars = append(bars, bar{p, ms.Short, s})
			accounts = append(accounts, ms.Short+" "+value(s.Median, ms.unit()))
		}
		alt = append(alt, p.label()+": "+strings.Join(accounts, ", "))
	}
	return barsFigure("memory", "Memory of one idle instance on the host", "Median memory of an idle instance", alt, bars)
}

// barsFigure is bars of bytes, of which what says what they are.
func barsFigure(name, what, short string, alt []string, bars []bar) *figure {
	caption := what + ", on a linear axis that begins at zero: medians"
	if slices.ContainsFunc(bars, func(b bar) bool { return b.summary.HasInterval() }) {
		caption += " with 95% intervals"
	}
	caption += "."
	if slices.ContainsFunc(bars, func(b bar) bool { return b.platform.Emulated }) {
		caption += " Hatched: emulated."
	}
	return &figure{
		Name: name, Caption: caption, Alt: short + ". " + strings.Join(alt, "; ") + ".",
		W: plotWidth, H: vg.Length(len(bars))*barPitch(len(bars)) + 4*vg.Millimeter + tickRoom + axisRoom,
		Draw: func(c draw.Canvas) error {
			drawMemory(c, bars)
			return nil
		},
	}
}

func drawMemory(c draw.Canvas, bars []bar) {
	most := 0.0
	for _, b := range bars {
		if b.summary.N > 0 {
			most = max(most, b.summary.Median)
			if b.summary.HasInterval() {
				most = max(most, b.summary.High)
			}
		}
	}
	var names []plot.Tick
	for i, b := range bars {
		if b.name != "" {
			names = append(names, plot.Tick{Value: -float64(i) - 0.5, Label: b.name})
		}
	}
	const right, top = 40 * vg.Millimeter, 3 * vg.Millimeter // room for the figure of the longest bar
	p, c, d, x := byteAxis(c, most, len(bars), names, right, top, "memory on the host (from 0)")
	y := func(v float64) vg.Length { return d.Y(p.Y.Norm(v)) }
	for i, b := range bars {
		middle := y(-float64(i) - 0.5)
		if b.name == "" {
			onWhite(d, text(8.5, true, ink, draw.XLeft, yMiddle), vg.Point{X: d.Min.X + vg.Points(12), Y: middle + vg.Points(0.3)}, b.platform.label())
			b.platform.look.Mark.draw(d, vg.Point{X: d.Min.X + vg.Points(6), Y: middle + vg.Points(0.3)}, vg.Points(2.8), b.platform.inner(), b.platform.look.Edge)
			continue
		}
		drawBar(d, b, middle, barPitch(len(bars))*0.38, x)
	}
	p.Draw(c)
}

// byteAxis begins a plot of rows, with a linear axis of bytes below them, from zero to
// the most or a little more, and room beside and above them. It gives the canvas of the
// plot, on which it is to be drawn last, that of the rows, and the place of a value.
func byteAxis(whole draw.Canvas, most float64, rows int, names []plot.Tick, right, top vg.Length, title string) (p *plot.Plot, c, d draw.Canvas, x func(float64) vg.Length) {
	ticks := byteTicks(most)
	p = newPlot()
	p.X.Min, p.X.Max = 0, ticks[len(ticks)-1].Value
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Min, p.Y.Max = -float64(rows), 0
	p.Y.Tick.Length = 0
	p.Y.Tick.Marker = plot.ConstantTicks(names)
	c = draw.Crop(whole, 1*vg.Millimeter, -right, axisRoom, -top)
	d = p.DataCanvas(c)
	axisTitle(d, whole.Min.Y, title)
	x = func(v float64) vg.Length { return d.X(p.X.Norm(min(max(v, p.X.Min), p.X.Max))) }
	for _, t := range ticks[1:] {
		d.StrokeLine2(draw.LineStyle{Color: rule, Width: vg.Points(0.5)}, x(t.Value), d.Min.Y, x(t.Value), d.Max.Y)
	}
	return p, c, d, x
}

func drawBar(d draw.Canvas, b bar, middle, half vg.Length, x func(float64) vg.Length) {
	s, l := b.summary, b.platform.look
	after := vg.Point{X: d.Min.X + vg.Points(4), Y: middle}
	if s.N == 0 {
		onWhite(d, text(8, false, grey, draw.XLeft, yMiddle), after, "no such account")
		return
	}
	r := vg.Rectangle{Min: vg.Point{X: x(0), Y: middle - half}, Max: vg.Point{X: x(s.Median), Y: middle + half}}
	b.platform.fill(d, r)
	d.SetLineStyle(draw.LineStyle{Color: l.Edge, Width: vg.Points(0.7)})
	d.Stroke(r.Path())
	end := x(s.Median)
	tell(d, r, b.platform.label()+", "+b.name, medianAndInterval(s, "bytes"))
	label := result.FormatValue(s.Median, "bytes")
	if s.HasInterval() {
		drawInterval(d, x(s.Low), x(s.High), middle)
		end = max(end, x(s.High))
		label += fmt.Sprintf(" (%s)", s.FormatInterval("bytes"))
	} else {
		label += fmt.Sprintf(" (n%s=%s%d, no interval)", nbsp, nbsp, s.N)
	}
	after.X = end + vg.Points(5)
	onWhite(d, text(8, false, ink, draw.XLeft, yMiddle), after, label)
}

// fill fills a part of a platform's bar: that of an emulated one is hatched.
func (p *platform) fill(d draw.Canvas, r vg.Rectangle) {
	if p.Emulated {
		hatch(d, r, p.look)
		return
	}
	d.SetColor(p.look.Fill)
	d.Fill(r.Path())
}

// hatch fills a rectangle with a light tint and slanting lines.
func hatch(d draw.Canvas, r vg.Rectangle, l look) {
	tint := l.Fill
	tint.A = 0x50
	d.SetColor(tint)
	d.Fill(r.Path())
	d.SetLineStyle(draw.LineStyle{Color: l.Edge, Width: vg.Points(0.6)})
	h := r.Max.Y - r.Min.Y
	for x := r.Min.X - h; x < r.Max.X; x += vg.Points(4) {
		// The line from (x, bottom) to (x+h, top), cut at both sides.
		from, to := max(x, r.Min.X), min(x+h, r.Max.X)
		if from < to {
			d.StrokeLine2(draw.LineStyle{Color: l.Edge, Width: vg.Points(0.6)}, from, r.Min.Y+from-x, to, r.Min.Y+to-x)
		}
	}
}
