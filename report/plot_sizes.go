package report

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
)

// Sizes of the plot of sizes.
const (
	sizeRow   = 5 * vg.Millimeter
	sizeNames = 50 * vg.Millimeter // at most, for what the bars are
	sizeMost  = 84                 // characters of a heading in one line
)

// A sized is one row of the plot of sizes: a file with its bytes, or, without a name, the
// heading of those that follow.
type sized struct {
	heading  string
	name     string
	bytes    int64
	image    int64     // of the bytes, those that are the image's own files
	platform *platform // whose look it has; nil for the image
}

// sizedRows are the image in its forms, and then what each platform needs besides.
// Platforms that need the same share their rows.
func (m *model) sizedRows(img *result.StoredImage) (rows []sized) {
	blobs, archives, disks := imageSums(img)
	rows = append(rows, sized{heading: "the image itself"}, sized{name: "compressed, to send", bytes: blobs, image: blobs}, sized{name: "unpacked", bytes: archives, image: archives})
	if disks > 0 {
		rows = append(rows, sized{name: "as disks (EROFS)", bytes: disks, image: disks})
	}
	var order []string
	groups := map[string][]*platform{}
	var missing []*platform
	for _, p := range m.platforms {
		if !p.ready() && len(p.Parts) == 0 {
			missing = append(missing, p)
			continue
		}
		key := p.Kind
		for _, part := range p.Parts {
			key += fmt.Sprintf("\n%s %d %v", part.Name, part.Bytes, part.WithImage)
		}
		if len(groups[key]) == 0 {
			order = append(order, key)
		}
		groups[key] = append(groups[key], p)
	}
	for _, key := range order {
		of := groups[key]
		first := of[0]
		who := labels(of)
		if len(first.Parts) == 0 {
			text := ": what they need besides was not recorded"
			if first.Kind == "process" || first.Kind == "container" {
				text = ": no file besides; the host's kernel serves them"
			}
			if len(of) == 1 {
				text = strings.NewReplacer("they need", "it needs", "them", "it").Replace(text)
			}
			rows = append(rows, headingRows(who+text, first)...)
			continue
		}
		_, besides := first.parts(img)
		rows = append(rows, headingRows(fmt.Sprintf("%s: %s besides the image", who, value(float64(besides), "bytes")), first)...)
		for _, part := range first.Parts {
			r := sized{name: clean(part.Name), bytes: part.Bytes, platform: first}
			if part.WithImage {
				r.image = min(archives, part.Bytes)
			}
			rows = append(rows, r)
		}
	}
	for _, p := range missing {
		rows = append(rows, headingRows(p.label()+": "+p.state(), p)...)
	}
	return rows
}

// headingRows are as many rows as a heading needs lines.
func headingRows(text string, p *platform) (rows []sized) {
	line := ""
	for _, word := range strings.Split(text, " ") {
		if line != "" && len([]rune(line+" "+word)) > sizeMost {
			rows = append(rows, sized{heading: line, platform: p})
			line, p = word, nil // the mark stands once
			continue
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(rows, sized{heading: line, platform: p})
}

// sizesFigure answers: how large is what has to be on a machine before a first start?
// Bars from zero on a linear axis, since their lengths are compared.
func (m *model) sizesFigure(img *result.StoredImage) *figure {
	rows := m.sizedRows(img)
	var alt []string
	for _, r := range rows {
		if r.name == "" {
			alt = append(alt, r.heading)
			continue
		}
		alt = append(alt, r.name+" "+value(float64(r.bytes), "bytes"))
	}
	caption := "What has to be on a computer before a first start, on a linear axis that begins at zero. Grey: the image's own files."
	if slices.ContainsFunc(rows, func(r sized) bool { return r.platform != nil && r.platform.Emulated && r.name != "" }) {
		caption += " Hatched: of an emulated machine."
	}
	return &figure{
		Name: "sizes", Caption: caption, Alt: "Sizes. " + strings.Join(alt, "; ") + ".",
		W: plotWidth, H: vg.Length(len(rows))*sizeRow + 4*vg.Millimeter + tickRoom + axisRoom,
		Draw: func(c draw.Canvas) error {
			drawSizes(c, rows)
			return nil
		},
	}
}

func drawSizes(c draw.Canvas, rows []sized) {
	style := text(8.5, false, ink, draw.XRight, yMiddle)
	most, names := 0.0, vg.Length(0)
	for _, r := range rows {
		most, names = max(most, float64(r.bytes)), max(names, style.Width(r.name))
	}
	names = min(names, sizeNames) + 2*vg.Millimeter
	const right, top = 48 * vg.Millimeter, 2 * vg.Millimeter
	p, inner, d, x := byteAxis(draw.Crop(c, names, 0, 0, 0), most, len(rows), nil, right, top, "bytes on disk (from 0)")
	for i, r := range rows {
		middle := d.Y(p.Y.Norm(-float64(i) - 0.5))
		if r.name == "" {
			at := vg.Point{X: d.Min.X + vg.Points(6), Y: middle - vg.Points(1.5)}
			onWhite(c, text(8.5, true, ink, draw.XLeft, yMiddle), vg.Point{X: at.X + vg.Points(6), Y: at.Y}, r.heading)
			if r.platform != nil {
				r.platform.look.Mark.draw(c, at, vg.Points(2.8), r.platform.inner(), r.platform.look.Edge)
			}
			continue
		}
		c.FillText(style, vg.Point{X: d.Min.X - vg.Points(4), Y: middle}, fitText(style, r.name, names-2*vg.Millimeter))
		half := sizeRow * 0.36
		box := func(from, to float64) vg.Rectangle {
			return vg.Rectangle{Min: vg.Point{X: x(from), Y: middle - half}, Max: vg.Point{X: x(to), Y: middle + half}}
		}
		l := look{Fill: grey, Edge: darker(grey)}
		own, all := box(0, float64(r.image)), box(0, float64(r.bytes))
		d.SetColor(lighter(grey))
		d.Fill(own.Path())
		if r.platform != nil {
			l = r.platform.look
			r.platform.fill(d, box(float64(r.image), float64(r.bytes)))
		}
		d.SetLineStyle(draw.LineStyle{Color: l.Edge, Width: vg.Points(0.7)})
		d.Stroke(all.Path())
		label := result.FormatValue(float64(r.bytes), "bytes")
		switch {
		case r.platform == nil || r.image <= 0:
		case r.image == r.bytes:
			label += ", all of it the image's"
		default:
			label += fmt.Sprintf(", of the image: %s", result.FormatValue(float64(r.image), "bytes"))
		}
		onWhite(c, text(8, false, ink, draw.XLeft, yMiddle), vg.Point{X: all.Max.X + vg.Points(5), Y: middle}, label)
		of := "the image"
		if r.platform != nil {
			of = r.platform.label()
		}
		tell(d, all, of+", "+r.name, label)
	}
	p.Draw(inner)
}
