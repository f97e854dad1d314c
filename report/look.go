package report

import (
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
)

// look is how a platform is drawn, the same in every plot: a colour for its
// kind, and a mark and a dash that tell it apart without colour.
type look struct {
	Fill  color.NRGBA
	Edge  color.NRGBA // a darker outline, which keeps the yellow visible on white
	Mark  mark
	Dash  []vg.Length
	Faint color.NRGBA // for the many single points
}

type mark int

const (
	circle mark = iota
	square
	triangle
	diamond
	wedge
	cross
	star
	hourglass
	leftward
)

// Paul Tol's high-contrast palette (https://personal.sron.nl/~pault/):
// lightness 29, 50 and 72, so that it also works printed in grey. It has three
// colours; what combines two kinds has a fourth, and a mark that no kind has.
var (
	blue   = color.NRGBA{0x00, 0x44, 0x88, 0xff}
	red    = color.NRGBA{0xBB, 0x55, 0x66, 0xff}
	yellow = color.NRGBA{0xDD, 0xAA, 0x33, 0xff}
	teal   = color.NRGBA{0x00, 0x99, 0x88, 0xff} // of his vibrant palette
	grey   = color.NRGBA{0x77, 0x77, 0x77, 0xff}

	white = color.NRGBA{0xff, 0xff, 0xff, 0xff}
	ink   = color.NRGBA{0x22, 0x22, 0x22, 0xff}
	rule  = color.NRGBA{0xd8, 0xd8, 0xd8, 0xff}
	faint = color.NRGBA{0xee, 0xee, 0xee, 0xff}
)

// Of several platforms of a kind, those after the first have another tone of its
// colour: of Paul Tol's medium-contrast palette, which has a light and a dark
// one of each. Their marks are those that no kind begins with. So eight more of a kind
// are told apart by mark and tone.
var (
	tones = map[string][]color.NRGBA{
		"process":   {{0x66, 0x99, 0xCC, 0xff}, {0x00, 0x44, 0x88, 0xff}},
		"container": {{0xEE, 0x99, 0xAA, 0xff}, {0x99, 0x44, 0x55, 0xff}},
		"vm":        {{0x99, 0x77, 0x00, 0xff}, {0xEE, 0xCC, 0x66, 0xff}},
	}
	otherMarks = []mark{wedge, cross, star, hourglass, leftward}
)

// lookOf gives the look of the i-th platform of a kind. Several of a kind share
// the hue, and differ in its tone, the mark and the dash.
func lookOf(kind string, i int) look {
	l := look{Fill: grey, Mark: diamond, Dash: dash(1, 2)}
	switch kind {
	case "process":
		l = look{Fill: blue, Mark: circle}
	case "container":
		l = look{Fill: red, Mark: square, Dash: dash(5, 2)}
	case "vm":
		l = look{Fill: yellow, Mark: triangle, Dash: dash(7, 2, 1.5, 2)}
	case "nested":
		l = look{Fill: teal, Mark: diamond, Dash: dash(2, 2)}
	}
	if i > 0 {
		l.Dash = dash(float64(1+i), 1.5)
		l.Mark = otherMarks[(i-1)%len(otherMarks)]
		if t := tones[kind]; t != nil {
			l.Fill = t[(i-1)%len(t)] // there are two, and an odd number of marks
		}
	}
	l.Edge = darker(l.Fill)
	l.Faint = l.Fill
	l.Faint.A = 0xb0
	return l
}

func dash(points ...float64) []vg.Length {
	var d []vg.Length
	for _, p := range points {
		d = append(d, vg.Points(p))
	}
	return d
}

func darker(c color.NRGBA) color.NRGBA {
	f := func(v uint8) uint8 { return uint8(float64(v) * 0.6) }
	return color.NRGBA{f(c.R), f(c.G), f(c.B), c.A}
}

// lighter is a colour on which text can be read.
func lighter(c color.NRGBA) color.NRGBA {
	mix := func(v uint8) uint8 { return uint8((3*255 + int(v)) / 4) }
	return color.NRGBA{mix(c.R), mix(c.G), mix(c.B), 0xff}
}

// draw sets a mark at a point, r is the radius of the circle.
func (k mark) draw(c vg.Canvas, at vg.Point, r vg.Length, fill, edge color.Color) {
	p := k.path(at, r)
	if fill != nil {
		c.SetColor(fill)
		c.Fill(p)
	}
	c.SetColor(edge)
	c.SetLineWidth(vg.Points(0.6))
	c.SetLineDash(nil, 0)
	c.Stroke(p)
}

// path is the outline of a mark. All marks have about the same area.
func (k mark) path(at vg.Point, r vg.Length) (p vg.Path) {
	if k == circle {
		p.Move(vg.Point{X: at.X + r, Y: at.Y})
		p.Arc(at, r, 0, 2*math.Pi)
		p.Close()
		return p
	}
	for i, c := range corners[k] {
		pt := vg.Point{X: at.X + r*c.X, Y: at.Y + r*c.Y}
		if i == 0 {
			p.Move(pt)
		} else {
			p.Line(pt)
		}
	}
	p.Close()
	return p
}

// corners are those of the marks that have any, for a circle with a radius of 1.
var corners = map[mark][]vg.Point{
	square:    rays(4, math.Pi/4, 1.25),
	diamond:   rays(4, 0, 1.25),
	triangle:  rays(3, math.Pi/2, 1.45),
	wedge:     rays(3, -math.Pi/2, 1.45),
	star:      rays(10, math.Pi/2, 1.5, 0.62),
	leftward:  {{X: -1.45, Y: 0}, {X: 0.75, Y: -1.25}, {X: 0.75, Y: 1.25}},
	hourglass: {{X: -1.1, Y: -1.2}, {X: 1.1, Y: -1.2}, {X: .25, Y: 0}, {X: 1.1, Y: 1.2}, {X: -1.1, Y: 1.2}, {X: -.25, Y: 0}},
	cross:     {{X: -.45, Y: -1.3}, {X: .45, Y: -1.3}, {X: .45, Y: -.45}, {X: 1.3, Y: -.45}, {X: 1.3, Y: .45}, {X: .45, Y: .45}, {X: .45, Y: 1.3}, {X: -.45, Y: 1.3}, {X: -.45, Y: .45}, {X: -1.3, Y: .45}, {X: -1.3, Y: -.45}, {X: -.45, Y: -.45}},
}

// rays are n corners around a middle, evenly, from an angle on; their distances from it
// take turns.
func rays(n int, start float64, distances ...vg.Length) (list []vg.Point) {
	for i := range n {
		r := distances[i%len(distances)]
		sin, cos := math.Sincos(start + 2*math.Pi*float64(i)/float64(n))
		list = append(list, vg.Point{X: r * vg.Length(cos), Y: r * vg.Length(sin)})
	}
	return list
}
