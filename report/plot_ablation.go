package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result/isolation"
)

// Sizes of the ablation plot. It has two pages at most: if there are very many rows, they
// are set closer.
const (
	ablationPages = 2
	ablationRows  = 42 // of one page, if they fit on two
	ablationRow   = 4.2 * vg.Millimeter
	ablationNames = 78 * vg.Millimeter
	ablationHead  = 28 * vg.Millimeter
)

// ablated are the attempts of a group that meet the same walls, or the group's heading.
type ablated struct {
	group  string
	titles []string // none in a heading
	walls  []isolation.Effect
	open   bool // reached with all walls up
}

// ablatedRows are the rows of the plot: attempts of a group against which each wall does
// the same have one between them.
func (w *walls) ablatedRows() (groups [][]ablated) {
	for _, g := range isolation.Groups {
		rows := []ablated{{group: g}}
		for _, p := range w.ablation.Probes {
			words := isolation.Find(p)
			if words.Group != g {
				continue
			}
			r := ablated{group: g, open: w.ablation.Verdict(p, isolation.Contained) == isolation.Reached}
			for _, mech := range isolation.Mechanisms {
				r.walls = append(r.walls, w.ablation.Effect(p, mech.Name))
			}
			i := slices.IndexFunc(rows, func(o ablated) bool {
				return len(o.titles) > 0 && o.open == r.open && (r.open || slices.Equal(o.walls, r.walls))
			})
			if i < 0 {
				i, rows = len(rows), append(rows, r)
			}
			rows[i].titles = append(rows[i].titles, words.Title)
		}
		if len(rows) > 1 {
			groups = append(groups, rows)
		}
	}
	return groups
}

// pagesOf sets groups on pages, which end between two of them.
func pagesOf(groups [][]ablated) (pages [][]ablated) {
	for most := ablationRows; ; most++ {
		pages = nil
		for _, rows := range groups {
			if n := len(pages); n == 0 || len(pages[n-1])+len(rows) > most {
				pages = append(pages, nil)
			}
			pages[len(pages)-1] = append(pages[len(pages)-1], rows...)
		}
		if len(pages) <= ablationPages {
			return pages
		}
	}
}

// ablationFigures answer: which wall protects from what? A row for attempts that meet the
// same walls, a column for each wall.
func (m *model) ablationFigures(w *walls) (list []*figure) {
	if len(w.arena) < 3 {
		return nil
	}
	var alt []string
	for _, mech := range isolation.Mechanisms {
		opened, alone := w.ablation.Count(mech.Name)
		alt = append(alt, fmt.Sprintf("%s: %d opened without it, %d stopped by it alone", mech.Title, opened, alone))
	}
	untried := make([]bool, len(isolation.Mechanisms))
	for i, mech := range isolation.Mechanisms {
		untried[i] = !w.tried(mech.Name)
	}
	pages := pagesOf(w.ablatedRows())
	for i, rows := range pages {
		caption := "Which wall protects from what: our container in the throwaway machine, with all walls but one, and with one alone. Attempts of a group that meet the same walls share a row"
		if w.first("container") != nil || w.first("vm") != nil {
			caption += "; the [evidence](#evidence) has each by itself"
		}
		caption += "."
		if len(pages) > 1 {
			caption += fmt.Sprintf(" Part %d of %d.", i+1, len(pages))
		}
		name := "ablation"
		if i > 0 {
			name = fmt.Sprintf("ablation-%d", i+1)
		}
		pitch := min(ablationRow, ablationRow*ablationRows/vg.Length(len(rows)))
		list = append(list, &figure{
			Name: name, Caption: caption, Alt: strings.Join(alt, "; ") + ".",
			W: plotWidth, H: ablationHead + vg.Length(len(rows))*pitch + 2*vg.Millimeter,
			Draw: func(c draw.Canvas) error {
				drawAblation(c, rows, untried, pitch)
				return nil
			},
		})
	}
	return list
}

func drawAblation(c draw.Canvas, rows []ablated, untried []bool, pitch vg.Length) {
	left := c.Min.X + ablationNames
	width := (c.Max.X - left) / vg.Length(len(isolation.Mechanisms))
	head := text(7.5, false, ink, draw.XLeft, yMiddle)
	head.Rotation = math.Pi / 2
	top := c.Max.Y - ablationHead
	drawEffects(c, vg.Point{X: c.Min.X + 3*vg.Millimeter, Y: top + 14*vg.Millimeter})
	size := 7.5 * float64(pitch/ablationRow)
	name, group, small := text(size, false, ink, draw.XLeft, yMiddle), text(size, true, ink, draw.XLeft, yMiddle), text(6.5, false, grey, draw.XLeft, yMiddle)
	line := func(y vg.Length, colour color.Color) {
		c.StrokeLine2(draw.LineStyle{Color: colour, Width: vg.Points(0.5)}, c.Min.X, y, c.Max.X, y)
	}
	at := func(i int, y vg.Length) vg.Point { return vg.Point{X: left + (vg.Length(i)+0.5)*width, Y: y} }
	for i := range isolation.Mechanisms {
		if i%2 == 0 { // every second column has a ground, to find the wall of a mark by
			c.SetColor(faint)
			c.Fill(vg.Rectangle{Min: vg.Point{X: left + vg.Length(i)*width, Y: top - vg.Length(len(rows))*pitch}, Max: vg.Point{X: left + vg.Length(i+1)*width, Y: c.Max.Y}}.Path())
		}
	}
	for i, mech := range isolation.Mechanisms {
		style := head
		if untried[i] {
			style.Color = grey
		}
		c.FillText(style, at(i, top+1.5*vg.Millimeter), mech.Title)
	}
	y := top
	for n, r := range rows {
		middle := y - pitch/2
		switch {
		case len(r.titles) == 0:
			line(y, grey)
			c.FillText(group, vg.Point{X: c.Min.X + 1*vg.Millimeter, Y: middle}, groupTitle(r.group))
		default:
			if len(rows[n-1].titles) > 0 {
				line(y, rule)
			}
			more := ""
			if k := len(r.titles) - 1; k > 0 {
				more = fmt.Sprintf(", and %d more", k)
			}
			c.FillText(name, vg.Point{X: c.Min.X + 3*vg.Millimeter, Y: middle}, fitText(name, r.titles[0], ablationNames-5*vg.Millimeter-name.Width(more))+more)
		}
		if r.open {
			onWhite(c, small, vg.Point{X: left + 1*vg.Millimeter, Y: middle}, "reached with all walls up")
		} else {
			for i, e := range r.walls {
				if untried[i] {
					continue
				}
				if what := drawEffect(c, e, at(i, middle)); what != "" {
					tell(c, around(at(i, middle), 1.6*vg.Millimeter), strings.Join(r.titles, "; "), isolation.Mechanisms[i].Title+what)
				}
			}
		}
		y -= pitch
	}
	line(top, ink)
	line(y, grey)
	for i, not := range untried {
		if !not {
			continue
		}
		const label = "not tried in this run"
		style := head
		style.Color = grey
		from, half, long := at(i, (top+y)/2-style.Width(label)/2), style.Font.Size*0.7, style.Width(label)
		c.SetColor(white)
		c.Fill(vg.Rectangle{Min: vg.Point{X: from.X - half, Y: from.Y - 2}, Max: vg.Point{X: from.X + half, Y: from.Y + long + 2}}.Path())
		c.FillText(style, from, label)
	}
}

// drawEffect is the sign of what a wall does against an attempt, and the words for it: none
// if it does nothing.
func drawEffect(c draw.Canvas, e isolation.Effect, at vg.Point) (what string) {
	if e.Alone == isolation.Yes {
		circle.draw(c, at, 1.35*vg.Millimeter, nil, blue)
		what = ", stopped by it alone"
	}
	switch {
	case e.Opened == isolation.Yes:
		diamond.draw(c, at, 0.8*vg.Millimeter, red, darker(red))
		what = ", let through without it" + what
	case e.Opened == isolation.Unknown || e.Alone == isolation.Unknown:
		c.FillText(text(6.5, false, grey, draw.XCenter, yMiddle), at, "?")
		what += ", not known"
	}
	return what
}

// drawEffects says what the signs are, from the first downwards.
func drawEffects(c draw.Canvas, at vg.Point) {
	for _, sign := range []struct {
		effect isolation.Effect
		name   string
	}{
		{isolation.Effect{Opened: isolation.Yes, Alone: isolation.No}, "without this one wall, the attempt gets through"},
		{isolation.Effect{Opened: isolation.No, Alone: isolation.Yes}, "this wall alone stops the attempt"},
		{isolation.Effect{}, "not known"},
	} {
		drawEffect(c, sign.effect, at)
		c.FillText(text(7.5, false, ink, draw.XLeft, yMiddle), vg.Point{X: at.X + 2.5*vg.Millimeter, Y: at.Y}, sign.name)
		at.Y -= 4.2 * vg.Millimeter
	}
}
