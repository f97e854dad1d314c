package report

import (
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result/isolation"
)

// Sizes of the ablation plot.
const (
	ablationRows  = 52 // of one page
	ablationRow   = 3.6 * vg.Millimeter
	ablationNames = 74 * vg.Millimeter
	ablationHead  = 30 * vg.Millimeter
)

// ablationFigures answer: which wall protects from what? A row for each attempt, a column
// for each wall.
func (m *model) ablationFigures(w *walls) (list []*figure) {
	if len(w.arena) < 3 {
		return nil
	}
	// A page ends between two groups.
	var pages [][]string
	for _, g := range isolation.Groups {
		var of []string
		for _, p := range w.ablation.Probes {
			if isolation.Find(p).Group == g {
				of = append(of, p)
			}
		}
		if n := len(pages); n == 0 || len(pages[n-1])+len(of) > ablationRows {
			pages = append(pages, nil)
		}
		pages[len(pages)-1] = append(pages[len(pages)-1], of...)
	}
	for i, probes := range pages {
		if len(probes) == 0 {
			continue
		}
		groups := 0
		for j, p := range probes {
			if j == 0 || isolation.Find(p).Group != isolation.Find(probes[j-1]).Group {
				groups++
			}
		}
		var alt []string
		for _, mech := range isolation.Mechanisms {
			opened, alone := w.ablation.Count(mech.Name)
			alt = append(alt, fmt.Sprintf("%s: %d opened without it, %d stopped by it alone", mech.Title, opened, alone))
		}
		caption := "Which wall protects from what. Filled: a container without this one wall lets the attempt through. Ring: this wall alone stops it. In the throwaway machine."
		if len(pages) > 1 {
			caption += fmt.Sprintf(" Part %d of %d.", i+1, len(pages))
		}
		name := "ablation"
		if i > 0 {
			name = fmt.Sprintf("ablation-%d", i+1)
		}
		list = append(list, &figure{
			Name: name, Caption: caption, Alt: strings.Join(alt, "; ") + ".",
			W: plotWidth, H: ablationHead + vg.Length(len(probes)+groups)*ablationRow + 2*vg.Millimeter,
			Draw: func(c draw.Canvas) error {
				drawAblation(c, w, probes)
				return nil
			},
		})
	}
	return list
}

func drawAblation(c draw.Canvas, w *walls, probes []string) {
	mechs := isolation.Mechanisms
	left := c.Min.X + ablationNames
	width := (c.Max.X - left) / vg.Length(len(mechs))
	head := text(7.5, false, ink, draw.XLeft, yMiddle)
	head.Rotation = math.Pi / 2
	top := c.Max.Y - ablationHead
	for i, mech := range mechs {
		c.FillText(head, vg.Point{X: left + (vg.Length(i)+0.5)*width, Y: top + 1.5*vg.Millimeter}, mech.Title)
	}
	y := top
	name, group := text(7.5, false, ink, draw.XLeft, yMiddle), text(7.5, true, ink, draw.XLeft, yMiddle)
	small := text(6.5, false, grey, draw.XCenter, yMiddle)
	last := ""
	for _, p := range probes {
		words := isolation.Find(p)
		if words.Group != last {
			last = words.Group
			c.StrokeLine2(draw.LineStyle{Color: rule, Width: vg.Points(0.5)}, c.Min.X, y, c.Max.X, y)
			c.FillText(group, vg.Point{X: c.Min.X + 1*vg.Millimeter, Y: y - ablationRow/2}, groupTitle(last))
			y -= ablationRow
		}
		middle := y - ablationRow/2
		c.FillText(name, vg.Point{X: c.Min.X + 3*vg.Millimeter, Y: middle}, fitText(name, words.Title, ablationNames-4*vg.Millimeter))
		if w.ablation.Verdict(p, isolation.Contained) == isolation.Reached {
			at := text(6.5, false, grey, draw.XLeft, yMiddle)
			c.FillText(at, vg.Point{X: left + 1*vg.Millimeter, Y: middle}, "reached with all walls up")
			y -= ablationRow
			continue
		}
		for i, mech := range mechs {
			at := vg.Point{X: left + (vg.Length(i)+0.5)*width, Y: middle}
			e := w.ablation.Effect(p, mech.Name)
			what := ""
			if e.Alone == isolation.Yes {
				what = ", stopped by it alone"
			}
			if e.Alone == isolation.Yes {
				circle.draw(c, at, 1.35*vg.Millimeter, nil, blue)
			}
			switch {
			case e.Opened == isolation.Yes:
				diamond.draw(c, at, 0.8*vg.Millimeter, red, darker(red))
				what = ", let through without it" + what
			case e.Opened == isolation.Unknown || e.Alone == isolation.Unknown:
				c.FillText(small, at, "?")
				what += ", not known"
			}
			if what != "" {
				tell(c, around(at, 1.6*vg.Millimeter), words.Title, mech.Title+what)
			}
		}
		y -= ablationRow
	}
	c.StrokeLine2(draw.LineStyle{Color: ink, Width: vg.Points(0.5)}, c.Min.X, top, c.Max.X, top)
}
