package report

import (
	"image/color"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
)

// A segment is one part of a machine's bar.
type segment struct {
	name string
	fill color.NRGBA
	size func(*model, *platform) float64
}

// segments are the parts in their order: what is the guest's in blue, what is an
// emulator's or shared in red, and what is QEMU's own in yellow.
var segments = []segment{
	{"guest RAM in use", blue, func(m *model, p *platform) float64 { used, _ := m.ramSplit(p); return used }},
	{"guest RAM that the guest calls free", tones["process"][0], func(m *model, p *platform) float64 { _, free := m.ramSplit(p); return free }},
	{"emulator's translations", red, sumOf("translations_pss_bytes")},
	{"kernel and initramfs files", tones["container"][0], sumOf("kernel_pss_bytes", "initramfs_pss_bytes")},
	{"QEMU's program", tones["vm"][0], sumOf("program_pss_bytes")},
	{"QEMU's data", yellow, sumOf("rest_pss_bytes")},
}

func sumOf(names ...string) func(*model, *platform) float64 {
	return func(m *model, p *platform) (sum float64) {
		for _, name := range names {
			v, _ := m.memoryMedian(p, name)
			sum += v
		}
		return sum
	}
}

// Sizes of the plot of parts.
const (
	partRow    = 13 * vg.Millimeter // a machine: its name, and its bar below
	partBar    = 6 * vg.Millimeter
	legendRow  = 5 * vg.Millimeter
	legendCols = 3
)

// partsFigure answers: of the memory of a machine, what is what? A bar for each machine,
// stacked, since its parts make a whole.
func (m *model) partsFigure(machines []*platform) *figure {
	var alt []string
	for _, p := range machines {
		var parts []string
		for _, s := range segments {
			if v := s.size(m, p); v > 0 {
				parts = append(parts, s.name+" "+value(v, "bytes"))
			}
		}
		alt = append(alt, p.label()+": "+strings.Join(parts, ", "))
	}
	legend := vg.Length((len(segments)+legendCols-1)/legendCols) * legendRow
	return &figure{
		Name: "memory-parts", Caption: "The PSS of each machine's QEMU, by what it is: medians, on a linear axis that begins at zero.",
		Alt: "What of a machine's memory is what. " + strings.Join(alt, "; ") + ".",
		W:   plotWidth, H: legend + vg.Length(len(machines))*partRow + 4*vg.Millimeter + tickRoom + axisRoom,
		Draw: func(c draw.Canvas) error {
			drawLegend(draw.Crop(c, 0, 0, c.Max.Y-c.Min.Y-legend, 0))
			m.drawParts(draw.Crop(c, 0, 0, 0, -legend), machines)
			return nil
		},
	}
}

// drawLegend names the segments, row by row.
func drawLegend(c draw.Canvas) {
	style := text(8, false, ink, draw.XLeft, yMiddle)
	width := (c.Max.X - c.Min.X - 2*vg.Millimeter) / legendCols
	for i, s := range segments {
		at := vg.Point{X: c.Min.X + 1*vg.Millimeter + vg.Length(i%legendCols)*width, Y: c.Max.Y - (vg.Length(i/legendCols)+0.5)*legendRow}
		fillBox(c, vg.Rectangle{Min: vg.Point{X: at.X, Y: at.Y - vg.Points(3.5)}, Max: vg.Point{X: at.X + vg.Points(9), Y: at.Y + vg.Points(3.5)}}, s.fill)
		c.FillText(style, vg.Point{X: at.X + vg.Points(13), Y: at.Y}, s.name)
	}
}

func fillBox(c draw.Canvas, r vg.Rectangle, fill color.NRGBA) {
	c.SetColor(fill)
	c.Fill(r.Path())
	c.SetLineStyle(draw.LineStyle{Color: white, Width: vg.Points(0.7)})
	c.Stroke(r.Path())
}

func (m *model) drawParts(c draw.Canvas, machines []*platform) {
	most := 0.0
	for _, p := range machines {
		sum := 0.0
		for _, s := range segments {
			sum += s.size(m, p)
		}
		most = max(most, sum)
	}
	const right, above = 20 * vg.Millimeter, 1 * vg.Millimeter // room for the whole of the longest bar
	p, c, d, x := byteAxis(c, most, len(machines), nil, right, above, "memory of QEMU on the host (PSS, from 0)")
	for i, q := range machines {
		top := d.Y(p.Y.Norm(-float64(i)))
		at := vg.Point{X: d.Min.X + vg.Points(12), Y: top - 3*vg.Millimeter}
		onWhite(d, text(9, true, ink, draw.XLeft, yMiddle), at, q.label())
		q.look.Mark.draw(d, vg.Point{X: d.Min.X + vg.Points(6), Y: at.Y}, vg.Points(2.8), q.inner(), q.look.Edge)
		low := top - 5.5*vg.Millimeter - partBar
		sum := 0.0
		for _, s := range segments {
			size := s.size(m, q)
			if size <= 0 {
				continue
			}
			r := vg.Rectangle{Min: vg.Point{X: x(sum), Y: low}, Max: vg.Point{X: x(sum + size), Y: low + partBar}}
			sum += size
			fillBox(d, r, s.fill)
			tell(d, r, q.label()+", "+s.name, value(size, "bytes"))
			drawInside(d, r, s.fill, result.FormatValue(size, "bytes"))
		}
		onWhite(d, text(8, false, ink, draw.XLeft, yMiddle), vg.Point{X: x(sum) + vg.Points(5), Y: low + partBar/2}, result.FormatValue(sum, "bytes"))
	}
	p.Draw(c)
}

// drawInside sets a text into a box, smaller if it has to be, or not at all if there is no room.
func drawInside(d draw.Canvas, r vg.Rectangle, fill color.NRGBA, label string) {
	colour := white
	if lightness(fill) > 140 {
		colour = ink
	}
	for _, style := range []draw.TextStyle{text(8, true, colour, draw.XCenter, yMiddle), text(7, false, colour, draw.XCenter, yMiddle)} {
		if style.Width(label) < r.Max.X-r.Min.X-vg.Points(3) {
			d.FillText(style, vg.Point{X: (r.Min.X + r.Max.X) / 2, Y: (r.Min.Y + r.Max.Y) / 2}, label)
			return
		}
	}
}

// lightness is that of a colour, of 255 (ITU-R BT.601).
func lightness(c color.NRGBA) float64 {
	return 0.299*float64(c.R) + 0.587*float64(c.G) + 0.114*float64(c.B)
}
