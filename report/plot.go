package report

import (
	"bytes"
	"fmt"
	"image/color"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	gotext "gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// plotNames are the plots' files, without their endings.
var plotNames = []string{
	"ratios", "startup", "phases", "phases-2", "phases-3", "startup-running", "startup-together", "startup-size", "startup-cold", "vm-matrix",
	"memory", "memory-parts", "memory-many", "vm-memory", "layers", "selftest", "isolation", "isolation-2", "isolation-3", "ablation", "ablation-2",
	"surface", "interference", "namespaces", "sizes", "order", "order-2", applications,
}

// plotWidth is the width of the text on an A4 page of the PDF: a plot is drawn
// at the size at which it is printed.
const plotWidth = 174 * vg.Millimeter

// pngDPI makes a plot of that width 2,055 pixels wide, for a projector.
const pngDPI = 300

var fonts = gotext.Plain{Fonts: font.NewCache(liberation.Collection())}

// text is a text style of the plots, of a size in points.
func text(size float64, bold bool, c color.Color, x draw.XAlignment, y draw.YAlignment) draw.TextStyle {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(size)}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return draw.TextStyle{Color: c, Font: f, XAlign: x, YAlign: y, Handler: fonts}
}

// Where the small letters of a text have their middle: gonum's YCenter takes
// the middle of the line, and its vertical axis puts labels higher by a descent.
const (
	yMiddle     draw.YAlignment = -0.385
	yMiddleTick draw.YAlignment = -0.57
)

// newPlot is a plot with the report's text styles and no decoration.
func newPlot() *plot.Plot {
	p := plot.New()
	p.TextHandler = fonts
	p.BackgroundColor = nil
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.LineStyle.Width = vg.Points(0.6)
		a.LineStyle.Color = ink
		a.Tick.LineStyle = a.LineStyle
		a.Padding = 0
	}
	p.X.Tick.Label = text(8.5, false, ink, draw.XCenter, draw.YTop)
	p.Y.Tick.Label = text(8.5, false, ink, draw.XRight, yMiddleTick)
	return p
}

// axisRoom is what lies below the axis for its title.
const axisRoom = 5 * vg.Millimeter

// axisTitle sets the title of the horizontal axis below a plot's data. Gonum's
// own would be put where the middle of the range lies, and on a logarithmic
// axis that is far to the right.
func axisTitle(d draw.Canvas, bottom vg.Length, title string) {
	d.FillText(text(9, false, ink, draw.XCenter, draw.YBottom), vg.Point{X: (d.Min.X + d.Max.X) / 2, Y: bottom + 1*vg.Millimeter}, title)
}

// onWhite sets a text to the right of a point with a white ground, where lines
// of the grid pass.
func onWhite(d draw.Canvas, style draw.TextStyle, at vg.Point, s string) {
	w, half := style.Width(s), style.Font.Size*0.55
	d.FillPolygon(white, []vg.Point{{X: at.X - 1, Y: at.Y - half}, {X: at.X + w + 1, Y: at.Y - half}, {X: at.X + w + 1, Y: at.Y + half}, {X: at.X - 1, Y: at.Y + half}})
	d.FillText(style, at, s)
}

// drawFigure draws on a white ground, with a small margin. Gonum panics where
// a plot has no range; that is an error of this package, not a crash of bench.
func drawFigure(f *figure, c vg.CanvasSizer) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("drawing %s: %v", f.Name, r)
		}
	}()
	return f.Draw(draw.New(c))
}

func renderPNG(f *figure) ([]byte, error) {
	c := vgimg.NewWith(vgimg.UseWH(f.W, f.H), vgimg.UseDPI(pngDPI), vgimg.UseBackgroundColor(color.White))
	if err := drawFigure(f, c); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err := vgimg.PngCanvas{Canvas: c}.WriteTo(&b)
	return b.Bytes(), err
}
