package report

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
)

// manyHeight is that of the plot of so many platforms, without its axis: each has its name
// and its slope beside it.
func manyHeight(platforms int) vg.Length {
	return max(80*vg.Millimeter, vg.Length(platforms)*7*vg.Millimeter+16*vg.Millimeter)
}

// manyFigure answers: what do so many instances occupy? Both axes are logarithmic, so that
// what costs twice as much lies as much higher everywhere, and one is seen beside 128.
func (m *model) manyFigure(list []*platform) *figure {
	alt := "PSS of all instances together over their number."
	for _, p := range list {
		l, x, _ := m.lineOf(p, "pss_bytes")
		most := 0.0
		for _, n := range x {
			most = max(most, n)
		}
		alt += " " + p.label() + ": " + value(l.Slope, "bytes") + " for each more, up to " + result.FormatValue(most, "") + "."
	}
	return &figure{
		Name: "memory-many", Caption: "PSS of all instances together over their number, on logarithmic axes: each measured total, the line through them, and its slope: what each more instance takes, with its 95% interval if there are enough points.",
		Alt: alt, W: plotWidth, H: manyHeight(len(list)) + tickRoom + axisRoom,
		Draw: func(c draw.Canvas) error {
			m.drawMany(c, list)
			return nil
		},
	}
}

func (m *model) drawMany(whole draw.Canvas, list []*platform) {
	mostN, lo, hi := 1.0, math.Inf(1), 0.0
	for _, q := range list {
		_, x, y := m.lineOf(q, "pss_bytes")
		for i := range x {
			mostN, lo, hi = max(mostN, x[i]), min(lo, max(y[i], 1)), max(hi, y[i])
		}
	}
	hi = min(max(hi, lo), mostBytes)
	p := newPlot()
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Min, p.X.Max = 0.9, mostN*1.1
	p.Y.Min, p.Y.Max = logRange(lo, hi)
	var ticks []plot.Tick
	for n := 1.0; n <= mostN; n *= 2 {
		ticks = append(ticks, plot.Tick{Value: n, Label: result.FormatValue(n, "")})
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Tick.Marker = plot.ConstantTicks(logByteTicks(p.Y.Min, p.Y.Max))
	const right = 56 * vg.Millimeter // for the names
	c := draw.Crop(whole, 1*vg.Millimeter, -right, axisRoom, -6*vg.Millimeter)
	d := p.DataCanvas(c)
	axisTitle(d, whole.Min.Y, "instances side by side (log scale)")
	whole.FillText(text(9, false, ink, draw.XLeft, draw.YTop), vg.Point{X: whole.Min.X + 1*vg.Millimeter, Y: whole.Max.Y}, "PSS of all of them (log scale)")
	at := func(n, bytes float64) vg.Point {
		return vg.Point{X: d.X(p.X.Norm(n)), Y: d.Y(p.Y.Norm(min(max(bytes, p.Y.Min), p.Y.Max)))}
	}
	for _, t := range logByteTicks(p.Y.Min, p.Y.Max) {
		y := at(1, t.Value).Y
		d.StrokeLine2(draw.LineStyle{Color: rule, Width: vg.Points(0.5)}, d.Min.X, y, d.Max.X, y)
	}
	var ends []vg.Point
	var labels []span
	for _, q := range list {
		l, x, y := m.lineOf(q, "pss_bytes")
		last := 1.0
		for _, n := range x {
			last = max(last, n)
		}
		var line []vg.Point
		for n := 1.0; ; n = min(n*1.05, last) {
			line = append(line, at(n, l.Intercept+l.Slope*n))
			if n == last {
				break
			}
		}
		d.StrokeLines(draw.LineStyle{Color: q.look.Edge, Width: vg.Points(1), Dashes: q.look.Dash}, line)
		for i := range x {
			q.look.Mark.draw(d, at(x[i], y[i]), vg.Points(2.4), q.inner(), q.look.Edge)
			tell(d, around(at(x[i], y[i]), vg.Points(3)), q.label()+", "+count(int(x[i]), "instance", "instances"), value(y[i], "bytes")+" of PSS together")
		}
		end := line[len(line)-1]
		ends = append(ends, end)
		labels = append(labels, span{float64(end.Y), 18}) // of two lines
	}
	name, small := text(8, true, ink, draw.XLeft, yMiddle), text(7.5, false, ink, draw.XLeft, yMiddle)
	if left, ok := place(labels, float64(d.Min.Y), float64(d.Max.Y), 1); ok {
		for i, q := range list {
			y := vg.Length(left[i]) + 9
			from := vg.Point{X: d.Max.X + vg.Points(10), Y: y}
			// A line from where another ends earlier would cross what goes on; its mark tells it.
			if ends[i].X > at(mostN, 1).X-1 {
				c.StrokeLine2(draw.LineStyle{Color: grey, Width: vg.Points(0.4)}, ends[i].X+vg.Points(4), ends[i].Y, from.X-vg.Points(2), from.Y+vg.Points(4.5))
			}
			q.look.Mark.draw(whole, vg.Point{X: from.X + vg.Points(3), Y: y + vg.Points(4.5)}, vg.Points(2.4), q.inner(), q.look.Edge)
			from.X += vg.Points(8)
			whole.FillText(name, vg.Point{X: from.X, Y: y + vg.Points(4.5)}, fitText(name, q.label(), whole.Max.X-from.X))
			l, _, _ := m.lineOf(q, "pss_bytes")
			slope := "+ " + result.FormatValue(l.Slope, "bytes") + " each"
			if i := bytesInterval(l.Low, l.High); i != "–" {
				slope += " (" + i + ")"
			}
			whole.FillText(small, vg.Point{X: from.X, Y: y - vg.Points(4.5)}, fitText(small, slope, whole.Max.X-from.X))
		}
	}
	p.Draw(c)
}

// logByteTicks are powers of two of bytes, few enough to be read.
func logByteTicks(lo, hi float64) (ticks []plot.Tick) {
	first, last := math.Ceil(math.Log2(lo)), math.Floor(math.Log2(hi))
	step := max(1, math.Ceil((last-first)/8))
	for e := math.Ceil(first/step) * step; e <= last; e += step {
		v := math.Pow(2, e)
		ticks = append(ticks, plot.Tick{Value: v, Label: tickLabel(v, "bytes")})
	}
	return ticks
}
