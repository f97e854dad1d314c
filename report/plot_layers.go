package report

import (
	"fmt"
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/images/sharing"
	"vmctr/report/result"
)

// Sizes of the plot of layers.
const (
	layerRow      = 8 * vg.Millimeter  // the height of an image
	widestLayer   = 42 * vg.Millimeter // of a layer
	readableLayer = 22 * vg.Millimeter // so that its size has room
	layerNames    = 50 * vg.Millimeter // at most, for the images' names
)

// LayersSVG and LayersPNG draw which layers images share.
func LayersSVG(s sharing.Sharing) ([]byte, error) { return renderSVG(layersFigure(s)) }

// LayersPNG is the same picture in pixels, for a projector.
func LayersPNG(s sharing.Sharing) ([]byte, error) { return renderPNG(layersFigure(s)) }

// layersFigure answers: which layers do images share? A row for each image, its
// layers from the lowest on the left to the highest on the right, and a layer
// that several have drawn once, as tall as they are many.
func layersFigure(s sharing.Sharing) *figure {
	var alt []string
	for _, i := range s.Images {
		var signs []string
		for _, l := range i.Layers {
			signs = append(signs, s.Layers[l].Sign)
		}
		alt = append(alt, i.Name+" has "+cmpOr(strings.Join(signs, ", "), "no layers"))
	}
	caption := "The layers of the images, from the lowest on the left to the highest on the right. A layer that several images have is drawn once, as it is stored once."
	if slices.ContainsFunc(s.Layers, func(l sharing.Shared) bool { return len(l.Images) > 1 }) {
		caption += " Blue: layers of several images."
	}
	return &figure{
		Name: "layers", Caption: caption, Alt: strings.Join(alt, "; ") + ".",
		W: plotWidth, H: vg.Length(max(1, len(s.Images)))*layerRow + 2*vg.Millimeter + axisRoom,
		Draw: func(c draw.Canvas) error {
			drawLayers(c, s)
			return nil
		},
	}
}

func drawLayers(c draw.Canvas, s sharing.Sharing) {
	style := text(9, false, ink, draw.XLeft, yMiddle)
	names := vg.Length(0)
	for _, i := range s.Images {
		names = max(names, style.Width(i.Name))
	}
	names = min(names, layerNames) + 3*vg.Millimeter
	top := c.Max.Y - 1*vg.Millimeter
	for n, i := range s.Images {
		c.FillText(style, vg.Point{X: c.Min.X + 1*vg.Millimeter, Y: top - (vg.Length(n)+0.5)*layerRow}, fitText(style, i.Name, names-2*vg.Millimeter))
	}
	blocks, cell := fitLayers(s, c.Max.X-c.Min.X-names-2*vg.Millimeter)
	c.FillText(text(8, false, grey, draw.XLeft, draw.YBottom), vg.Point{X: c.Min.X + names + 0.5*vg.Millimeter, Y: c.Min.Y + 0.5*vg.Millimeter}, "lowest layer  →  highest layer")
	for _, b := range blocks {
		x := c.Min.X + names + vg.Length(b.Level)*cell
		r := vg.Rectangle{Min: vg.Point{X: x, Y: top - vg.Length(b.To)*layerRow}, Max: vg.Point{X: x + cell, Y: top - vg.Length(b.From)*layerRow}}
		drawBlock(c, s, b, r)
	}
}

// fitLayers chooses the blocks and the width of each: a layer by itself, or,
// where that leaves no room, those that the same images have in one.
func fitLayers(s sharing.Sharing, width vg.Length) ([]sharing.Block, vg.Length) {
	for _, merge := range []bool{false, true} {
		blocks := s.Blocks(merge)
		levels := 1
		for _, b := range blocks {
			levels = max(levels, b.Level+1)
		}
		if cell := min(widestLayer, width/vg.Length(levels)); cell >= readableLayer || merge {
			return blocks, cell
		}
	}
	return nil, 0
}

// sharedFill is a tint of the blue, ownFill one of the grey.
var (
	sharedFill = color.NRGBA{0xcc, 0xdd, 0xee, 0xff}
	ownFill    = color.NRGBA{0xf4, 0xf4, 0xf4, 0xff}
)

func drawBlock(c draw.Canvas, s sharing.Sharing, b sharing.Block, r vg.Rectangle) {
	fill, edge := ownFill, grey
	// A layer that lies in others on another base is shared too.
	if slices.ContainsFunc(b.Layers, func(l int) bool { return len(s.Layers[l].Images) > 1 }) {
		fill, edge = sharedFill, blue
	}
	const gap = 0.5 * vg.Millimeter
	in := vg.Rectangle{Min: vg.Point{X: r.Min.X + gap, Y: r.Min.Y + gap}, Max: vg.Point{X: r.Max.X - gap, Y: r.Max.Y - gap}}
	c.SetColor(fill)
	c.Fill(in.Path())
	c.SetLineStyle(draw.LineStyle{Color: edge, Width: vg.Points(0.7)})
	c.Stroke(in.Path())
	for _, l := range b.Layers {
		tell(c, in, "layer "+s.Layers[l].Sign, value(float64(s.Layers[l].Size), "bytes")+" in "+count(len(s.Layers[l].Images), "image", "images"))
	}

	var size int64
	for _, l := range b.Layers {
		size += s.Layers[l].Size
	}
	sign := s.Layers[b.Layers[0]].Sign
	if n := len(b.Layers); n > 1 {
		sign += "–" + s.Layers[b.Layers[n-1]].Sign
	}
	lines := []string{sign + "  " + result.FormatValue(float64(size), "bytes")}
	if n := len(b.Layers); n > 1 && b.To-b.From > 1 {
		lines = append(lines, fmt.Sprintf("%d layers", n))
	}
	if n := b.To - b.From; n > 1 {
		lines = append(lines, fmt.Sprintf("in %d images", n))
	}
	bold := text(9, true, ink, draw.XCenter, yMiddle)
	plain := text(8, false, ink, draw.XCenter, yMiddle)
	if bold.Width(lines[0]) > in.Max.X-in.Min.X-1*vg.Millimeter {
		lines[0] = sign
	}
	const leading = 4 * vg.Millimeter
	y := (in.Min.Y+in.Max.Y)/2 + vg.Length(len(lines)-1)*leading/2
	for n, line := range lines {
		style := plain
		if n == 0 {
			style = bold
		}
		if w := in.Max.X - in.Min.X - 1*vg.Millimeter; style.Width(line) <= w {
			c.FillText(style, vg.Point{X: (in.Min.X + in.Max.X) / 2, Y: y}, line)
		}
		y -= leading
	}
}

// fitText cuts a text that is wider than that.
func fitText(style draw.TextStyle, s string, width vg.Length) string {
	if style.Width(s) <= width {
		return s
	}
	r := []rune(s)
	for len(r) > 0 && style.Width(string(r)+"…") > width {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}
