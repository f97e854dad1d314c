package report

import (
	"image/color"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// drawn is a canvas that notes what is filled, in which colour, beside the texts.
type drawn struct {
	texts
	colour color.Color
	fills  []filled
	all    []string // texts, also those that stand upright
}

type filled struct {
	colour color.NRGBA
	box    vg.Rectangle
	square bool // its corners are those of the box
}

func (c *drawn) SetColor(colour color.Color) { c.colour = colour; c.texts.SetColor(colour) }

func (c *drawn) FillString(f font.Face, at vg.Point, s string) {
	c.all = append(c.all, s)
	c.texts.FillString(f, at, s)
}

func (c *drawn) Fill(p vg.Path) {
	if box, corners := boundsOf(p); c.colour != nil {
		c.fills = append(c.fills, filled{color.NRGBAModel.Convert(c.colour).(color.NRGBA), box, corners})
	}
	c.texts.Fill(p)
}

// boundsOf is the smallest box around a path, and whether the path is that box.
func boundsOf(p vg.Path) (box vg.Rectangle, is bool) {
	is = true
	first := true
	for _, part := range p {
		switch part.Type {
		case vg.MoveComp, vg.LineComp:
			if first {
				box.Min, box.Max, first = part.Pos, part.Pos, false
			}
			box.Min.X, box.Min.Y = min(box.Min.X, part.Pos.X), min(box.Min.Y, part.Pos.Y)
			box.Max.X, box.Max.Y = max(box.Max.X, part.Pos.X), max(box.Max.Y, part.Pos.Y)
		case vg.ArcComp, vg.CurveComp:
			is = false
		}
	}
	for _, part := range p {
		if part.Type != vg.MoveComp && part.Type != vg.LineComp {
			continue
		}
		is = is && (part.Pos.X == box.Min.X || part.Pos.X == box.Max.X) && (part.Pos.Y == box.Min.Y || part.Pos.Y == box.Max.Y)
	}
	return box, is
}

// withoutAxis are the plots in which nothing is read from a scale.
var withoutAxis = []string{"layers", "isolation", "isolation-2", "ablation", "ablation-2", "namespaces"}

// filledAll are plots whose full marks or bars of an emulated platform mean something
// else, which they say: the parts of its memory, and that it has limits.
var filledAll = []string{"memory-parts", "interference"}

// TestPlotRules: each axis says that it begins at zero or that it is logarithmic; no
// length on a logarithmic axis is a bar; what is emulated is called so, and neither its
// bars nor its marks are full; no two texts lie on one another; each plot has its file.
func TestPlotRules(t *testing.T) {
	seen := map[string]bool{}
	for name, run := range everyRun() {
		m := newModel(run)
		for _, f := range m.document().figures() {
			seen[f.Name] = true
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				if !slices.Contains(plotNames, f.Name) {
					t.Errorf("plotNames has no %q", f.Name)
				}
				c := &drawn{texts: texts{Canvas: vgsvg.New(f.W, f.H)}}
				if err := drawFigure(f, c); err != nil {
					t.Fatal(err)
				}
				c.check(t, f)
				log, zero, emulated := 0, 0, 0
				for _, b := range c.all {
					log += strings.Count(b, "log scale")
					zero += strings.Count(b, "from 0")
					emulated += strings.Count(b, "emulated")
				}
				axes := log + zero
				if want := axesOf(f.Name, c.all); axes < want {
					t.Errorf("%d of its %d axes say where they begin: %q", axes, want, c.all)
				}
				if log > 0 {
					for _, b := range c.fills {
						if b.square && isBar(b) {
							t.Errorf("a bar of %v on a logarithmic axis: %v", b.colour, b.box)
						}
					}
				}
				full := map[color.NRGBA]bool{} // of platforms that are not emulated
				for _, p := range m.everyone() {
					full[p.look.Fill] = full[p.look.Fill] || !p.Emulated
				}
				for _, p := range m.everyone() {
					if !p.Emulated || full[p.look.Fill] || slices.Contains(filledAll, f.Name) {
						continue
					}
					for _, b := range c.fills {
						if b.colour == p.look.Fill {
							t.Errorf("something of %s is full, and it is emulated: %v", p.Name, b.box)
						}
					}
				}
				if named := slices.ContainsFunc(m.everyone(), func(p *platform) bool {
					return p.Emulated && slices.ContainsFunc(c.all, func(s string) bool { return strings.Contains(s, p.Name) })
				}); named && emulated == 0 {
					t.Error("it names an emulated platform and does not say so")
				}
			})
		}
	}
	for _, name := range plotNames {
		// What has several pages has a number there.
		if !seen[name] && !seen[strings.TrimRight(name, "-0123456789")] {
			t.Errorf("no run of the tests has the plot %s", name)
		}
	}
}

// isBar tells a bar from the mark of a platform and from the grid.
func isBar(f filled) bool {
	w, h := f.box.Max.X-f.box.Min.X, f.box.Max.Y-f.box.Min.Y
	return max(w, h) > vg.Points(14) && min(w, h) > vg.Points(2) && f.colour != white && f.colour != faint
}

// axesOf is how many axes with a scale a plot has at least.
func axesOf(name string, all []string) int {
	switch {
	case slices.Contains(withoutAxis, name):
		return 0
	case slices.Contains([]string{"memory-many", "startup-running", "startup-together", "startup-size", "selftest"}, name):
		return 2
	case slices.Contains(all, "100%"): // the share of starts
		return 2
	}
	return 1
}
