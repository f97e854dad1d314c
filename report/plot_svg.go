package report

import (
	"bytes"
	"fmt"
	"html"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// svgCanvas draws as SVG, and takes note of the figures and of the widths of texts.
type svgCanvas struct {
	*vgsvg.Canvas
	figures []figured
	widths  []vg.Length
}

func (c *svgCanvas) note(f figured) { c.figures = append(c.figures, f) }

func (c *svgCanvas) FillString(f font.Face, at vg.Point, s string) {
	c.widths = append(c.widths, f.Width(s))
	c.Canvas.FillString(f, at, s)
}

// drawSVG draws a figure, and gives what is inside of the element svg.
func drawSVG(f *figure) (body string, figures []figured, err error) {
	c := &svgCanvas{Canvas: vgsvg.New(f.W, f.H)}
	if err := drawFigure(f, c); err != nil {
		return "", nil, err
	}
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", nil, err
	}
	_, body, _ = strings.Cut(b.String(), "<svg")
	_, body, _ = strings.Cut(body, ">")
	body, _, _ = strings.Cut(body, "</svg>")
	return c.fitTexts(strings.TrimSpace(body)), c.figures, nil
}

// fitTexts gives each text the width that it has in the font of the plots, so that it
// fits where the reader's machine has another.
func (c *svgCanvas) fitTexts(svg string) string {
	// After Liberation Sans, fonts whose letters are as wide.
	svg = strings.ReplaceAll(svg, "font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;")
	texts := strings.Split(svg, "<text ")
	var b strings.Builder
	b.WriteString(texts[0])
	for i, text := range texts[1:] {
		fmt.Fprintf(&b, "<text textLength=\"%.1f\" lengthAdjust=\"spacingAndGlyphs\" %s", c.widths[i].Points(), text)
	}
	return b.String()
}

// renderSVG gives a picture with a title and a description.
func renderSVG(f *figure) ([]byte, error) {
	body, _, err := drawSVG(f)
	if err != nil {
		return nil, err
	}
	w, h := f.W.Points(), f.H.Points()
	return fmt.Appendf(nil, `<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" width="%.5gpt" height="%.5gpt" viewBox="0 0 %.5[1]g %.5[2]g" xml:space="preserve">
<title>%s</title>
<desc>%s</desc>
<rect width="100%%" height="100%%" fill="white"/>
%s
</svg>
`, w, h, html.EscapeString(plainOf(f.Caption)), html.EscapeString(f.Alt), body), nil
}
