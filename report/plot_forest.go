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

// Sizes of the forest plot: a panel for each quantity, and in all of them a row for each
// platform.
const (
	forestRow   = 8.2 * vg.Millimeter // a mark, and its ratio in figures below it
	forestGap   = 4 * vg.Millimeter
	forestTop   = 10 * vg.Millimeter // two lines of title
	forestBelow = 10 * vg.Millimeter // ticks and their title
)

// leastRatio and mostRatio are the ends of the widest axis. What lies beyond is drawn at its end.
const leastRatio, mostRatio = 1e-6, 1e9

// forestFigure answers: how many times as much does each platform take, of each quantity?
// One mark for each ratio and a line for its interval, on a logarithmic axis that all panels
// have in common, so that what is far from the line at 1 in one is far in all.
func (m *model) forestFigure(list []measured) *figure {
	var alt []string
	emulated, alone := false, false
	for _, p := range m.others() {
		var parts []string
		for _, ms := range list {
			if r := ms.figure(p).Ratio; r != nil && !math.IsNaN(r.Ratio) {
				parts = append(parts, ms.Title+" "+ratio(*r))
				alone = alone || r.FormatInterval() == "–"
			}
		}
		alt = append(alt, p.label()+": "+cmpOr(strings.Join(parts, ", "), m.absent(list[0], p)))
		emulated = emulated || p.Emulated
	}
	caption := fmt.Sprintf("Ratio of medians: each platform's divided by that of %s, with its 95%% interval. The line at 1 is %[1]s; a mark to the right of it took more. "+
		"The axis is logarithmic, and the same in all panels: equal distances on it are equal factors.", m.base.the())
	if alone {
		caption += " A mark without a line had too few samples for an interval."
	}
	if emulated {
		caption += " Hollow marks: emulated."
	}
	f := forest{m: m, list: list, rows: m.others()}
	return &figure{
		Name: "ratios", Caption: caption, Alt: "Ratios to " + m.base.the() + ". " + strings.Join(alt, "; ") + ".",
		W: plotWidth, H: forestTop + vg.Length(len(f.rows))*forestRow + forestBelow,
		Draw: func(c draw.Canvas) error { f.draw(c); return nil },
	}
}

// others are all platforms but the plain process.
func (m *model) others() []*platform {
	return slices.DeleteFunc(slices.Clone(m.platforms), func(p *platform) bool { return p == m.base })
}

// forest is a forest plot.
type forest struct {
	m    *model
	list []measured
	rows []*platform
}

// axis is the range that holds every interval, and 1.
func (f forest) axis() (lo, hi float64) {
	lo, hi = 1, 1
	for _, ms := range f.list {
		for _, of := range ms.Figures {
			if of.Ratio == nil {
				continue
			}
			for _, v := range []float64{of.Ratio.Ratio, of.Ratio.Low, of.Ratio.High} {
				if !math.IsNaN(v) {
					lo, hi = min(lo, v), max(hi, v)
				}
			}
		}
	}
	return logRange(max(lo, leastRatio), min(hi, mostRatio))
}

func (f forest) draw(c draw.Canvas) {
	c = draw.Crop(c, 1*vg.Millimeter, -4*vg.Millimeter, 0, 0) // half of the last tick's label
	name := text(8.5, false, ink, draw.XRight, yMiddle)
	left := vg.Length(0)
	for _, p := range f.rows {
		left = max(left, name.Width(p.label()))
	}
	left += markRoom + 2*vg.Millimeter
	n := vg.Length(len(f.list))
	width := (c.Max.X - c.Min.X - left - (n-1)*forestGap) / n
	top, bottom := c.Max.Y-forestTop, c.Min.Y+forestBelow
	middle := func(i int) vg.Length { return top - (vg.Length(i)+0.5)*forestRow }
	for i, p := range f.rows {
		// The eye follows a row through all panels.
		c.StrokeLine2(draw.LineStyle{Color: rule, Width: vg.Points(0.4)}, c.Min.X, middle(i)+forestRow/2, c.Max.X, middle(i)+forestRow/2)
		at := vg.Point{X: c.Min.X + left - markRoom - vg.Points(1), Y: middle(i)}
		c.FillText(name, at, p.label())
		p.look.Mark.draw(c, vg.Point{X: at.X + vg.Points(6), Y: at.Y}, vg.Points(2.6), p.inner(), p.look.Edge)
	}
	lo, hi := f.axis()
	for k, ms := range f.list {
		from := c.Min.X + left + vg.Length(k)*(width+forestGap)
		f.panel(c, ms, from, width, lo, hi, middle, top, bottom)
	}
	c.FillText(text(9, false, ink, draw.XCenter, draw.YBottom), vg.Point{X: (c.Min.X + left + c.Max.X) / 2, Y: c.Min.Y + 0.5*vg.Millimeter},
		fmt.Sprintf("times as much as %s (log scale)", f.m.base.the()))
}

// panel draws one quantity between from and from+width.
func (f forest) panel(c draw.Canvas, ms measured, from, width vg.Length, lo, hi float64, middle func(int) vg.Length, top, bottom vg.Length) {
	x := func(v float64) vg.Length {
		v = min(max(v, lo), hi)
		return from + width*vg.Length(math.Log(v/lo)/math.Log(hi/lo))
	}
	base := "not measured"
	if s := ms.figure(f.m.base).Summary; s.N > 0 {
		base = "1 = " + value(s.Median, ms.unit())
	}
	c.FillText(text(8.5, true, ink, draw.XLeft, draw.YBottom), vg.Point{X: from, Y: top + 4.6*vg.Millimeter}, ms.Title)
	c.FillText(text(8, false, ink, draw.XLeft, draw.YBottom), vg.Point{X: from, Y: top + 1*vg.Millimeter}, base)
	style := text(8, false, ink, draw.XCenter, draw.YTop)
	for _, t := range decadeTicks(logTicks(lo, hi, timesUnit), x, style) {
		colour, length := rule, vg.Points(3.5)
		if t.Label == "" {
			colour, length = faint, vg.Points(2)
		}
		line := draw.LineStyle{Color: colour, Width: vg.Points(0.5)}
		if t.Value == 1 {
			line = draw.LineStyle{Color: ink, Width: vg.Points(0.9)}
		}
		c.StrokeLine2(line, x(t.Value), bottom, x(t.Value), top)
		c.StrokeLine2(draw.LineStyle{Color: ink, Width: vg.Points(0.6)}, x(t.Value), bottom-length, x(t.Value), bottom)
		if t.Label != "" {
			c.FillText(style, vg.Point{X: x(t.Value), Y: bottom - vg.Points(4.5)}, t.Label)
		}
	}
	c.StrokeLine2(draw.LineStyle{Color: ink, Width: vg.Points(0.6)}, from, bottom, from+width, bottom)
	for i, p := range f.rows {
		f.mark(c, ms, p, middle(i), from, width, x)
	}
}

// mark draws a ratio in the upper part of a row, and in the lower the same in figures.
func (f forest) mark(c draw.Canvas, ms measured, p *platform, middle, from, width vg.Length, x func(float64) vg.Length) {
	r := ms.figure(p).Ratio
	if r == nil || math.IsNaN(r.Ratio) {
		word := f.m.absent(ms, p)
		if ms.figure(p).Summary.N > 0 {
			word = "no ratio"
		}
		style := text(8, false, grey, draw.XLeft, yMiddle)
		onWhite(c, style, vg.Point{X: from + (width-style.Width(word))/2, Y: middle}, word)
		return
	}
	at := vg.Point{X: x(r.Ratio), Y: middle + 1.5*vg.Millimeter}
	if r.FormatInterval() != "–" {
		drawInterval(c, x(r.Low), x(r.High), at.Y)
	}
	p.look.Mark.draw(c, at, vg.Points(2.6), p.inner(), p.look.Edge)
	tell(c, around(at, vg.Points(4)), p.label()+", "+ms.Title, ratio(*r)+" times "+f.m.base.the())
	style := text(7.5, false, ink, draw.XLeft, yMiddle)
	words := result.FormatRatio(r.Ratio) + " (no interval)"
	if i := r.FormatInterval(); i != "–" {
		words = result.FormatRatio(r.Ratio) + " (" + i + ")"
	}
	w, least := style.Width(words), from
	if right := x(1) + vg.Points(3); x(1)-vg.Points(3) < at.X+w/2 && right+w <= from+width {
		least = right // not over the line at 1
	}
	onWhite(c, style, vg.Point{X: min(max(at.X-w/2, least), from+width-w), Y: middle - 2.1*vg.Millimeter}, words)
}

// decadeTicks labels powers of ten alone where there is no room for more, and of those every
// second or third.
func decadeTicks(ticks []plot.Tick, x func(float64) vg.Length, style draw.TextStyle) []plot.Tick {
	fits := func(ticks []plot.Tick) bool {
		right := vg.Length(math.Inf(-1))
		for _, t := range ticks {
			if half := style.Width(t.Label) / 2; t.Label != "" {
				if x(t.Value)-half < right+vg.Points(2) {
					return false
				}
				right = x(t.Value) + half
			}
		}
		return true
	}
	for every := 0; ; every++ {
		out := slices.Clone(ticks)
		for i, t := range out {
			e := math.Log10(t.Value)
			whole := math.Abs(e-math.Round(e)) < 1e-9
			if t.Label = strings.TrimSuffix(t.Label, nbsp+"×"); every > 0 && (!whole || int(math.Round(e))%every != 0) {
				t.Label = ""
			}
			out[i] = t
		}
		if fits(out) {
			return out
		}
	}
}
