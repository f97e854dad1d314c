package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"vmctr/report/result"
)

// Table prints the figures of a run: a row for each metric and platform. It
// fits 80 columns, and what stands below it is broken to the width.
func Table(w io.Writer, run *result.Run, width int) error {
	m := newModel(run)
	t := tablewriter.NewTable(w,
		// tablewriter would print "95% interval" as "95 % INTERVAL".
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignRight),
		tablewriter.WithAlignment(tw.Alignment{tw.AlignLeft, tw.AlignRight, tw.AlignRight, tw.AlignRight, tw.AlignRight, tw.AlignRight}),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Symbols:  tw.NewSymbols(tw.StyleLight),
			Borders:  tw.Border{Left: tw.Off, Right: tw.Off, Top: tw.On, Bottom: tw.On},
			Settings: tw.Settings{Separators: tw.Separators{BetweenRows: tw.Off}},
		})),
	)
	base := "process"
	if m.base != nil {
		base = m.base.Name
	}
	t.Header([]string{"", "median", "95% interval", "/ " + base, "95% interval", "n"})
	n := notes{numbers: map[string]int{}}
	for _, ms := range m.metrics {
		// An account that no platform has, of an experiment that was not
		// done, has no place here.
		if len(ms.present()) == 0 && !m.asked(ms.Experiment) {
			continue
		}
		if err := t.Append([]string{ms.Title, "", "", "", "", ""}); err != nil {
			return err
		}
		for _, f := range ms.Figures {
			if err := t.Append(tableRow(m, ms, f, &n)); err != nil {
				return err
			}
		}
	}
	if err := t.Render(); err != nil {
		return fmt.Errorf("setting the table: %w", err)
	}
	return n.write(w, m, width)
}

func tableRow(m *model, ms measured, f figureOf, n *notes) []string {
	p, s, unit := f.Platform, f.Summary, ms.unit()
	name := "  " + p.Name
	if p.Emulated {
		name += " *"
	}
	if !p.ready() {
		text := p.Name + ": " + p.state() + ". " + clip(p.why(), 600)
		if p.Status == "" {
			text = p.Name + " was not measured: " + p.Reason + "."
		}
		name += n.mark(text)
	}
	if s.N == 0 {
		state := p.state()
		if p.ready() && ms.Value == "cgroup_bytes" && m.metric("pss_bytes").figure(p).Summary.N > 0 {
			state = "no account"
		}
		return []string{name, "–", state, "", "", "0"}
	}
	count := fmt.Sprint(s.N)
	for _, warning := range s.Warnings {
		name += n.mark(sentence(warning))
	}
	r, ri := "", ""
	switch {
	case f.Ratio != nil:
		r, ri = result.FormatRatio(f.Ratio.Ratio), f.Ratio.FormatInterval()
	case p == m.base:
		r = "1"
	}
	return []string{name, result.FormatValue(s.Median, unit), s.FormatInterval(unit), r, ri, count}
}

// notes are the texts below the table, each once.
type notes struct {
	numbers map[string]int
	texts   []string
}

// mark is the sign of a note, " [1]".
func (n *notes) mark(text string) string {
	if n.numbers[text] == 0 {
		n.texts = append(n.texts, text)
		n.numbers[text] = len(n.texts)
	}
	return fmt.Sprintf(" [%d]", n.numbers[text])
}

func (n *notes) write(w io.Writer, m *model, width int) error {
	// Long lines are hard to read, however wide the terminal is.
	width = min(max(width, 40), 100)
	var b strings.Builder
	if len(m.emulated()) > 0 {
		fill(&b, "  * ", emulatedMeans, width)
	}
	for i, t := range n.texts {
		fill(&b, fmt.Sprintf("[%d] ", i+1), t, width)
	}
	var more []string
	if s := m.unfinished(); s != "" {
		more = append(more, strings.Replace(s, "What follows is what", "The table has what", 1))
	}
	more = append(more, m.failedSamples()...)
	for _, note := range m.run.Notes {
		more = append(more, sentence(note.Text))
	}
	for _, t := range more {
		fill(&b, "  ! ", strings.ReplaceAll(t, "; the appendix has the errors", ""), width)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fill breaks a text into lines, the first behind a sign and the others below
// its first word.
func fill(b *strings.Builder, sign, text string, width int) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(sign))
	line := sign
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ' ' || r == '\n' }) {
		if line != sign && line != indent {
			if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
				b.WriteString(line + "\n")
				line = indent
			} else {
				line += " "
			}
		}
		line += word
	}
	b.WriteString(line + "\n")
}
