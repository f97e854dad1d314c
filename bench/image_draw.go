package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"vmctr/images/sharing"
)

// drawLayers draws images in columns of characters: a line for each image, its
// layers from the lowest on the left to the highest on the right, and a layer
// that several have once, as tall as they are many.
//
//	             ┌───────────┐
//	debian:12    │           │
//	             │  A 48 MiB ├───────────┐
//	nginx:latest │  in 3     │ B 12 MiB  │
//	             │  images   ├───────────┤
//	httpd:latest │           │ C 20 MiB  │
//	             └───────────┴───────────┘
//
// No line is longer than width. Where the layers have not room side by side,
// those that the same images have are one block.
func drawLayers(w io.Writer, s sharing.Sharing, width int) error {
	name := 0
	for _, i := range s.Images {
		name = max(name, utf8.RuneCountInString(i.Name))
	}
	name = min(name, width/3)
	blocks, cell := fitBlocks(s, width-name-2)
	c := newCanvas(width, 2*len(s.Images)+1)
	for n, i := range s.Images {
		c.text(0, 2*n+1, firstLine(i.Name, name))
	}
	for _, b := range blocks {
		x, top, bottom := name+1+b.Level*cell, 2*b.From, 2*b.To
		c.box(x, top, x+cell, bottom)
		lines := blockText(s, b, cell-2)
		lines = lines[:min(len(lines), bottom-top-1)]
		for n, line := range lines {
			c.text(x+2, (top+bottom+1-len(lines))/2+n, line)
		}
	}
	return c.write(w)
}

// The width of a block with its left edge: at most, and so that its size has
// room.
const (
	widestCell = 18
	readable   = 12
	leastCell  = 3
)

// fitBlocks chooses the blocks and the width of each.
func fitBlocks(s sharing.Sharing, width int) ([]sharing.Block, int) {
	for _, merge := range []bool{false, true} {
		blocks := s.Blocks(merge)
		levels := 1
		for _, b := range blocks {
			levels = max(levels, b.Level+1)
		}
		if cell := min(widestCell, width/levels); cell >= readable || merge {
			return blocks, max(cell, leastCell)
		}
	}
	return nil, 0
}

// blockText is what stands in a block: the signs of its layers, their size, and
// how many images have them.
func blockText(s sharing.Sharing, b sharing.Block, width int) []string {
	var size int64
	for _, l := range b.Layers {
		size += s.Layers[l].Size
	}
	signs := s.Layers[b.Layers[0]].Sign
	if n := len(b.Layers); n > 1 {
		signs += "–" + s.Layers[b.Layers[n-1]].Sign
	}
	var lines []string
	// add takes the longest of the texts that fits.
	add := func(texts ...string) {
		for _, t := range texts {
			if utf8.RuneCountInString(t) <= width {
				lines = append(lines, t)
				return
			}
		}
	}
	add(signs+" "+bytesText(size), signs, s.Layers[b.Layers[0]].Sign+"…")
	if n := len(b.Layers); n > 1 {
		add(fmt.Sprintf("%d layers", n))
	}
	if n := b.To - b.From; n > 1 {
		add(fmt.Sprintf("in %d images", n), fmt.Sprintf("in %d", n))
	}
	return lines
}

// canvas is a screen of characters. Lines are kept as the sides to which they
// leave a place, so that those of several boxes join.
type canvas struct {
	width, height int
	sides         []side
	letters       []rune
}

type side uint8

const (
	up side = 1 << iota
	down
	left
	right
)

var corners = map[side]rune{
	left | right: '─', up | down: '│',
	down | right: '┌', down | left: '┐', up | right: '└', up | left: '┘',
	up | down | right: '├', up | down | left: '┤', down | left | right: '┬', up | left | right: '┴',
	up | down | left | right: '┼',
}

func newCanvas(width, height int) *canvas {
	return &canvas{width, height, make([]side, width*height), make([]rune, width*height)}
}

func (c *canvas) add(x, y int, s side) {
	if x >= 0 && x < c.width && y >= 0 && y < c.height {
		c.sides[y*c.width+x] |= s
	}
}

func (c *canvas) box(x0, y0, x1, y1 int) {
	for x := x0; x < x1; x++ {
		for _, y := range []int{y0, y1} {
			c.add(x, y, right)
			c.add(x+1, y, left)
		}
	}
	for y := y0; y < y1; y++ {
		for _, x := range []int{x0, x1} {
			c.add(x, y, down)
			c.add(x, y+1, up)
		}
	}
}

func (c *canvas) text(x, y int, s string) {
	for _, r := range s {
		if x >= 0 && x < c.width && y >= 0 && y < c.height {
			c.letters[y*c.width+x] = r
		}
		x++
	}
}

func (c *canvas) write(w io.Writer) error {
	for y := range c.height {
		var line strings.Builder
		for i := y * c.width; i < (y+1)*c.width; i++ {
			r := ' '
			if c.letters[i] != 0 {
				r = c.letters[i]
			} else if c.sides[i] != 0 {
				r = corners[c.sides[i]]
			}
			line.WriteRune(r)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}
