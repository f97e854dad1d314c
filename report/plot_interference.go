package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// Sizes of the plot of interference: a panel for each measure, and in all of them a row for
// each platform and neighbour.
const (
	interferedRow   = 4.2 * vg.Millimeter // for one mark, and half as much more for each other
	interferedName  = 5.5 * vg.Millimeter // a platform's name above its rows
	interferedLeft  = 13 * vg.Millimeter
	interferedGap   = 2 * vg.Millimeter
	interferedTop   = 10 * vg.Millimeter // legend, and titles of panels
	interferedBelow = 9 * vg.Millimeter
)

// keptTicks are the values that the axis can begin and end at, and that it labels where
// there is room.
var keptTicks = []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100}

// keptRange is from one of them to another, with all ratios between, and whether something
// lies beyond: a ratio that is smaller or larger than all of them, or a part of an interval.
func keptRange(list []*interfered) (lo, hi float64, beyond bool) {
	least, most := 0.5, 2.0
	low, high := least, most // of the intervals
	for _, x := range list {
		for _, r := range x.kept {
			if !math.IsNaN(r.Ratio) {
				least, most = min(least, r.Ratio), max(most, r.Ratio)
			}
			if !math.IsNaN(r.Low) && !math.IsNaN(r.High) {
				low, high = min(low, r.Low), max(high, r.High)
			}
		}
	}
	lo, hi = keptTicks[0], keptTicks[len(keptTicks)-1]
	for _, v := range keptTicks {
		if v <= least {
			lo = v
		}
		if v >= most {
			hi = v
			break
		}
	}
	return lo, hi, min(least, low) < lo || max(most, high) > hi
}

// aRow is what is drawn in one row: the same neighbour with limits and without.
type aRow struct {
	platform  *platform // of the first row of a platform: its name is above
	neighbour string
	marks     []*interfered
}

func (r aRow) height() vg.Length { return interferedRow * vg.Length(1+len(r.marks)) / 2 }

func interferedRows(list []*interfered) (rows []aRow) {
	for _, p := range platformsOf(list) {
		first := true
		for _, n := range isolation.Neighbours {
			r := aRow{neighbour: n.Name}
			for _, x := range list {
				if x.platform == p && x.Neighbour == n.Name {
					r.marks = append(r.marks, x)
				}
			}
			if len(r.marks) == 0 {
				continue
			}
			if first {
				r.platform, first = p, false
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// interferenceFigure answers: how much of its throughput does a victim keep?
func (m *model) interferenceFigure(list []*interfered) *figure {
	rows := interferedRows(list)
	var alt []string
	for _, x := range list {
		var parts []string
		for _, measure := range isolation.Measures {
			if r, ok := x.kept[measure.Name]; ok {
				parts = append(parts, measure.Title+" "+keptText(r))
			} else if slices.Contains(x.Silent, measure.Name) {
				parts = append(parts, measure.Title+" "+isolation.DidNotReport)
			}
		}
		alt = append(alt, x.platform.label()+" "+x.limits()+" limits beside "+x.Neighbour+": "+strings.Join(parts, ", "))
	}
	height := interferedTop + vg.Length(len(platformsOf(list)))*interferedName + interferedBelow
	for _, r := range rows {
		height += r.height()
	}
	lo, hi, beyond := keptRange(list)
	caption := "Throughput of a victim beside a neighbour, as a share of that alone: the ratio of medians with its 95% interval, on a logarithmic axis. 1, the line, is no loss; the further to the left, the greater it is. A mark without an interval is of too few samples for one."
	if beyond {
		caption += " What lies beyond the axis is cut off at its end."
	}
	return &figure{
		Name: "interference", W: plotWidth, H: height,
		Caption: caption,
		Alt:     "What a victim keeps of its throughput. " + strings.Join(alt, "; ") + ".",
		Draw:    func(c draw.Canvas) error { drawInterference(c, rows, lo, hi); return nil },
	}
}

func drawInterference(c draw.Canvas, rows []aRow, lo, hi float64) {
	c = draw.Crop(c, 1*vg.Millimeter, -1*vg.Millimeter, 0, 0)
	drawLimitsLegend(c, rows)
	n := vg.Length(len(isolation.Measures))
	width := (c.Max.X - c.Min.X - interferedLeft - (n-1)*interferedGap) / n
	top, bottom := c.Max.Y-interferedTop, c.Min.Y+interferedBelow
	// The places of rows, from the top.
	at := make([]vg.Length, len(rows))
	y := top
	for i, r := range rows {
		if r.platform != nil {
			y -= interferedName
		}
		at[i] = y - r.height()/2
		y -= r.height()
		c.FillText(text(8.5, false, ink, draw.XRight, yMiddle), vg.Point{X: c.Min.X + interferedLeft - vg.Points(4), Y: at[i]}, r.neighbour)
	}
	for k, measure := range isolation.Measures {
		left := c.Min.X + interferedLeft + vg.Length(k)*(width+interferedGap)
		x := func(v float64) vg.Length {
			return left + vg.Length(math.Log(min(max(v, lo), hi)/lo)/math.Log(hi/lo))*width
		}
		c.FillText(text(8.5, true, ink, draw.XCenter, draw.YBottom), vg.Point{X: left + width/2, Y: top + vg.Points(2)}, measure.Title)
		drawKeptAxis(c, x, lo, hi, bottom, top)
		for i, r := range rows {
			for j, mark := range r.marks {
				drawKept(c, mark, measure.Name, at[i]+rowOffset(j, len(r.marks)), left, lo, hi, x)
			}
		}
		c.StrokeLine2(draw.LineStyle{Color: ink, Width: vg.Points(0.6)}, left, bottom, left+width, bottom)
	}
	for i, r := range rows {
		if r.platform != nil { // above the lines of the first panel, into which a long name reaches
			onWhite(c, text(9, true, ink, draw.XLeft, yMiddle), vg.Point{X: c.Min.X, Y: at[i] + (r.height()+interferedName)/2}, r.platform.label())
		}
	}
	c.FillText(text(9, false, ink, draw.XCenter, draw.YBottom), vg.Point{X: (c.Min.X + interferedLeft + c.Max.X) / 2, Y: c.Min.Y + 0.5*vg.Millimeter}, "throughput beside the neighbour ÷ alone (log scale)")
}

// drawKeptAxis draws the grid of a panel and labels what has room, 1 first of all.
func drawKeptAxis(c draw.Canvas, x func(float64) vg.Length, lo, hi float64, bottom, top vg.Length) {
	style := text(8, false, ink, draw.XCenter, draw.YTop)
	var labelled []vg.Length
	label := func(v float64) {
		const apart = 6.2 * vg.Millimeter
		if slices.ContainsFunc(labelled, func(at vg.Length) bool { return max(at-x(v), x(v)-at) < apart }) {
			return
		}
		labelled = append(labelled, x(v))
		c.FillText(style, vg.Point{X: x(v), Y: bottom - vg.Points(2)}, fmt.Sprint(v))
	}
	label(1)
	label(lo)
	for _, v := range keptTicks {
		if v < lo || v > hi {
			continue
		}
		line := draw.LineStyle{Color: rule, Width: vg.Points(0.5)}
		if v == 1 {
			line = draw.LineStyle{Color: ink, Width: vg.Points(0.9)}
		}
		c.StrokeLine2(line, x(v), bottom, x(v), top)
		if v < hi { // the last would run into the next panel's first
			label(v)
		}
	}
}

// rowOffset parts the marks of a row: the first lies above.
func rowOffset(i, n int) vg.Length {
	return interferedRow / 4 * vg.Length(n-1-2*i)
}

// drawKept is one mark with its interval, or the word that stands in its place.
func drawKept(c draw.Canvas, x *interfered, measure string, y, left vg.Length, lo, hi float64, at func(float64) vg.Length) {
	r, ok := x.kept[measure]
	if !ok || math.IsNaN(r.Ratio) {
		word := "–"
		if slices.Contains(x.Silent, measure) {
			word = isolation.DidNotReport
		}
		onWhite(c, text(7, false, red, draw.XLeft, yMiddle), vg.Point{X: left + vg.Points(3), Y: y}, word)
		return
	}
	l := x.platform.look
	if !math.IsNaN(r.Low) && !math.IsNaN(r.High) {
		s := draw.LineStyle{Color: l.Edge, Width: vg.Points(0.9)}
		c.StrokeLine2(s, at(r.Low), y, at(r.High), y)
		for _, end := range []float64{r.Low, r.High} {
			if end >= lo && end <= hi {
				c.StrokeLine2(s, at(end), y-vg.Points(1.7), at(end), y+vg.Points(1.7))
			}
		}
	}
	l.Mark.draw(c, vg.Point{X: at(r.Ratio), Y: y}, vg.Points(2), limitsFill(x), l.Edge)
	tell(c, around(vg.Point{X: at(r.Ratio), Y: y}, vg.Points(3.5)), fmt.Sprintf("%s %s limits, %s beside %s", x.platform.label(), x.limits(), measure, x.Neighbour), keptText(r))
	style := text(7, false, ink, draw.XLeft, yMiddle)
	switch label := result.FormatRatio(r.Ratio); {
	case r.Ratio > hi:
		label += " →"
		onWhite(c, style, vg.Point{X: at(hi) - vg.Points(3.5) - style.Width(label), Y: y}, label)
	case r.Ratio < lo:
		onWhite(c, style, vg.Point{X: at(lo) + vg.Points(3.5), Y: y}, "← "+label)
	}
}

// limitsFill is full for an instance with limits, and white for one without.
func limitsFill(x *interfered) color.Color {
	if x.Limited {
		return x.platform.look.Fill
	}
	return white
}

func drawLimitsLegend(c draw.Canvas, rows []aRow) {
	y := c.Max.Y - 2*vg.Millimeter
	x := c.Min.X + interferedLeft
	for _, e := range []struct {
		fill color.Color
		name string
	}{{white, "without limits"}, {grey, "with limits (of a machine: its memory and processors)"}} {
		square.draw(c, vg.Point{X: x, Y: y}, vg.Points(2.2), e.fill, ink)
		style := text(8, false, ink, draw.XLeft, yMiddle)
		c.FillText(style, vg.Point{X: x + vg.Points(6), Y: y}, e.name)
		x += vg.Points(18) + style.Width(e.name)
	}
}
