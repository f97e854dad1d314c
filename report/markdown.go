package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"

	"vmctr/report/result"
)

// Markdown writes the run in short, for a README or a merge request: the lecture's table,
// the main figures, what the walls stopped, and how to measure it again. All of it is in
// the file that [Write] makes.
func Markdown(w io.Writer, run *result.Run) error {
	m := newModel(run)
	doc := m.document()
	if !isSelftest(run) {
		doc.Sections = []section{m.inShort()}
		// Which has no appendix.
		elsewhere := strings.NewReplacer("the appendix", "the report", "The appendix", "The report").Replace
		for i, a := range doc.Alerts {
			doc.Alerts[i] = elsewhere(a)
		}
		doc.Lecture.Left = elsewhere(doc.Lecture.Left)
	}
	var b bytes.Buffer
	writeMarkdown(&b, doc)
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// inShort is what of the sections fits into a merge request.
func (m *model) inShort() section {
	s := section{Title: "The figures"}
	t := &table{Columns: []column{{Title: "Platform"}}}
	var list []measured
	for _, name := range []string{"first_instruction_ns", "http_ns", "pss_bytes", "cgroup_bytes"} {
		if ms := m.metric(name); len(ms.present()) > 0 {
			list = append(list, ms)
			t.Columns = append(t.Columns, column{Title: ms.Title, Right: true})
		}
	}
	for _, p := range m.platforms {
		row := []string{p.label()}
		for _, ms := range list {
			cell := m.absent(ms, p)
			if f := ms.figure(p); f.Summary.N > 0 {
				cell = medianAndInterval(f.Summary, ms.unit())
				if f.Ratio != nil && !math.IsNaN(f.Ratio.Ratio) {
					cell += "\n" + result.FormatRatio(f.Ratio.Ratio) + " times " + ms.Base.Name
				}
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	if len(list) == 0 {
		s.Blocks = append(s.Blocks, m.nothing("startup"))
	} else {
		t.Notes = []string{"Medians; in brackets their 95% confidence intervals, and n, the number of values."}
		if len(m.emulated()) > 0 {
			t.Notes = append(t.Notes, emulatedMeans)
		}
		s.Blocks = append(s.Blocks, t)
	}
	if lines := m.walls.lines(); len(lines) > 0 {
		s.Blocks = append(s.Blocks, heading("Attempts to get out"), points(lines))
	}
	s.Blocks = append(s.Blocks, paragraph{"To measure this again:", "`" + m.command() + "`"})
	return s
}

// writeMarkdown sets the document in GitHub Flavored Markdown, for a README or
// a merge request. The plots are beside it.
func writeMarkdown(w io.Writer, d *document) {
	fmt.Fprintf(w, "# %s\n\n%s\n\n%s\n\n", d.Title, escape(d.Subtitle), escape(d.Host))
	if len(d.Alerts) > 0 {
		fmt.Fprintf(w, "> **Before you read on**\n>\n")
		for _, a := range d.Alerts {
			fmt.Fprintf(w, "> - %s\n", escape(a))
		}
		fmt.Fprintln(w)
	}
	if len(d.Lecture.Rows) > 0 {
		markdownLecture(w, d.Lecture)
	}
	for _, s := range d.Sections {
		if s.ID != "" {
			fmt.Fprintf(w, "<a id=\"%s\"></a>\n\n", s.ID)
		}
		fmt.Fprintf(w, "## %s\n\n", s.Title)
		for _, b := range s.Blocks {
			markdownBlock(w, b)
		}
		if len(s.Ask) > 0 {
			fmt.Fprint(w, "**Questions for you**\n\n")
			for i, q := range s.Ask {
				fmt.Fprintf(w, "%d. %s\n", i+1, q)
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintf(w, "---\n\nbench, run %s\n", escape(d.Run))
}

func markdownLecture(w io.Writer, t lectureTable) {
	fmt.Fprintf(w, "## The lecture's table, measured\n\n| | Container | Virtual machine | Verdict |\n|---|---|---|---|\n")
	for _, r := range t.Rows {
		cell := func(c lectureCell) string {
			return "*Lecture: " + escapeCell(c.Lecture) + "*<br>" + escapeCell(strings.Join(c.Measured, "\n"))
		}
		fmt.Fprintf(w, "| **%s** | %s | %s | **%s.** %s |\n", escapeCell(r.Criterion), cell(r.Container), cell(r.VM), r.Verdict.Mark, escapeCell(r.Verdict.Text))
	}
	fmt.Fprintln(w)
	if t.Also != "" {
		fmt.Fprintf(w, "%s\n\n", escape(t.Also))
	}
	if t.Left != "" {
		fmt.Fprintf(w, "%s\n\n", escape(t.Left))
	}
}

func markdownBlock(w io.Writer, b block) {
	switch b := b.(type) {
	case heading:
		fmt.Fprintf(w, "### %s\n\n", b)
	case anchor:
		fmt.Fprintf(w, "<a id=\"%s\"></a>\n\n", b)
	case paragraph:
		if b.Lead != "" {
			fmt.Fprintf(w, "**%s**", b.Lead)
			if b.Text != "" {
				fmt.Fprint(w, " ")
			}
		}
		fmt.Fprint(w, inMarkdown(b.Text))
		fmt.Fprint(w, "\n\n")
	case points:
		for _, p := range b {
			fmt.Fprintf(w, "- %s\n", escape(p))
		}
		fmt.Fprintln(w)
	case *table:
		markdownTable(w, b)
	case *figure:
		fmt.Fprintf(w, "![%s](%s/%s.svg)\n\n*%s*\n\n", escape(b.Alt), plotFolder, b.Name, inMarkdown(b.Caption))
	}
}

// inMarkdown sets a text that has markup.
func inMarkdown(text string) string {
	var b strings.Builder
	for _, p := range parse(text) {
		switch {
		case p.mono:
			fmt.Fprintf(&b, "`%s`", p.text)
		case p.link != "":
			fmt.Fprintf(&b, "[%s](%s)", escape(p.text), p.link)
		case p.bold:
			fmt.Fprintf(&b, "**%s**", escape(p.text))
		default:
			b.WriteString(escape(p.text))
		}
	}
	return b.String()
}

func markdownTable(w io.Writer, t *table) {
	if t.Caption != "" {
		fmt.Fprintf(w, "**%s**\n\n", escape(t.Caption))
	}
	for _, c := range t.Columns {
		fmt.Fprintf(w, "| %s ", escapeCell(c.Title))
	}
	fmt.Fprintln(w, "|")
	for _, c := range t.Columns {
		if c.Right {
			fmt.Fprint(w, "|---:")
		} else {
			fmt.Fprint(w, "|---")
		}
	}
	fmt.Fprintln(w, "|")
	for _, r := range t.Rows {
		for _, c := range r {
			fmt.Fprintf(w, "| %s ", escapeCell(c))
		}
		fmt.Fprintln(w, "|")
	}
	fmt.Fprintln(w)
	for _, n := range t.Notes {
		fmt.Fprintf(w, "%s\n\n", escape(n))
	}
}

// escape keeps text from being read as markup. Underscores inside words are
// none in this dialect, and names have many.
func escape(s string) string { return markup(printable(s)) }

var markup = strings.NewReplacer(`\`, `\\`, "*", `\*`, "`", "\\`", "<", "&lt;", "[", `\[`, "]", `\]`, "\n", " ").Replace

// escapeCell is escape for a cell of a table, where lines are kept.
func escapeCell(s string) string {
	s = strings.ReplaceAll(s, "|", `\|`)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.ReplaceAll(escape(l), `\\|`, `\|`)
	}
	return strings.Join(lines, "<br>")
}
