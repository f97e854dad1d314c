package report

import (
	"fmt"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
)

const (
	phaseBar    = 7 * vg.Millimeter   // high
	phasePitch  = 12 * vg.Millimeter  // from one bar to the next
	phaseWidth  = 150 * vg.Millimeter // of a bar: a whole start
	phaseMargin = 2 * vg.Millimeter
)

// phasesFigure answers: where does the time of a start go? A bar for each platform,
// as long as any other whatever the start takes, and cut where a phase begins.
func (m *model) phasesFigure(lines []timeline) *figure {
	var alt []string
	for _, l := range lines {
		var shares []string
		for _, p := range l.drawn() {
			if s := p.Took / l.Total; s >= 0.01 {
				shares = append(shares, fmt.Sprintf("%s %.0f%%", p.Name, 100*s))
			}
		}
		alt = append(alt, l.Platform.label()+": "+strings.Join(shares, ", "))
	}
	return &figure{
		Name: "phases",
		Caption: "Where the time goes: the phases of the start nearest to the median, as shares of it, one after the other. A bar is a whole start, whose length is in figures above it; " +
			"the table has the phases that are too short for their names." + containerPartNote(lines),
		Alt: "Shares of the phases in a start: " + strings.Join(alt, "; ") + ".",
		W:   plotWidth, H: vg.Length(len(lines))*phasePitch + 2*phaseMargin,
		Draw: func(c draw.Canvas) error {
			for i, l := range lines {
				drawPhases(c, l, c.Max.Y-phaseMargin-vg.Length(i)*phasePitch)
			}
			return nil
		},
	}
}

// drawPhases draws a bar below top, with its name above it.
func drawPhases(c draw.Canvas, l timeline, top vg.Length) {
	left := c.Min.X + (c.Max.X-c.Min.X-phaseWidth)/2
	name := text(8.5, true, ink, draw.XLeft, draw.YTop)
	c.FillText(name, vg.Point{X: left, Y: top}, l.Platform.label())
	c.FillText(text(8.5, false, ink, draw.XRight, draw.YTop), vg.Point{X: left + phaseWidth, Y: top}, result.FormatValue(l.Total, "ns"))
	high := top - phasePitch + phaseBar + 0.5*vg.Millimeter
	low := high - phaseBar
	look := l.Platform.look
	for i, p := range l.drawn() {
		from, to := left+vg.Length(p.Began/l.Total)*phaseWidth, left+vg.Length((p.Began+p.Took)/l.Total)*phaseWidth
		// Neighbours differ in tone, so that also short ones are told apart.
		fill := white
		if i%2 == 0 {
			fill = lighter(look.Fill)
		}
		if p.Name == containerPart {
			fill = lighter(lookOf("container", 0).Fill)
		}
		corners := []vg.Point{{X: from, Y: low}, {X: to, Y: low}, {X: to, Y: high}, {X: from, Y: high}, {X: from, Y: low}}
		c.FillPolygon(fill, corners)
		c.StrokeLines(draw.LineStyle{Color: look.Edge, Width: vg.Points(0.6)}, corners)
		tell(c, vg.Rectangle{Min: corners[0], Max: corners[2]}, l.Platform.label()+", "+p.Name, value(p.Took, "ns")+", "+share(p.Took, l.Total))
		middle := vg.Point{X: (from + to) / 2, Y: (low + high) / 2}
		first, second := text(8, false, ink, draw.XCenter, draw.YBottom), text(7, false, ink, draw.XCenter, draw.YTop)
		took := result.FormatValue(p.Took, "ns")
		if room := to - from - vg.Points(4); first.Width(p.Name) <= room && second.Width(took) <= room {
			c.FillText(first, middle, p.Name)
			c.FillText(second, middle, took)
		}
	}
}
