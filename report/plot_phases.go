package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
)

// Sizes of the plot of phases: a panel for each platform, and in it a lane for each that works.
const (
	phaseName  = 4.6 * vg.Millimeter // a platform's name above its lanes
	phaseLane  = 3.8 * vg.Millimeter
	phaseAxis  = 6.2 * vg.Millimeter // ticks and their labels, and room to the next panel
	phaseLeft  = 23 * vg.Millimeter  // for the names of lanes
	phaseRight = 5 * vg.Millimeter   // half of the last tick's label
	phasesHigh = 165 * vg.Millimeter // of one figure: with more, there are several
	phasesMost = 3                   // figures
)

// lanes are those who work during a start, from the host to the program, with their phases.
// The phases of a container in a machine are drawn as one.
var lanes = []struct {
	name   string
	phases []string
}{
	{"host", []string{"start", "qemu", "restore", "overlay", "make cgroup", "clone", "id maps"}},
	{"engine", []string{"engine"}},
	{"runtime", []string{"runtime"}},
	{"firmware", []string{"firmware", "loader"}},
	{"guest's kernel", []string{"entry", "kernel", "running"}},
	{"guest's PID 1", []string{"resume", "renew", "init", "modules", "root", "ports", "network", "workload"}},
	{"new process", []string{"namespaces", "cgroup", "file system", "network", "privileges", "exec"}},
	{containerPart, []string{containerPart}},
	{"other", nil},
}

// laneOf is who works in a phase.
func laneOf(kind, phase string) string {
	guest := kind == "vm" || kind == "nested"
	for _, l := range lanes {
		switch {
		case !slices.Contains(l.phases, phase):
		case l.name == "new process" && guest, strings.HasPrefix(l.name, "guest") && !guest:
		case l.name == "engine" && guest:
			return "guest's PID 1"
		case l.name == "new process" && kind == "process":
			return "host"
		default:
			return l.name
		}
	}
	return "other"
}

// lanes are those of a start, from above.
func (l timeline) lanes() []string {
	var names []string
	for _, lane := range lanes {
		if slices.ContainsFunc(l.drawn(), func(p phaseOf) bool { return laneOf(l.Platform.Kind, p.Name) == lane.name }) {
			names = append(names, lane.name)
		}
	}
	return names
}

func (l timeline) height() vg.Length {
	return phaseName + vg.Length(len(l.lanes()))*phaseLane + phaseAxis
}

// phasesFigures answer: where does the time of a start go, and who works when? In each panel
// time runs to the right, on an axis of the platform's own, since one start takes a thousand
// times as long as another.
func (m *model) phasesFigures(lines []timeline) (list []block) {
	var total vg.Length
	for _, l := range lines {
		total += l.height()
	}
	figures := min(max(1, math.Ceil(float64(total/phasesHigh))), phasesMost)
	var some []timeline
	var height vg.Length
	for i, l := range lines {
		some = append(some, l)
		height += l.height()
		if last := i == len(lines)-1; last || len(list) < int(figures)-1 && height+lines[i+1].height()/2 > total/vg.Length(figures) {
			list, some, height = append(list, phasesFigure(some, height, len(list)+1)), nil, 0
		}
	}
	return list
}

// phasesFigure is the number-th of them.
func phasesFigure(lines []timeline, height vg.Length, number int) *figure {
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
	name, caption := "phases", "Who works when: the phases of the start nearest to the median, each when it happened, in the lane of who does the work. "+
		"Each platform has a time axis of its own, linear from 0, so a length is to be compared with others of the same platform. The table has the phases that are too short for their names."
	if number > 1 {
		name, caption = fmt.Sprintf("phases-%d", number), "The same of other platforms, again each with a time axis of its own, linear from 0."
	}
	if slices.ContainsFunc(lines, func(l timeline) bool { return l.Platform.Emulated }) {
		caption += " White bars: emulated."
	}
	return &figure{
		Name: name, Caption: caption + containerPartNote(lines), Alt: "Shares of the phases in a start: " + strings.Join(alt, "; ") + ".",
		W: plotWidth, H: height,
		Draw: func(c draw.Canvas) error {
			top := c.Max.Y
			for _, l := range lines {
				drawPhases(c, l, top)
				top -= l.height()
			}
			return nil
		},
	}
}

// drawPhases draws a panel below top.
func drawPhases(c draw.Canvas, l timeline, top vg.Length) {
	left, right := c.Min.X+phaseLeft, c.Max.X-phaseRight
	x := func(ns float64) vg.Length { return left + (right-left)*vg.Length(ns/l.Total) }
	names := l.lanes()
	above, bottom := top-phaseName, top-phaseName-vg.Length(len(names))*phaseLane
	mark := vg.Point{X: c.Min.X + vg.Points(6), Y: top - phaseName/2 - vg.Points(1)}
	l.Platform.look.Mark.draw(c, mark, vg.Points(2.6), l.Platform.inner(), l.Platform.look.Edge)
	c.FillText(text(8.5, true, ink, draw.XLeft, yMiddle), vg.Point{X: mark.X + vg.Points(6), Y: mark.Y}, l.Platform.label())
	c.FillText(text(8.5, false, ink, draw.XRight, yMiddle), vg.Point{X: right, Y: mark.Y}, "first instruction at "+result.FormatValue(l.Total, "ns"))
	step, below := timeStep(l.Total), bottom-vg.Points(2.5)
	for i := 0; float64(i)*step <= l.Total; i++ {
		at := x(float64(i) * step)
		c.StrokeLine2(draw.LineStyle{Color: rule, Width: vg.Points(0.5)}, at, bottom, at, above)
		c.StrokeLine2(draw.LineStyle{Color: ink, Width: vg.Points(0.6)}, at, bottom-vg.Points(2), at, bottom)
		style, label := text(7, false, ink, draw.XCenter, draw.YTop), tickLabel(float64(i)*step, "ns")
		if i == 0 { // its 0 stands below the tick
			at, label, style.XAlign = at+style.Width(label)/2, "time from "+label, draw.XRight
		}
		c.FillText(style, vg.Point{X: at, Y: below}, label)
	}
	for i, name := range names {
		middle := above - (vg.Length(i)+0.5)*phaseLane
		c.FillText(text(7.5, false, ink, draw.XRight, yMiddle), vg.Point{X: left - vg.Points(3), Y: middle}, name)
		c.StrokeLine2(draw.LineStyle{Color: faint, Width: vg.Points(0.5)}, left, middle+phaseLane/2, right, middle+phaseLane/2)
		l.drawLane(c, name, middle, right, x)
	}
	c.StrokeLine2(draw.LineStyle{Color: ink, Width: vg.Points(0.6)}, left, bottom, right, bottom)
	c.StrokeLine2(draw.LineStyle{Color: ink, Width: vg.Points(0.6)}, left, bottom, left, above)
}

// drawLane draws the phases of who works there, with their names in them or beside them, the
// longest first, as long as there is room.
func (l timeline) drawLane(c draw.Canvas, lane string, middle, right vg.Length, x func(float64) vg.Length) {
	const half = phaseLane * 0.4
	style := text(7, false, ink, draw.XLeft, yMiddle)
	phases := slices.DeleteFunc(slices.Clone(l.drawn()), func(p phaseOf) bool { return laneOf(l.Platform.Kind, p.Name) != lane })
	look := l.Platform.look
	if lane == containerPart {
		look = lookOf("container", 0)
	}
	fill := lighter(look.Fill)
	if l.Platform.Emulated {
		fill = white
	}
	type extent struct{ from, to vg.Length }
	var taken []extent
	for _, p := range phases {
		e := extent{x(p.Began), x(p.Began + p.Took)}
		taken = append(taken, e)
		corners := []vg.Point{{X: e.from, Y: middle - half}, {X: e.to, Y: middle - half}, {X: e.to, Y: middle + half}, {X: e.from, Y: middle + half}, {X: e.from, Y: middle - half}}
		c.FillPolygon(fill, corners)
		c.StrokeLines(draw.LineStyle{Color: look.Edge, Width: vg.Points(0.7)}, corners)
		tell(c, vg.Rectangle{Min: corners[0], Max: corners[2]}, l.Platform.label()+", "+lane+": "+p.Name, value(p.Took, "ns")+" from "+value(p.Began, "ns")+", "+share(p.Took, l.Total))
	}
	free := func(e extent) bool {
		return e.from >= x(0) && e.to <= right && !slices.ContainsFunc(taken, func(t extent) bool { return t.from < e.to && e.from < t.to })
	}
	slices.SortStableFunc(phases, func(a, b phaseOf) int { return cmp.Compare(b.Took, a.Took) })
	for _, p := range phases {
		const edge, gap = 0.1, 2.5
		name := p.Name + " " + result.FormatValue(p.Took, "ns")
		w, from, to := style.Width(name), x(p.Began), x(p.Began+p.Took)
		after, before := extent{to + edge, to + 2*gap + w}, extent{from - 2*gap - w, from - edge}
		switch short := style.Width(p.Name); {
		case w+gap <= to-from:
			c.FillText(style, vg.Point{X: (from + to - w) / 2, Y: middle}, name)
		case free(after):
			onWhite(c, style, vg.Point{X: to + gap, Y: middle}, name)
			taken = append(taken, after)
		case free(before):
			onWhite(c, style, vg.Point{X: from - gap - w, Y: middle}, name)
			taken = append(taken, before)
		case short+gap <= to-from:
			c.FillText(style, vg.Point{X: (from + to - short) / 2, Y: middle}, p.Name)
		}
	}
}
