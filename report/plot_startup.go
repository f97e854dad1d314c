package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
)

// stripMost is the largest sample whose single values are drawn: more would
// be a smear.
const stripMost = 30

// thinnedFrom is the size of a sample from which the curve says that it leaves out steps.
// What is left out is narrower than a printer's dot, in any sample.
const thinnedFrom = 10_000

// The y axis of the startup plot has two zones. From 0 to 1 it is the share of
// starts; below 0 each platform has a row of its own.
const (
	shareHeight = 52 * vg.Millimeter // of the upper zone
	rowHeight   = 9.5 * vg.Millimeter
	zoneGap     = 0.06
	rowPitch    = float64(rowHeight / shareHeight)

	nameRow    = 4.6 * vg.Millimeter // a row of names above
	rightRoom  = 37 * vg.Millimeter  // for the medians in figures
	tickRoom   = 6 * vg.Millimeter   // below the axis, for its ticks
	nameMargin = 2 * vg.Millimeter
	shareRoom  = 15 * vg.Millimeter // left of the axis, for its title and percentages
)

// startupFigure answers: how long does a start take on each platform, and how
// much do starts differ? Above, the share of starts that took no longer than a
// time; below, every start, and the median with its interval. Of many platforms the
// curves would be a tangle: those have the lower part alone.
func (m *model) startupFigure(ms measured, name string, curves bool) *figure {
	s := startups{figures: ms.present(), unit: ms.unit(), curves: curves, top: 2 * vg.Millimeter}
	if curves {
		// Where the curves are across decides how many rows of names there are, and
		// that how high the plot is.
		_, _, d, x := s.axes(draw.Canvas{Rectangle: vg.Rectangle{Max: vg.Point{X: plotWidth, Y: plotWidth}}})
		s.top = vg.Length(rowsOf(placeNames(d, s.figures, x)))*nameRow + 5*vg.Millimeter + shareHeight
	}
	var alt []string
	points := false
	for _, f := range s.figures {
		alt = append(alt, f.Platform.label()+" "+medianAndInterval(f.Summary, ms.unit()))
		points = points || f.Summary.N > 1 && f.Summary.N <= stripMost
	}
	caption := "Startup time on a logarithmic axis. "
	if curves {
		caption += "Above: the share of starts that took no longer than the time below it (the empirical distribution, ECDF). Below: "
	} else {
		caption += "Of each: "
	}
	if curves && slices.ContainsFunc(s.figures, func(f figureOf) bool { return f.Summary.N > thinnedFrom }) {
		caption = strings.TrimSuffix(caption, "Below: ") + "Of more than 10" + nbsp + "000 starts, a curve has only the steps that can be seen at this size. Below: "
	}
	if points {
		caption += "every start, the first of the run lowest and the last highest, and "
	}
	caption += "the median"
	if slices.ContainsFunc(s.figures, func(f figureOf) bool { return f.Summary.HasInterval() }) {
		caption += " with its 95% interval"
	}
	caption += "."
	if slices.ContainsFunc(s.figures, func(f figureOf) bool { return f.Platform.Emulated }) {
		caption += " Hollow marks: emulated."
	}
	return &figure{
		Name: name, Caption: caption, Alt: "Median startup time: " + strings.Join(alt, "; ") + ".",
		W: plotWidth,
		H: s.top + vg.Length(zoneGap)*shareHeight + vg.Length(len(s.figures))*rowHeight + tickRoom + axisRoom,
		Draw: func(c draw.Canvas) error {
			s.draw(c)
			return nil
		},
	}
}

// startups are a startup plot.
type startups struct {
	figures []figureOf
	unit    string
	curves  bool      // above the rows
	top     vg.Length // what is above the rows
	until   string    // up to which the time is, if not to the first instruction
}

// axes gives the plot without its curves on the canvas c, what of c it is drawn on,
// the part of that for the curves, and the place of a time across.
func (s startups) axes(c draw.Canvas) (p *plot.Plot, inner, d draw.Canvas, x func(float64) vg.Length) {
	figures := s.figures
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, f := range figures {
		lo, hi = min(lo, slices.Min(f.Summary.Values)), max(hi, slices.Max(f.Summary.Values))
	}
	// A time of zero has no place on a logarithmic axis.
	clamp := func(v float64) float64 { return min(max(v, leastTime), mostTime) }
	p = newPlot()
	p.X.Scale = plot.LogScale{}
	p.X.Min, p.X.Max = logRange(clamp(lo), clamp(hi))
	p.X.Tick.Marker = plot.ConstantTicks(logTicks(p.X.Min, p.X.Max, s.unit))
	p.Y.Min, p.Y.Max = -zoneGap-rowPitch*float64(len(figures)), 0
	p.Y.Tick.Length = 0

	var ticks []plot.Tick
	if s.curves {
		p.Y.Max = 1
		ticks = []plot.Tick{{Value: 0, Label: "0%"}, {Value: .25, Label: "25%"}, {Value: .5, Label: "50%"}, {Value: .75, Label: "75%"}, {Value: 1, Label: "100%"}}
	}
	for i, f := range figures {
		ticks = append(ticks, plot.Tick{Value: rowCentre(i), Label: f.Platform.label()})
	}
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)

	inner = draw.Crop(c, 1*vg.Millimeter+max(0, shareRoom-namesWidth(figures)), -rightRoom, axisRoom, 0)
	d = p.DataCanvas(inner)
	return p, inner, d, func(v float64) vg.Length { return d.X(p.X.Norm(clamp(v))) }
}

func (s startups) draw(c draw.Canvas) {
	names := s.top
	if s.curves {
		names -= shareHeight
	}
	p, inner, d, x := s.axes(draw.Crop(c, 0, 0, 0, -names))
	axisTitle(d, c.Min.Y, "time from the request to "+cmpOr(s.until, "the first instruction")+" (log scale)")
	y := func(v float64) vg.Length { return d.Y(p.Y.Norm(v)) }

	// The grid lies below all else.
	for _, t := range logTicks(p.X.Min, p.X.Max, s.unit) {
		colour := faint
		if t.Label != "" {
			colour = rule
		}
		d.StrokeLine2(draw.LineStyle{Color: colour, Width: vg.Points(0.5)}, x(t.Value), d.Min.Y, x(t.Value), d.Max.Y)
	}
	if s.curves {
		for _, share := range []float64{0.25, 0.5, 0.75, 1} {
			d.StrokeLine2(draw.LineStyle{Color: rule, Width: vg.Points(0.5)}, d.Min.X, y(share), d.Max.X, y(share))
		}
	}
	p.Draw(inner)
	if s.curves {
		d.StrokeLine2(draw.LineStyle{Color: ink, Width: vg.Points(0.6)}, d.Min.X, y(0), d.Max.X, y(0))
		share := text(9, false, ink, draw.XCenter, draw.YBottom)
		share.Rotation = math.Pi / 2
		c.FillText(share, vg.Point{X: d.Min.X - 12*vg.Millimeter, Y: y(0.5)}, "share of starts (from 0)")
	}
	for i, f := range s.figures {
		if s.curves {
			drawECDF(d, f, s.unit, x, y)
		}
		drawRow(d, f, rowCentre(i), s.unit, x, y)
	}
	if s.curves {
		drawNames(d, s.figures, x)
	}
}

// rowCentre is the middle of the i-th row below the shares.
func rowCentre(i int) float64 { return -zoneGap - rowPitch*(float64(i)+0.5) }

// drawECDF draws a step at each value, from nothing at the smallest to all at
// the largest.
func drawECDF(d draw.Canvas, f figureOf, unit string, x, y func(float64) vg.Length) {
	sorted := f.Summary.Sorted
	seen := 0.02 * vg.Millimeter
	if len(sorted) > thinnedFrom {
		seen = 0.08 * vg.Millimeter // a dot of 300 in an inch; the file is a quarter
	}
	var path vg.Path
	drawn := vg.Point{X: x(sorted[0]), Y: y(0)}
	path.Move(drawn)
	for i, v := range sorted {
		at := vg.Point{X: x(v), Y: y(float64(i) / float64(len(sorted)))}
		end := y(float64(i+1) / float64(len(sorted)))
		// Of very many values, most would be steps that nobody sees.
		if i > 0 && i+1 < len(sorted) && at.X-drawn.X < seen && end-drawn.Y < seen {
			continue
		}
		if i > 0 {
			path.Line(at)
		}
		at.Y = end
		path.Line(at)
		drawn = at
	}
	l := f.Platform.look
	// The dark line below keeps yellow visible on white.
	for _, line := range []draw.LineStyle{{Color: l.Edge, Width: vg.Points(2.6)}, {Color: l.Fill, Width: vg.Points(1.6)}} {
		line.Dashes = l.Dash
		d.SetLineStyle(line)
		d.Stroke(path)
	}
	d.SetLineDash(nil, 0)
	l.Mark.draw(d, vg.Point{X: x(f.Summary.Median), Y: y(0.5)}, vg.Points(3), f.Platform.inner(), l.Edge)
	for _, share := range []float64{0.25, 0.5, 0.75, 1} {
		v := sorted[int(math.Ceil(share*float64(len(sorted))))-1]
		tell(d, around(vg.Point{X: x(v), Y: y(share)}, vg.Points(4)), fmt.Sprintf("%s, %.0f%% of the starts", f.Platform.label(), 100*share), "in "+value(v, unit)+" or less")
	}
}

// inner is what marks are filled with: those of an emulated platform are
// hollow.
func (p *platform) inner() color.NRGBA {
	if p.Emulated {
		return white
	}
	return p.look.Fill
}

// drawRow draws every value in the upper part of a row and the median with its
// interval in the lower, and the figures of it at the right.
func drawRow(d draw.Canvas, f figureOf, centre float64, unit string, x, y func(float64) vg.Length) {
	l, s := f.Platform.look, f.Summary
	if s.N > 1 && s.N <= stripMost { // the only one is the median
		for i, v := range s.Values {
			rise := float64(i)/float64(s.N-1) - 0.5
			at := vg.Point{X: x(v), Y: y(centre + rowPitch*(0.15+0.46*rise))}
			fill := l.Faint
			if f.Platform.Emulated {
				fill = white
			}
			l.Mark.draw(d, at, vg.Points(1.5), fill, l.Edge)
			tell(d, around(at, vg.Points(2)), f.Platform.label(), fmt.Sprintf("%s, start %d of %d", value(v, unit), i+1, s.N))
		}
	}
	base := y(centre - 0.32*rowPitch)
	if s.HasInterval() {
		drawInterval(d, x(s.Low), x(s.High), base)
	}
	l.Mark.draw(d, vg.Point{X: x(s.Median), Y: base}, vg.Points(2.6), f.Platform.inner(), l.Edge)
	tell(d, around(vg.Point{X: x(s.Median), Y: base}, vg.Points(4)), f.Platform.label()+", median", medianAndInterval(s, unit))
	at := vg.Point{X: d.Max.X + 2*vg.Millimeter, Y: y(centre) + vg.Points(1)}
	median := text(9, true, ink, draw.XLeft, draw.YBottom)
	figure := result.FormatValue(s.Median, unit)
	d.FillText(median, at, figure)
	small := text(7.5, false, ink, draw.XLeft, draw.YBottom)
	d.FillText(small, vg.Point{X: at.X + median.Width(figure), Y: at.Y}, fmt.Sprintf("  n%s=%s%s", nbsp, nbsp, grouped(s.N)))
	note := s.FormatInterval(unit)
	if !s.HasInterval() {
		note = "too few for an interval"
	}
	d.FillText(small, vg.Point{X: at.X, Y: at.Y - vg.Points(9)}, note)
}

// drawInterval is a bar with caps, on the height at.
func drawInterval(d draw.Canvas, low, high, at vg.Length) {
	s := draw.LineStyle{Color: ink, Width: vg.Points(1)}
	cap := vg.Points(4.4) // higher than a mark, so that an interval that is narrower than one is seen
	d.StrokeLine2(s, low, at, high, at)
	d.StrokeLine2(s, low, at-cap, low, at+cap)
	d.StrokeLine2(s, high, at-cap, high, at+cap)
}

// The names above the curves.
const (
	markRoom = 3.6 * vg.Millimeter
	nameGap  = 8 // points between two
	poleGap  = 4 // points between the lines down from two
)

func nameStyle() draw.TextStyle { return text(9, true, ink, draw.XLeft, draw.YBottom) }

func nameWidth(f figureOf) vg.Length { return nameStyle().Width(f.Platform.label()) + markRoom }

// placeNames finds a place for each name, in points.
func placeNames(d draw.Canvas, figures []figureOf, x func(float64) vg.Length) []raised {
	var names []span
	for _, f := range figures {
		names = append(names, span{x(slices.Max(f.Summary.Values)).Points(), nameWidth(f).Points()})
	}
	return raise(names, poleGap, (d.Min.X - shareRoom + nameMargin).Points(), (d.Max.X + rightRoom - nameMargin).Points(), nameGap)
}

// namesWidth is the width of the names at the left of the rows.
func namesWidth(figures []figureOf) vg.Length {
	var most vg.Length
	for _, f := range figures {
		most = max(most, text(8.5, false, ink, draw.XRight, yMiddleTick).Width(f.Platform.label()))
	}
	return most
}

// drawNames sets each platform's name above its curve, with a line down to
// where the curve is complete.
func drawNames(d draw.Canvas, figures []figureOf, x func(float64) vg.Length) {
	for i, r := range placeNames(d, figures, x) {
		f := figures[i]
		look, width, pole := f.Platform.look, nameWidth(f), vg.Points(r.pole)
		at := vg.Point{X: vg.Points(r.left), Y: d.Max.Y + 4*vg.Millimeter + vg.Length(r.row)*nameRow}
		d.StrokeLines(draw.LineStyle{Color: look.Edge, Width: vg.Points(0.6)}, []vg.Point{{X: x(slices.Max(f.Summary.Values)), Y: d.Max.Y},
			{X: pole, Y: d.Max.Y + 2.5*vg.Millimeter}, {X: pole, Y: at.Y - vg.Points(1.5)}})
		// A white ground, should a pole pass here after all.
		d.FillPolygon(white, []vg.Point{{X: at.X - 1, Y: at.Y - 1}, {X: at.X + width + 1, Y: at.Y - 1}, {X: at.X + width + 1, Y: at.Y + 10}, {X: at.X - 1, Y: at.Y + 10}})
		look.Mark.draw(d, vg.Point{X: at.X + vg.Points(3.5), Y: at.Y + vg.Points(3.4)}, vg.Points(2.8), f.Platform.inner(), look.Edge)
		at.X += markRoom
		d.FillText(nameStyle(), at, f.Platform.label())
	}
}
