package report

import (
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A figured is a place in a plot that stands for a figure: a mark, a bar, a
// cell. A page can tell that figure to who points at the place.
type figured struct {
	vg.Rectangle        // from the lower left, in points
	Name         string // what it is of: "container, PSS"
	Value        string // with its unit and its error: "5.1 MiB (4.9 to 5.3 MiB, n = 12)"
}

// noting is a canvas that takes note of such places.
type noting interface{ note(figured) }

// tell says which figure a place of the plot that is being drawn stands for.
// Most canvases have no use for it.
func tell(d draw.Canvas, at vg.Rectangle, name, value string) {
	switch c := d.Canvas.(type) {
	case noting:
		c.note(figured{at, name, value})
	case draw.Canvas: // of which this is a part
		tell(c, at, name, value)
	}
}

// around is the place of a mark.
func around(at vg.Point, r vg.Length) vg.Rectangle {
	return vg.Rectangle{Min: vg.Point{X: at.X - r, Y: at.Y - r}, Max: vg.Point{X: at.X + r, Y: at.Y + r}}
}
