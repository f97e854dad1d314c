package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"vmctr/report/result"
)

// CompareFormats are those of [Compare].
var CompareFormats = []string{"table", "markdown", "csv", "json"}

// A Comparison is two runs that are compared, and how that is told.
type Comparison struct {
	*result.Diff
	OldName, NewName string  // their folders
	Threshold        float64 // from which share on worse is a regression
}

// Regressions are the rows that are worse by the threshold.
func (c *Comparison) Regressions() []*result.DiffRow {
	var list []*result.DiffRow
	for i := range c.Rows {
		if r := &c.Rows[i]; r.Regressed(c.Threshold) {
			list = append(list, r)
		}
	}
	return list
}

// Compare prints what changed from one run to another. The width is of the format table.
func Compare(w io.Writer, c *Comparison, format string, width int) error {
	switch format {
	case "csv":
		return c.csv(w)
	case "json":
		return c.json(w)
	case "markdown":
		return c.markdown(w)
	default:
		return c.table(w, min(max(width, minWidth), 120))
	}
}

// word is the outcome as a table shows it: in capitals what is a regression.
func (c *Comparison) word(r *result.DiffRow) string {
	switch {
	case r.Regressed(c.Threshold):
		return "WORSE"
	case r.Outcome == result.Worse || r.Outcome == result.Better:
		return string(r.Outcome)
	case r.Outcome == result.Same:
		return "–"
	}
	return string(r.Outcome)
}

// title names what a group of rows is about.
func diffTitle(r *result.DiffRow) string {
	for _, m := range metrics {
		if m.Experiment == r.Experiment && m.Value == r.Value {
			return m.Title
		}
	}
	name := strings.TrimSuffix(strings.TrimSuffix(r.Value, "_ns"), "_bytes")
	return clean(r.Experiment) + ": " + clean(strings.ReplaceAll(name, "_", " "))
}

// rowName names a row in its group.
func rowName(r *result.DiffRow, emulated string) string {
	name := clean(r.Platform)
	if r.Series != "" {
		name += ", " + clean(r.Series)
	}
	if r.N != 0 {
		name += ", N=" + strconv.Itoa(r.N)
	}
	if r.Emulated {
		name += emulated
	}
	return name
}

func percentOf(ratio float64) string {
	if math.IsNaN(ratio) || ratio < 0 { // of what is added, which can be less than nothing
		return "–"
	}
	if ratio >= 2 || ratio <= 0.5 {
		return "×" + result.FormatRatio(ratio)
	}
	return fmt.Sprintf("%+.1f%%", 100*(ratio-1))
}

func percentInterval(r result.Ratio) string {
	if math.IsNaN(r.Low) || math.IsNaN(r.High) || r.Low < 0 {
		return "–"
	}
	if r.High >= 2 || r.Low <= 0.5 {
		return "×" + result.FormatRatio(r.Low) + " to ×" + result.FormatRatio(r.High)
	}
	return fmt.Sprintf("%+.1f to %+.1f%%", 100*(r.Low-1), 100*(r.High-1))
}

func pValue(p float64) string {
	switch {
	case math.IsNaN(p):
		return "–"
	case p < 0.0001:
		return "< 0.0001"
	}
	return strconv.FormatFloat(p, 'f', 4, 64)
}

func deltaText(d float64) string {
	if math.IsNaN(d) {
		return "–"
	}
	return fmt.Sprintf("%+.2f", d)
}

var compareTitles = []string{"", "old", "new", "change", "95% interval", "p", "delta", ""}

func (c *Comparison) cells(r *result.DiffRow, emulated string) []string {
	unit := result.Unit(r.Value)
	return []string{rowName(r, emulated), result.FormatValue(r.Old.Median, unit), result.FormatValue(r.New.Median, unit),
		percentOf(r.Ratio.Ratio), percentInterval(r.Ratio), pValue(r.P), deltaText(r.Delta), c.word(r)}
}

// before are the paragraphs ahead of the figures.
func (c *Comparison) before() (lines []string) {
	lines = append(lines, fmt.Sprintf("Old: %s, %s. New: %s, %s.", clean(c.OldName), about(c.Old), clean(c.NewName), about(c.New)))
	if c.Old.Header.ID != "" && c.Old.Header.ID == c.New.Header.ID {
		lines = append(lines, "The two are the same run.")
	}
	return lines
}

func about(r *result.Run) string {
	h := r.Header
	return fmt.Sprintf("%s on %s, bench %s", h.Time.UTC().Format("2 January 2006 15:04 UTC"), cmpOr(clean(h.Host.Hostname), "an unnamed host"), cmpOr(clean(h.Version), "unknown"))
}

// circumstance is one that differs, as a line. What an image digest or a kernel's command
// line differs in can be far to the right, so nothing is cut off.
func circumstance(x result.Circumstance) string {
	name := x.Name
	if x.Platform != "" {
		name = x.Platform + ", " + name
	}
	switch {
	case x.Name == "noted" && x.New == "–":
		return "only in the old run: " + clean(x.Old)
	case x.Name == "noted":
		return "only in the new run: " + clean(x.New)
	}
	return fmt.Sprintf("%s: %s -> %s", clean(name), clean(x.Old), clean(x.New))
}

// warnings are what stands between the reader and a wrong conclusion.
func (c *Comparison) warnings() (lines []string) {
	var apart []string
	for i := range c.Rows {
		if r := &c.Rows[i]; r.Outcome == result.Incomparable {
			if text := fmt.Sprintf("%s is %s", clean(r.Platform), r.Why); !slices.Contains(apart, text) {
				apart = append(apart, text)
			}
		}
	}
	for _, text := range apart {
		lines = append(lines, "NOT COMPARABLE: "+text+": the one shows an emulator and the other a hypervisor. Such a change is no regression and no improvement, and is not counted as one.")
	}
	x, y := c.Old.Header, c.New.Header
	if x.Host.Hostname != y.Host.Hostname || x.Host.Machine != y.Host.Machine || x.Host.CPU != y.Host.CPU {
		lines = append(lines, "Two hosts are compared: what differs can be due to any of what differs between them.")
	}
	if x.Image.Digest != y.Image.Digest {
		lines = append(lines, "The two runs started different images: what differs can be due to the program.")
	}
	for _, m := range c.Missing {
		lines = append(lines, fmt.Sprintf("Not in the %s run: %s (%s).", m.Run, clean(m.Platform), clean(m.Why)))
	}
	return lines
}

// after are the paragraphs below the figures.
func (c *Comparison) after() (lines []string) {
	counts := map[result.Outcome]int{}
	for i := range c.Rows {
		counts[c.Rows[i].Outcome]++
	}
	var parts []string
	for _, o := range []struct {
		result.Outcome
		words string
	}{
		{result.Worse, "worse"}, {result.Better, "better"}, {result.Changed, "changed, of which neither more nor less is good"},
		{result.Same, "without a difference shown (–)"}, {result.TooFew, "with too few samples"}, {result.Incomparable, "not comparable"},
	} {
		if n := counts[o.Outcome]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o.words))
		}
	}
	text := fmt.Sprintf("%s compared: %s.", count(len(c.Rows), "value", "values"), list(parts))
	if n := len(c.Regressions()); n > 0 {
		text += fmt.Sprintf(" WORSE: by %s or more, which is a regression.", strconv.FormatFloat(100*c.Threshold, 'g', -1, 64)+"%")
	}
	lines = append(lines, text)
	if slices.ContainsFunc(c.Rows, func(r result.DiffRow) bool { return r.Emulated }) {
		lines = append(lines, "* "+emulatedMeans)
	}
	lines = append(lines,
		"change: of the median, from old to new, with the bootstrap interval of the ratio. p: the Mann-Whitney test, corrected by Holm's method for all rows; below 0.05 a difference is called. delta: Cliff's, from -1 (all new values are smaller) to +1 (all are larger).",
		"What is excluded is chance among these samples. That the host was in another state in the second run is not: to compare two versions, measure each more than once, in turn.")
	return lines
}

func (c *Comparison) table(w io.Writer, width int) error {
	var b strings.Builder
	for _, line := range c.before() {
		fill(&b, "", line, width)
	}
	if len(c.Circumstances) > 0 {
		b.WriteString("What differs beside the figures:\n")
		for _, x := range c.Circumstances {
			fill(&b, "- ", circumstance(x), width)
		}
	} else {
		b.WriteString("Host, versions and settings are the same.\n")
	}
	for _, line := range c.warnings() {
		fill(&b, "! ", line, width)
	}
	if len(c.Rows) == 0 {
		b.WriteString("The two runs have no value in common.\n")
		_, err := io.WriteString(w, b.String())
		return err
	}
	// A narrow terminal is without what says least.
	columns := []int{0, 1, 2, 3, 4, 5, 6, 7}
	for _, drop := range []int{6, 4, 5, 1} {
		if c.tableWidth(columns) > width {
			columns = slices.DeleteFunc(columns, func(n int) bool { return n == drop })
		}
	}
	align := slices.Repeat(tw.Alignment{tw.AlignRight}, len(columns))
	align[0], align[len(align)-1] = tw.AlignLeft, tw.AlignLeft
	t := tablewriter.NewTable(&b,
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignRight),
		tablewriter.WithAlignment(align),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Symbols:  tw.NewSymbols(tw.StyleLight),
			Borders:  tw.Border{Left: tw.Off, Right: tw.Off, Top: tw.On, Bottom: tw.On},
			Settings: tw.Settings{Separators: tw.Separators{BetweenRows: tw.Off, BetweenColumns: tw.Off}},
		})),
	)
	pick := func(row []string) (cells []string) {
		for _, n := range columns {
			cells = append(cells, row[n])
		}
		return cells
	}
	t.Header(pick(compareTitles))
	for _, row := range c.tableRows() {
		if err := t.Append(pick(row)); err != nil {
			return err
		}
	}
	if err := t.Render(); err != nil {
		return fmt.Errorf("setting the table: %w", err)
	}
	for _, line := range c.after() {
		fill(&b, "", line, width)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tableRows are the rows of the table on the terminal, with a title above each group.
func (c *Comparison) tableRows() (rows [][]string) {
	group := ""
	for i := range c.Rows {
		r := &c.Rows[i]
		if title := diffTitle(r); title != group {
			group = title
			rows = append(rows, append([]string{title}, slices.Repeat([]string{""}, len(compareTitles)-1)...))
		}
		cells := c.cells(r, " *")
		cells[0] = "  " + cells[0]
		rows = append(rows, cells)
	}
	return rows
}

// tableWidth is how wide the table is with these columns.
func (c *Comparison) tableWidth(columns []int) int {
	rows, width := append(c.tableRows(), compareTitles), 0
	for _, n := range columns {
		widest := 0
		for _, row := range rows {
			widest = max(widest, len([]rune(row[n])))
		}
		width += widest + 2
	}
	return width
}

func (c *Comparison) markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Two runs compared\n")
	for _, line := range c.before() {
		fmt.Fprintf(&b, "\n%s\n", escape(line))
	}
	if len(c.Circumstances) > 0 {
		b.WriteString("\nWhat differs beside the figures:\n\n")
		for _, x := range c.Circumstances {
			fmt.Fprintf(&b, "- %s\n", escape(circumstance(x)))
		}
	}
	for _, line := range c.warnings() {
		fmt.Fprintf(&b, "\n%s\n", escape(line))
	}
	group := ""
	for i := range c.Rows {
		r := &c.Rows[i]
		if title := diffTitle(r); title != group {
			group = title
			fmt.Fprintf(&b, "\n## %s\n\n| platform | old | new | change | 95%% interval | p | delta | |\n|---|--:|--:|--:|--:|--:|--:|---|\n", escape(title))
		}
		b.WriteString("|")
		for _, cell := range c.cells(r, " (emulated)") {
			fmt.Fprintf(&b, " %s |", escapeCell(cell))
		}
		b.WriteString("\n")
	}
	for _, line := range c.after() {
		fmt.Fprintf(&b, "\n%s\n", escape(strings.TrimPrefix(line, "* ")))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// csv has a line for each row, with all digits; what there is not is empty.
func (c *Comparison) csv(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write([]string{"experiment", "platform", "series", "n", "value", "unit", "emulated", "old_n", "old_median", "old_low", "old_high", "new_n", "new_median", "new_low", "new_high", "ratio", "ratio_low", "ratio_high", "p_holm", "cliffs_delta", "outcome", "regression"})
	number := func(v float64) string {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ""
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	for i := range c.Rows {
		r := &c.Rows[i]
		cells := []string{r.Experiment, r.Platform, r.Series, strconv.Itoa(r.N), r.Value, result.Unit(r.Value), strconv.FormatBool(r.Emulated)}
		for _, s := range []result.Summary{r.Old, r.New} {
			cells = append(cells, strconv.Itoa(s.N), number(s.Median), number(s.Low), number(s.High))
		}
		cells = append(cells, number(r.Ratio.Ratio), number(r.Ratio.Low), number(r.Ratio.High), number(r.P), number(r.Delta), string(r.Outcome), strconv.FormatBool(r.Regressed(c.Threshold)))
		out.Write(cells)
	}
	out.Flush()
	return out.Error()
}

// number is nil for what JSON cannot say.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func (c *Comparison) json(w io.Writer) error {
	type side struct {
		Folder  string `json:"folder"`
		ID      string `json:"id"`
		Time    string `json:"time"`
		Version string `json:"version"`
		Host    string `json:"host"`
		Kernel  string `json:"kernel"`
	}
	type summary struct {
		N      int      `json:"n"`
		Median *float64 `json:"median"`
		Low    *float64 `json:"low"`
		High   *float64 `json:"high"`
	}
	type row struct {
		Experiment string   `json:"experiment"`
		Platform   string   `json:"platform"`
		Series     string   `json:"series,omitempty"`
		N          int      `json:"n,omitempty"`
		Value      string   `json:"value"`
		Unit       string   `json:"unit"`
		Emulated   bool     `json:"emulated,omitempty"`
		Old        summary  `json:"old"`
		New        summary  `json:"new"`
		Ratio      *float64 `json:"ratio"`
		RatioLow   *float64 `json:"ratio_low"`
		RatioHigh  *float64 `json:"ratio_high"`
		P          *float64 `json:"p_holm"`
		Delta      *float64 `json:"cliffs_delta"`
		Outcome    string   `json:"outcome"`
		Why        string   `json:"why,omitempty"`
		Regression bool     `json:"regression,omitempty"`
	}
	sideOf := func(name string, r *result.Run) side {
		return side{name, r.Header.ID, r.Header.Time.UTC().Format("2006-01-02T15:04:05Z"), r.Header.Version, r.Header.Host.Hostname, r.Header.Host.Kernel.Release}
	}
	sum := func(s result.Summary) summary { return summary{s.N, number(s.Median), number(s.Low), number(s.High)} }
	all := struct {
		Old           side                  `json:"old"`
		New           side                  `json:"new"`
		Threshold     float64               `json:"threshold"`
		Circumstances []result.Circumstance `json:"circumstances"`
		Missing       []result.Missing      `json:"missing"`
		Rows          []row                 `json:"rows"`
	}{sideOf(c.OldName, c.Old), sideOf(c.NewName, c.New), c.Threshold, append([]result.Circumstance{}, c.Circumstances...), append([]result.Missing{}, c.Missing...), []row{}}
	for i := range c.Rows {
		r := &c.Rows[i]
		all.Rows = append(all.Rows, row{r.Experiment, r.Platform, r.Series, r.N, r.Value, result.Unit(r.Value), r.Emulated, sum(r.Old), sum(r.New),
			number(r.Ratio.Ratio), number(r.Ratio.Low), number(r.Ratio.High), number(r.P), number(r.Delta), string(r.Outcome), r.Why, r.Regressed(c.Threshold)})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(all)
}
