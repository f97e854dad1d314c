// Package canvas draws gonum plots as vectors into a page of an fpdf document.
//
// gonum/plot has a PDF canvas of its own, but it makes a document of its own,
// too, and encodes text in code page 1252, which garbles the micro sign among
// others. This one draws where it is told on a page that is being laid out,
// with a font that the document has embedded as UTF-8, so that text in a plot
// is text in the document: it can be searched, copied and read aloud.
package canvas

import (
	"image"
	"image/color"
	"math"
	"strings"

	"codeberg.org/go-pdf/fpdf"
	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// Canvas is a vg.CanvasSizer on a rectangle of a page. It changes the
// document's colours, line width, dash pattern and font; who draws on after it
// sets them anew.
type Canvas struct {
	doc    *fpdf.Fpdf
	family string
	w, h   vg.Length

	state state
	stack []state
}

// state is what Push saves and Pop restores.
type state struct {
	matrix matrix
	width  vg.Length
	dash   []vg.Length
	offset vg.Length
	colour color.Color
}

// New gives a canvas of w by h whose upper left corner is at x, y, in units of
// the document, on its current page. Text is set in the family, which the
// document knows in the styles that the plot uses ("", "B", "I").
func New(doc *fpdf.Fpdf, family string, x, y float64, w, h vg.Length) *Canvas {
	// vg counts points upwards from the lower left corner, a page of fpdf
	// counts units downwards from its upper left one.
	unit := doc.PointToUnitConvert(1)
	c := &Canvas{doc: doc, family: family, w: w, h: h}
	c.state.matrix = matrix{a: unit, d: -unit, e: x, f: y + h.Points()*unit}
	vg.Initialize(c)
	return c
}

// Size is the size that New was given.
func (c *Canvas) Size() (w, h vg.Length) { return c.w, c.h }

// SetLineWidth implements vg.Canvas.
func (c *Canvas) SetLineWidth(w vg.Length) { c.state.width = w }

// SetLineDash implements vg.Canvas.
func (c *Canvas) SetLineDash(pattern []vg.Length, offset vg.Length) {
	c.state.dash, c.state.offset = pattern, offset
}

// SetColor implements vg.Canvas.
func (c *Canvas) SetColor(colour color.Color) {
	if colour == nil {
		colour = color.Black
	}
	c.state.colour = colour
}

// Rotate implements vg.Canvas.
func (c *Canvas) Rotate(rad float64) {
	sin, cos := math.Sincos(rad)
	c.state.matrix = c.state.matrix.after(matrix{a: cos, b: sin, c: -sin, d: cos})
}

// Translate implements vg.Canvas.
func (c *Canvas) Translate(p vg.Point) {
	c.state.matrix = c.state.matrix.after(matrix{a: 1, d: 1, e: p.X.Points(), f: p.Y.Points()})
}

// Scale implements vg.Canvas.
func (c *Canvas) Scale(x, y float64) {
	c.state.matrix = c.state.matrix.after(matrix{a: x, d: y})
}

// Push implements vg.Canvas.
func (c *Canvas) Push() { c.stack = append(c.stack, c.state) }

// Pop implements vg.Canvas.
func (c *Canvas) Pop() {
	c.state = c.stack[len(c.stack)-1]
	c.stack = c.stack[:len(c.stack)-1]
}

// Stroke implements vg.Canvas.
func (c *Canvas) Stroke(p vg.Path) {
	if c.state.width <= 0 || len(p) == 0 {
		return
	}
	c.paint()
	scale := c.state.matrix.scale()
	c.doc.SetLineWidth(c.state.width.Points() * scale)
	dash := make([]float64, len(c.state.dash))
	for i, d := range c.state.dash {
		dash[i] = d.Points() * scale
	}
	c.doc.SetDashPattern(dash, c.state.offset.Points()*scale)
	c.trace(p)
	c.doc.DrawPath("D")
}

// Fill implements vg.Canvas.
func (c *Canvas) Fill(p vg.Path) {
	if len(p) == 0 {
		return
	}
	c.paint()
	c.trace(p)
	c.doc.DrawPath("F")
}

// FillString implements vg.Canvas.
func (c *Canvas) FillString(f font.Face, pt vg.Point, text string) {
	if f.Font.Size <= 0 || text == "" {
		return
	}
	c.paint()
	var style strings.Builder
	if f.Font.Weight >= xfont.WeightSemiBold {
		style.WriteByte('B')
	}
	if f.Font.Style != xfont.StyleNormal {
		style.WriteByte('I')
	}
	m := c.state.matrix
	unit := c.doc.PointToUnitConvert(1)
	c.doc.SetFont(c.family, style.String(), f.Font.Size.Points()*m.scale()/unit)
	x, y := m.apply(pt)
	angle := math.Atan2(-m.b, m.a) * 180 / math.Pi
	if angle == 0 {
		c.doc.Text(x, y, text)
		return
	}
	c.doc.TransformBegin()
	c.doc.TransformRotate(angle, x, y)
	c.doc.Text(x, y, text)
	c.doc.TransformEnd()
}

// DrawImage implements vg.Canvas. The report's plots are vectors: a plot with
// an image in it is a mistake of the program.
func (c *Canvas) DrawImage(vg.Rectangle, image.Image) {
	panic("canvas: images are not supported")
}

// paint sets the current colour for lines, areas and text.
func (c *Canvas) paint() {
	n := color.NRGBAModel.Convert(c.state.colour).(color.NRGBA)
	r, g, b := int(n.R), int(n.G), int(n.B)
	c.doc.SetDrawColor(r, g, b)
	c.doc.SetFillColor(r, g, b)
	c.doc.SetTextColor(r, g, b)
	alpha := float64(n.A) / 255
	if now, _ := c.doc.GetAlpha(); now != alpha {
		c.doc.SetAlpha(alpha, "Normal")
	}
}

func (c *Canvas) trace(path vg.Path) {
	m := c.state.matrix
	for _, p := range path {
		x, y := m.apply(p.Pos)
		switch p.Type {
		case vg.MoveComp:
			c.doc.MoveTo(x, y)
		case vg.LineComp:
			c.doc.LineTo(x, y)
		case vg.ArcComp:
			c.arc(p)
		case vg.CurveComp:
			x1, y1 := m.apply(p.Control[0])
			if len(p.Control) == 1 {
				c.doc.CurveTo(x1, y1, x, y)
				continue
			}
			x2, y2 := m.apply(p.Control[1])
			c.doc.CurveBezierCubicTo(x1, y1, x2, y2, x, y)
		case vg.CloseComp:
			c.doc.ClosePath()
		}
	}
}

// arc adds an arc as Bézier curves, PDF's only ones: pieces of a quarter circle
// or less, whose error is below 0.03% of the radius.
func (c *Canvas) arc(p vg.PathComp) {
	pieces := max(1, int(math.Ceil(math.Abs(p.Angle)/(math.Pi/2)-1e-9)))
	step := p.Angle / float64(pieces)
	k := 4.0 / 3 * math.Tan(step/4)
	at := func(angle, along float64) (x, y float64) {
		sin, cos := math.Sincos(angle)
		return c.state.matrix.apply(vg.Point{
			X: p.Pos.X + p.Radius*vg.Length(cos-along*sin),
			Y: p.Pos.Y + p.Radius*vg.Length(sin+along*cos),
		})
	}
	// An arc goes on from the current point, as in PostScript.
	c.doc.LineTo(at(p.Start, 0))
	for i := range pieces {
		from, to := p.Start+step*float64(i), p.Start+step*float64(i+1)
		x1, y1 := at(from, k)
		x2, y2 := at(to, -k)
		x, y := at(to, 0)
		c.doc.CurveBezierCubicTo(x1, y1, x2, y2, x, y)
	}
}

// matrix maps x, y to a*x+c*y+e, b*x+d*y+f.
type matrix struct{ a, b, c, d, e, f float64 }

func (m matrix) apply(p vg.Point) (x, y float64) {
	px, py := p.X.Points(), p.Y.Points()
	return m.a*px + m.c*py + m.e, m.b*px + m.d*py + m.f
}

// after is the matrix that maps by n first and by m then.
func (m matrix) after(n matrix) matrix {
	return matrix{
		a: m.a*n.a + m.c*n.b, b: m.b*n.a + m.d*n.b,
		c: m.a*n.c + m.c*n.d, d: m.b*n.c + m.d*n.d,
		e: m.a*n.e + m.c*n.f + m.e, f: m.b*n.e + m.d*n.f + m.f,
	}
}

// scale is the factor by which lengths grow: exact where both axes scale
// alike, as they do in every plot here.
func (m matrix) scale() float64 { return math.Sqrt(math.Abs(m.a*m.d - m.b*m.c)) }
