package report

import (
	"fmt"
	"html/template"
	"regexp"
	"strings"

	"gonum.org/v1/plot/vg"
)

// inlinePlot is a plot as a part of a page, with the figures that it shows.
type inlinePlot struct {
	SVG    template.HTML
	Values []figured
}

// plotStyles are the styles of all plots of a page. Drawing writes each in full
// at every line and letter; the page has it once, as a class.
type plotStyles struct {
	class map[string]string
	rules []string
}

func (s *plotStyles) of(style string) string {
	if s.class == nil {
		s.class = map[string]string{}
	}
	name := s.class[style]
	if name == "" {
		name = fmt.Sprintf("p%d", len(s.rules))
		s.class[style] = name
		s.rules = append(s.rules, "."+name+"{"+style+"}")
	}
	return name
}

func (s *plotStyles) css() string { return strings.Join(s.rules, "\n") + "\n" }

var styleAttribute = regexp.MustCompile(`\s*style="([^"]*)"`)

// inline draws a figure for a page. The names in it are made of that of the
// figure, so that those of several plots differ.
func inline(f *figure, styles *plotStyles) (inlinePlot, error) {
	body, figures, err := drawSVG(f)
	if err != nil {
		return inlinePlot{}, err
	}
	body = styleAttribute.ReplaceAllStringFunc(body, func(s string) string {
		return ` class="` + styles.of(styleAttribute.FindStringSubmatch(s)[1]) + `"`
	})
	var b strings.Builder
	w, h := f.W.Points(), f.H.Points()
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.2f %.2f" role="group" aria-labelledby="plot-%s-title plot-%s-desc">`, w, h, f.Name, f.Name)
	fmt.Fprintf(&b, "\n<title id=\"plot-%s-title\">%s</title>\n<desc id=\"plot-%s-desc\">%s</desc>\n", f.Name, template.HTMLEscapeString(plainOf(f.Caption)), f.Name, template.HTMLEscapeString(f.Alt))
	fmt.Fprintf(&b, "<g aria-hidden=\"true\">%s</g>\n<g class=\"values\">\n", body)
	for _, v := range figures {
		v.Rectangle = reachable(v.Rectangle)
		fmt.Fprintf(&b, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%s</title></rect>\n",
			v.Min.X.Points(), h-v.Max.Y.Points(), (v.Max.X - v.Min.X).Points(), (v.Max.Y - v.Min.Y).Points(), template.HTMLEscapeString(v.Name+": "+v.Value))
	}
	b.WriteString("</g>\n</svg>")
	return inlinePlot{template.HTML(b.String()), figures}, nil
}

// reachable is a place that is large enough to be pointed at.
func reachable(r vg.Rectangle) vg.Rectangle {
	const least = 6 // points
	if grow := (least - (r.Max.X - r.Min.X)) / 2; grow > 0 {
		r.Min.X, r.Max.X = r.Min.X-grow, r.Max.X+grow
	}
	if grow := (least - (r.Max.Y - r.Min.Y)) / 2; grow > 0 {
		r.Min.Y, r.Max.Y = r.Min.Y-grow, r.Max.Y+grow
	}
	return r
}

// plainOf is a text without its markup.
func plainOf(text string) string {
	var b strings.Builder
	for _, p := range parse(text) {
		b.WriteString(p.text)
	}
	return b.String()
}
