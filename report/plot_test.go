package report

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"

	"vmctr/images/sharing"
	"vmctr/report/result"
)

// texts is a canvas that notes where the texts are.
type texts struct {
	*vgsvg.Canvas
	rotated bool
	boxes   []textBox
}

type textBox struct {
	text string
	vg.Rectangle
}

func (c *texts) Rotate(rad float64) { c.rotated = true; c.Canvas.Rotate(rad) }
func (c *texts) Pop()               { c.rotated = false; c.Canvas.Pop() }

func (c *texts) FillString(f font.Face, at vg.Point, s string) {
	// The title of the vertical axis is turned: it has its own room.
	if !c.rotated && s != "" {
		// From the line that letters stand on to their top.
		c.boxes = append(c.boxes, textBox{s, vg.Rectangle{Min: at, Max: vg.Point{X: at.X + f.Width(s), Y: at.Y + 0.7*f.Font.Size}}})
	}
	c.Canvas.FillString(f, at, s)
}

// check tells of texts that lie on one another or are cut off.
func (c *texts) check(t *testing.T, f *figure) {
	t.Helper()
	for i, a := range c.boxes {
		const hair = 0.1 // points, which nobody sees
		if a.Min.X < -hair || a.Min.Y < -hair || a.Max.X > f.W+hair || a.Max.Y > f.H+hair {
			t.Errorf("%s: %q is cut off at the edge: %v of %v by %v", f.Name, a.text, a.Rectangle, f.W, f.H)
		}
		for _, b := range c.boxes[:i] {
			if a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y {
				t.Errorf("%s: %q lies on %q", f.Name, a.text, b.text)
			}
		}
	}
}

// crowded is a run with copies of its platforms until there are 12, of nearly the same figures.
func crowded(run *result.Run) *result.Run {
	copied := *run
	copied.Platforms, copied.Samples = slices.Clone(run.Platforms), slices.Clone(run.Samples)
	var from []result.Platform
	all := 0
	for _, p := range run.Platforms {
		if p.Experiment == "" {
			all++
			if p.Kind != "process" {
				from = append(from, p)
			}
		}
	}
	for k := 0; len(from) > 0 && all < 12; k, all = k+1, all+1 {
		p := from[k%len(from)]
		name := fmt.Sprintf("%s,variant-%d", p.Name, k)
		for _, s := range run.Samples {
			if s.Platform != p.Name {
				continue
			}
			values := map[string]float64{}
			for n, v := range s.Values {
				values[n] = v * (1 + 0.03*float64(k))
			}
			s.Platform, s.Values = name, values
			copied.Samples = append(copied.Samples, s)
		}
		p.Name = name
		copied.Platforms = append(copied.Platforms, p)
	}
	return &copied
}

// TestTextsInPlots: no text of any plot of any run lies on another or is cut off.
func TestTextsInPlots(t *testing.T) {
	all := everyRun()
	for name, run := range everyRun() {
		all[name+", crowded"] = crowded(run)
	}
	all["large"] = synthetic{startup: 1200, memory: 650}.run()
	for seed := range uint64(3) {
		// The same names and other figures, so that the curves are elsewhere.
		run := manyPlatforms()
		rng := rand.New(rand.NewPCG(seed, 2))
		times := map[string]float64{}
		for _, s := range run.Samples {
			if times[s.Platform] == 0 {
				times[s.Platform] = 1 + 1e3*rng.Float64()
			}
			for k := range s.Values {
				s.Values[k] *= times[s.Platform]
			}
		}
		all[string(rune('a'+seed))] = run
	}
	for name, run := range all {
		t.Run(name, func(t *testing.T) {
			for _, f := range newModel(run).document().figures() {
				if !slices.Contains(plotNames, f.Name) {
					t.Errorf("plotNames has no %q", f.Name)
				}
				c := &texts{Canvas: vgsvg.New(f.W, f.H)}
				if err := drawFigure(f, c); err != nil {
					t.Fatal(err)
				}
				c.check(t, f)
			}
		})
	}
}

// TestTextsInLayers draws images that are hard to draw: of many layers, many,
// with long names, on different bases.
func TestTextsInLayers(t *testing.T) {
	stack := func(name, layers string) sharing.Stack {
		s := sharing.Stack{Name: name}
		for _, l := range layers {
			s.Layers = append(s.Layers, sharing.Layer{DiffID: string(l), Digest: string(l), Size: int64(l) << 20})
		}
		return s
	}
	var recipes []sharing.Stack
	for i := range 13 {
		recipes = append(recipes, stack(fmt.Sprintf("recipe%d:latest", i), "a"+string(rune('b'+i))))
	}
	long := strings.Repeat("registry.example.com/long/", 5) + "name:tag"
	for name, stacks := range map[string][]sharing.Stack{
		"none":     nil,
		"empty":    {stack("scratch:latest", "")},
		"recipes":  recipes,
		"deep":     {stack("a", "abcdefghijklmnopqrstuvwxyz"), stack("b", "abcdefghijklmnop"), stack("c", "abc")},
		"stairs":   {stack("a", "a"), stack("b", "ab"), stack("c", "abc"), stack("d", "abcd"), stack("e", "abcde"), stack("f", "abcdef"), stack("g", "abcdefg"), stack("h", "abcdefgh")},
		"names":    {stack(long, "ab"), stack(long+"2", "ac")},
		"on bases": {stack("a", "xz"), stack("b", "yz")},
	} {
		t.Run(name, func(t *testing.T) {
			f := layersFigure(sharing.Of(stacks))
			c := &texts{Canvas: vgsvg.New(f.W, f.H)}
			if err := drawFigure(f, c); err != nil {
				t.Fatal(err)
			}
			c.check(t, f)
			if len(stacks) > 0 && len(c.boxes) < len(stacks) {
				t.Errorf("%d texts for %d images", len(c.boxes), len(stacks))
			}
		})
	}
}
