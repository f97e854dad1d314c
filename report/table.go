package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"vmctr/report/result"
	"vmctr/report/selftest"
)

// The columns of the table on the terminal.
const (
	nameColumn = iota
	medianColumn
	intervalColumn
	smallestColumn
	largestColumn
	ratioColumn
	ratioIntervalColumn
	countColumn
)

var columnTitles = [...]string{"", "median", "95% interval", "smallest", "largest", "ratio", "95% interval", "n"}

// A narrow terminal gets a table with fewer columns: these go, the first one
// first, until a name has this much room or is whole. What is left fits into
// the smallest width, whatever the figures are. The extremes stand only where
// there is room to spare.
var (
	extremes     = []int{largestColumn, smallestColumn}
	expendable   = []int{ratioIntervalColumn, ratioColumn, intervalColumn}
	readableName = 14
)

// The table and what stands below it use at least and at most so many columns:
// longer lines are hard to read, however wide the terminal is.
const minWidth, maxWidth = 40, 100

// Terminal is what a table is printed on.
type Terminal struct {
	Width  int  // in columns; 40 is the least
	Colour bool // as a second sign, beside words and marks
}

// Table prints the figures of a run: a row for each metric and platform. No
// line is longer than the terminal is wide.
func Table(w io.Writer, run *result.Run, on Terminal) error {
	width := min(max(on.Width, minWidth), maxWidth)
	if isSelftest(run) {
		return Selftest(w, run, selftest.Evaluate(run), width)
	}
	out := w
	var plain bytes.Buffer
	if on.Colour {
		w = &plain
	}
	m := newModel(run)
	n := notes{numbers: map[string]int{}}
	rows := m.tableRows(&n)
	columns, room := fitColumns(rows, width)
	t := tablewriter.NewTable(w,
		// tablewriter would print "95% interval" as "95 % INTERVAL".
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignRight),
		tablewriter.WithAlignment(append(tw.Alignment{tw.AlignLeft}, slices.Repeat(tw.Alignment{tw.AlignRight}, len(columns)-1)...)),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Symbols:  tw.NewSymbols(tw.StyleLight),
			Borders:  tw.Border{Left: tw.Off, Right: tw.Off, Top: tw.On, Bottom: tw.On},
			Settings: tw.Settings{Separators: tw.Separators{BetweenRows: tw.Off, BetweenColumns: tw.Off}},
		})),
	)
	pick := func(row []string) []string {
		var cells []string
		for _, c := range columns {
			cells = append(cells, cell(row, c, columns))
		}
		return cells
	}
	looks := []string{"", bold, ""} // of the lines: a rule, the titles, a rule
	t.Header(pick(columnTitles[:]))
	if len(rows) == 0 && m.walls != nil {
		return n.write(out, m, width, on.Colour)
	}
	for _, row := range rows {
		// A name that is too long goes on in the lines below it.
		for i, part := range breakName(row[nameColumn], room) {
			cells := pick(row)
			if i > 0 {
				clear(cells)
			}
			cells[0] = part
			looks = append(looks, rowLook(row))
			if err := t.Append(cells); err != nil {
				return err
			}
		}
	}
	if err := t.Render(); err != nil {
		return fmt.Errorf("setting the table: %w", err)
	}
	if on.Colour {
		if err := paint(out, plain.String(), looks); err != nil {
			return err
		}
	}
	if slices.Contains(columns, ratioColumn) {
		n.ratio = m.ratioMeans()
	}
	if left := slices.DeleteFunc(slices.Clone(expendable), func(c int) bool {
		return slices.Contains(columns, c) || empty(rows, c)
	}); len(left) > 0 {
		names := map[int]string{ratioIntervalColumn: "the intervals of the ratios", ratioColumn: "the ratios", intervalColumn: "the intervals of the medians"}
		var words []string
		for _, c := range left {
			words = append(words, names[c])
		}
		n.left = "Left out, since the terminal is narrow: " + list(words) + ". The report has them."
	}
	return n.write(out, m, width, on.Colour)
}

// ratioMeans tells what ratios compare with.
func (m *model) ratioMeans() string {
	var parts []string
	if m.base != nil {
		parts = append(parts, "to that of "+m.base.Name)
	}
	if b := m.matrix.Base; b != nil {
		parts = append(parts, "of a machine's boot to that of "+b.Name)
	}
	if b := m.elastic.Base; b != nil {
		parts = append(parts, "of RAM kept to that of "+b.Name)
	}
	return "Of the median " + strings.Join(parts, "; ") + "."
}

// tableRows are the cells of all columns.
func (m *model) tableRows(n *notes) [][]string {
	var rows [][]string
	for _, ms := range m.measured() {
		// What no platform has has no place here, but that the first metric speaks for
		// an experiment that was to be done.
		if first := m.of(ms.Experiment)[0]; len(ms.present()) == 0 && (!m.asked(ms.Experiment) || first.Value != ms.Value) {
			continue
		}
		rows = append(rows, []string{ms.Title, "", "", "", "", "", "", ""})
		for _, f := range ms.Figures {
			rows = append(rows, tableRow(m, ms, f, n))
		}
	}
	return rows
}

// empty tells whether a column has nothing that a reader could miss.
func empty(rows [][]string, column int) bool {
	return !slices.ContainsFunc(rows, func(row []string) bool { return !slices.Contains([]string{"", "–", "1"}, row[column]) })
}

// cell is the text of a column. Why there is no figure stands in the column of
// the intervals, and where that is left out in that of the medians.
func cell(row []string, column int, columns []int) string {
	if column == medianColumn && row[column] == "–" && !slices.Contains(columns, intervalColumn) {
		return row[intervalColumn]
	}
	return row[column]
}

// fitColumns chooses the columns that fit into a width, and gives the room
// that is left for names.
func fitColumns(rows [][]string, width int) (columns []int, room int) {
	without := func(c int) []int { return slices.DeleteFunc(columns, func(d int) bool { return c == d }) }
	columns = []int{nameColumn, medianColumn, intervalColumn, smallestColumn, largestColumn, ratioColumn, ratioIntervalColumn, countColumn}
	if empty(rows, ratioColumn) {
		columns = without(ratioColumn)
		columns = without(ratioIntervalColumn)
	}
	if empty(rows, smallestColumn) {
		columns = without(smallestColumn)
		columns = without(largestColumn)
	}
	widest := func(column int) int {
		n := utf8.RuneCountInString(columnTitles[column])
		for _, row := range rows {
			n = max(n, utf8.RuneCountInString(cell(row, column, columns)))
		}
		return n
	}
	name := widest(nameColumn)
	order := slices.Concat(extremes, expendable)
	for i := 0; ; i++ {
		room = width - 2*len(columns) // a space on both sides of each
		for _, c := range columns[1:] {
			room -= widest(c)
		}
		enough := name
		if i >= len(extremes) {
			enough = min(name, readableName)
		}
		if room >= enough || i == len(order) {
			return columns, min(room, name)
		}
		columns = without(order[i])
	}
}

// breakName breaks a name with its marks into lines of a width: at a space,
// behind a comma, and where there is neither anywhere.
func breakName(name string, width int) []string {
	indent := len(name) - len(strings.TrimLeft(name, " "))
	var lines []string
	line := []rune(name[:indent])
	begin := indent // where the text of a line begins
	flush := func() {
		lines = append(lines, strings.TrimRight(string(line), " "))
		begin = min(indent+2, width-1)
		line = []rune(strings.Repeat(" ", begin))
	}
	for part := range strings.SplitAfterSeq(strings.ReplaceAll(name[indent:], ",", ",\x00"), " ") {
		for word := range strings.SplitSeq(part, "\x00") {
			r := []rune(word)
			if len(line) > begin && len(line)+utf8.RuneCountInString(strings.TrimRight(word, " ")) > width {
				flush()
			}
			for len(line)+utf8.RuneCountInString(strings.TrimRight(string(r), " ")) > width {
				cut := width - len(line)
				line, r = append(line, r[:cut]...), r[cut:]
				flush()
			}
			line = append(line, r...)
		}
	}
	if len(line) > begin || len(lines) == 0 {
		flush()
	}
	return lines
}

func tableRow(m *model, ms measured, f figureOf, n *notes) []string {
	p, s, unit := f.Platform, f.Summary, ms.unit()
	name := "  " + p.Name
	if p.Emulated {
		name += " *"
	}
	if !p.ready() {
		name += n.mark(p.Name + ": " + p.state() + ". " + clip(p.why(), 600))
	}
	if s.N == 0 {
		return []string{name, "–", m.absent(ms, p), "", "", "", "", "0"}
	}
	count := fmt.Sprint(s.N)
	for _, warning := range s.Warnings {
		name += n.mark(sentence(warning.Text))
	}
	for _, w := range m.examine(ms, f) {
		if text := oddMeans[w.Code]; text != "" {
			name += n.mark(text)
		}
	}
	r, ri := "", ""
	switch {
	case f.Ratio != nil:
		r, ri = result.FormatRatio(f.Ratio.Ratio), f.Ratio.FormatInterval()
	case p == ms.Base:
		r = "1"
	}
	return []string{name, result.FormatValue(s.Median, unit), s.FormatInterval(unit),
		result.FormatValue(slices.Min(s.Values), unit), result.FormatValue(slices.Max(s.Values), unit), r, ri, count}
}

// oddMeans are the notes on what is odd about a row. Outliers are not among
// them: nearly every sample has some, and the report counts them.
var oddMeans = map[result.Code]string{
	result.Bimodal:     "The values fall into more than one group, which one median does not describe.",
	result.Drift:       "The values rise or fall over the run: its interval is too narrow.",
	result.Predecessor: "The values depend on which platform ran just before.",
}

// tests says in a sentence for each experiment which platforms differ.
func (m *model) tests() []string {
	var out []string
	for _, name := range []string{"first_instruction_ns", "pss_bytes"} {
		ms := m.metric(name)
		var yes, others []string
		var thin []string
		most := 0.0
		for _, c := range m.family(ms) {
			pair := c.A.Platform.Name + " and " + c.B.Platform.Name
			switch c.differs() {
			case "yes":
				yes, most = append(yes, pair), max(most, c.Holm)
			case "too few":
				thin = append(thin, pair+" (too few samples)")
			default:
				others = append(others, fmt.Sprintf("%s (%s; a difference of %s would have been)", pair, result.FormatP(c.Holm), c.detectable()))
			}
		}
		if len(thin) > 2 {
			thin = []string{count(len(thin), "pair", "pairs") + " of too few samples"}
		}
		none := len(yes)+len(others) == 0 && len(thin) > 0
		others = append(others, thin...)
		if len(yes)+len(others) == 0 {
			continue
		}
		text := fmt.Sprintf("%s: ", ms.Title)
		switch {
		case none:
			text += "too few samples to tell whether platforms differ."
		case len(others) == 0 && len(yes) == 1:
			text += fmt.Sprintf("%s differ (%s).", yes[0], result.FormatP(most))
		case len(others) == 0 && len(yes) == 2:
			text += fmt.Sprintf("both pairs that were compared differ (each %s).", atMost(most))
		case len(others) == 0:
			text += fmt.Sprintf("all %d pairs that were compared differ (each %s).", len(yes), atMost(most))
		case len(yes) == 0:
			text += "no pair was shown to differ: " + strings.Join(others, ", ") + "."
		default:
			text += fmt.Sprintf("%d of %d pairs differ (each %s); not shown for %s.", len(yes), len(m.family(ms)), atMost(most), strings.Join(others, ", "))
		}
		out = append(out, text)
	}
	if len(out) > 0 {
		out[0] += " By the Mann-Whitney test, corrected for the number of pairs (Holm)."
	}
	return out
}

// atMost prints the largest of some p-values.
func atMost(p float64) string { return strings.Replace(result.FormatP(p), "=", "<=", 1) }

// notes are the texts below the table, each once.
type notes struct {
	numbers map[string]int
	texts   []string
	ratio   string // what the ratios compare with
	left    string // what had no room
}

// mark is the sign of a note, " [1]".
func (n *notes) mark(text string) string {
	if n.numbers[text] == 0 {
		n.texts = append(n.texts, text)
		n.numbers[text] = len(n.texts)
	}
	return fmt.Sprintf(" [%d]", n.numbers[text])
}

func (n *notes) write(w io.Writer, m *model, width int, colour bool) error {
	var b strings.Builder
	if n.ratio != "" {
		fill(&b, "ratio: ", n.ratio, width)
	}
	for i, text := range m.tests() {
		fill(&b, map[bool]string{true: "tests: ", false: "       "}[i == 0], text, width)
	}
	for _, text := range m.walls.lines() {
		fill(&b, "walls: ", text, width)
	}
	if len(m.emulated()) > 0 {
		fill(&b, "  * ", emulatedMeans, width)
	}
	for i, t := range n.texts {
		fill(&b, fmt.Sprintf("[%d] ", i+1), t, width)
	}
	var more []string
	if n.left != "" {
		more = append(more, n.left)
	}
	if s := m.unfinished(); s != "" {
		more = append(more, strings.Replace(s, "What follows is what", "The table has what", 1))
	}
	more = append(more, m.failedSamples()...)
	for _, note := range m.run.Notes {
		if note.Experiment != "" {
			continue // in the report, where the figures are
		}
		more = append(more, sentence(note.Text))
	}
	for _, t := range more {
		fill(&b, "  ! ", strings.ReplaceAll(t, "; the appendix has the errors", ""), width)
	}
	text := b.String()
	if colour {
		text = signs.ReplaceAllString(text, bold+"$0"+normal)
	}
	_, err := io.WriteString(w, text)
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
		for r := []rune(line + word); len(r) > width; r = []rune(line + word) {
			// A path or a digest that is longer than a line.
			b.WriteString(string(r[:width]) + "\n")
			line, word = indent, string(r[width:])
		}
		line += word
	}
	b.WriteString(line + "\n")
}
