package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"vmctr/report/result"
)

// The page is one file that asks the network for nothing: its style, its script
// and its plots are in it. A policy says so to the browser, and lets no other
// script run, whatever a journal holds.
var (
	//go:embed html/page.html
	pageHTML string
	//go:embed html/page.css
	pageCSS string
	//go:embed html/page.js
	pageJS string
)

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"kind":      kindOfBlock,
	"text":      markedHTML,
	"printable": printable,
	"join":      strings.Join,
	"number":    func(i int) int { return i + 1 },
}).Parse(pageHTML))

// page is what the template is filled with.
type page struct {
	*document
	Policy string
	Style  template.CSS
	Script template.JS
	plots  map[*figure]inlinePlot
}

// HTML writes the report as one page that holds all it needs.
func HTML(w io.Writer, run *result.Run) error {
	data, err := renderHTML(newModel(run).document())
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func renderHTML(d *document) ([]byte, error) {
	p := page{document: d, Script: template.JS(pageJS), plots: map[*figure]inlinePlot{}}
	var styles plotStyles
	for _, f := range d.figures() {
		var err error
		if p.plots[f], err = inline(f, &styles); err != nil {
			return nil, fmt.Errorf("drawing the plot %s: %w", f.Name, err)
		}
	}
	p.Style = template.CSS(pageCSS + styles.css())
	sum := sha256.Sum256([]byte(pageJS))
	p.Policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("setting the page: %w", err)
	}
	return b.Bytes(), nil
}

// Plot is a figure of the document, drawn.
func (p page) Plot(f *figure) inlinePlot { return p.plots[f] }

// Section is the ID of the section that says more of a row of the lecture's table.
func (p page) Section(criterion string) string {
	id := lectureSections[criterion]
	if slices.ContainsFunc(p.Sections, func(s section) bool { return s.ID == id }) {
		return id
	}
	return ""
}

// Asks tells whether there are questions to the student.
func (p page) Asks() bool {
	return slices.ContainsFunc(p.Sections, func(s section) bool { return len(s.Ask) > 0 })
}

// Note stands below the lecture's table.
func (p page) Note() string { return lectureNote }

// kindOfBlock tells the template how to set a block.
func kindOfBlock(b block) string {
	switch b.(type) {
	case heading:
		return "heading"
	case anchor:
		return "anchor"
	case paragraph:
		return "paragraph"
	case points:
		return "points"
	case *table:
		return "table"
	case *figure:
		return "figure"
	}
	panic(fmt.Sprintf("report: the page has no way to set a %T", b))
}

// markedHTML sets a text with the document's markup.
func markedHTML(text string) template.HTML {
	var b strings.Builder
	for _, p := range parse(text) {
		words := template.HTMLEscapeString(printable(p.text))
		switch {
		case p.mono:
			words = "<code>" + words + "</code>"
		case p.link != "":
			words = `<a href="` + template.HTMLEscapeString(p.link) + `">` + words + "</a>"
		case p.bold:
			words = "<b>" + words + "</b>"
		}
		b.WriteString(words)
	}
	return template.HTML(b.String())
}
