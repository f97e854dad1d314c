package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"vmctr/report/result"
)

// Markdown writes the report as [Write] does into a file, without the plots that
// it links to.
func Markdown(w io.Writer, run *result.Run) error {
	var b bytes.Buffer
	writeMarkdown(&b, newModel(run).document())
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
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
		for _, p := range parse(b.Text) {
			switch {
			case p.mono:
				fmt.Fprintf(w, "`%s`", p.text)
			case p.link != "":
				fmt.Fprintf(w, "[%s](%s)", escape(p.text), p.link)
			case p.bold:
				fmt.Fprintf(w, "**%s**", escape(p.text))
			default:
				fmt.Fprint(w, escape(p.text))
			}
		}
		fmt.Fprint(w, "\n\n")
	case points:
		for _, p := range b {
			fmt.Fprintf(w, "- %s\n", escape(p))
		}
		fmt.Fprintln(w)
	case *table:
		markdownTable(w, b)
	case *figure:
		fmt.Fprintf(w, "![%s](%s/%s.svg)\n\n*%s*\n\n", escape(b.Alt), plotFolder, b.Name, escape(b.Caption))
	}
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
