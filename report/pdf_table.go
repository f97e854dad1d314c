package report

import (
	"slices"
	"strings"
)

// cellPad is the room at the left and the right of a cell's text.
const cellPad = 1.3

// tallRow is the height of a row above which it may be parted.
const tallRow = 70.0

// rowGap is what a row takes besides its lines.
const rowGap = 1.4

// measuredTable is a table with the widths of its columns and its text broken
// into lines by them.
type measuredTable struct {
	*table
	size    float64
	widths  []float64
	head    []cellLines
	rows    [][]cellLines
	notes   [][]line
	caption []line
}

type cellLines []line

// measureTable finds the widths: narrow columns take what their text needs,
// wide ones share the rest. Where that is too much, text becomes a little
// smaller, and then narrow columns are broken, too.
func (s *setter) measureTable(t *table) *measuredTable {
	if m := s.tables[t]; m != nil {
		return m
	}
	m := &measuredTable{table: t}
	s.tables[t] = m
	for m.size = tableSize; ; m.size -= 0.5 {
		if s.columnWidths(m) || m.size <= 7.5 {
			break
		}
	}
	s.balance(m)
	cells := func(row []string, bold bool) []cellLines {
		var out []cellLines
		for i, c := range row {
			st := style{bold: bold, mono: t.Columns[i].Mono && !bold}
			out = append(out, s.wrap(plain(c, st), m.size, m.widths[i]-2*cellPad))
		}
		return out
	}
	var titles []string
	for _, c := range t.Columns {
		titles = append(titles, c.Title)
	}
	m.head = cells(titles, true)
	for _, r := range t.Rows {
		m.rows = append(m.rows, cells(r, false))
	}
	for _, n := range t.Notes {
		m.notes = append(m.notes, s.wrap(plain(n, style{}), noteSize, textWidth-2*cellPad))
	}
	if t.Caption != "" {
		m.caption = s.wrap(plain(t.Caption, style{bold: true}), bodySize, textWidth)
	}
	return m
}

// columnWidths sets the widths and tells whether no narrow column was broken. A
// heading widens a column only where there is room.
func (s *setter) columnWidths(m *measuredTable) bool {
	return s.tryWidths(m, true) || s.tryWidths(m, false)
}

func (s *setter) tryWidths(m *measuredTable, wholeTitles bool) bool {
	natural := make([]float64, len(m.Columns)) // of the widest text
	least := make([]float64, len(m.Columns))   // of the widest word
	for i, c := range m.Columns {
		see := func(text string, bold bool) {
			s.font(style{bold: bold, mono: c.Mono && !bold}, m.size, ink)
			natural[i] = max(natural[i], s.pdf.GetStringWidth(text)+2*cellPad+0.2)
			for w := range strings.SplitSeq(text, " ") {
				least[i] = max(least[i], s.pdf.GetStringWidth(w)+2*cellPad+0.2)
			}
		}
		for _, r := range m.Rows {
			see(r[i], false)
		}
		full := natural[i]
		see(c.Title, true)
		if !wholeTitles {
			natural[i] = max(full, least[i])
		}
	}
	m.widths = make([]float64, len(m.Columns))
	left, shares := textWidth, 0.0
	for i, c := range m.Columns {
		if c.Wide > 0 {
			shares += c.Wide
		} else {
			m.widths[i] = natural[i]
			left -= natural[i]
		}
	}
	// A wide column gets at least this much.
	const readable = 26.0
	if shares > 0 && left >= readable*shares {
		over := 0.0 // what wide columns have no use for: all get of it
		for i, c := range m.Columns {
			if c.Wide > 0 {
				share := left * c.Wide / shares
				m.widths[i] = min(share, natural[i])
				over += share - m.widths[i]
			}
		}
		for i := range m.widths {
			m.widths[i] += over / float64(len(m.widths))
		}
		return true
	}
	if shares == 0 && left >= 0 {
		// A narrow table is set as wide as the text, all columns growing alike.
		for i := range m.widths {
			m.widths[i] += left / float64(len(m.widths))
		}
		return true
	}
	// Too wide: columns shrink towards their longest word, those first that
	// have most to give.
	// A word may be so long that it has to be cut, so that the others can live.
	const longest = 42.0
	sum, give := 0.0, 0.0
	for i, c := range m.Columns {
		least[i] = min(least[i], longest)
		if c.Wide > 0 {
			natural[i], least[i] = max(readable, least[i]), readable
		}
		sum += natural[i]
		give += max(0, natural[i]-least[i])
	}
	for i := range m.widths {
		m.widths[i] = natural[i]
		if give > 0 {
			m.widths[i] -= max(0, natural[i]-least[i]) * min(1, (sum-textWidth)/give)
		}
	}
	if rest := sum - give; rest > textWidth {
		for i := range m.widths {
			m.widths[i] *= textWidth / rest
		}
	}
	return false
}

// balance gives width from columns that have too much to those that make the table
// high, as long as that makes it less high. What stands to the right, numbers, is not
// broken; columns of the same share stay alike, since they have the same to say.
func (s *setter) balance(m *measuredTable) {
	const step = 3.0
	texts := make([][]float64, 1+len(m.Rows)) // their widths, the titles first
	least := make([]float64, len(m.Columns))
	for j, c := range m.Columns {
		see := func(text string, bold, whole bool) float64 {
			s.font(style{bold: bold, mono: c.Mono && !bold}, m.size, ink)
			w := s.pdf.GetStringWidth(text)
			if whole {
				least[j] = max(least[j], w+2*cellPad+0.2)
				return w
			}
			for word := range strings.SplitSeq(text, " ") {
				least[j] = max(least[j], s.pdf.GetStringWidth(word)+2*cellPad+0.2)
			}
			return w
		}
		texts[0] = append(texts[0], see(c.Title, true, false))
		for i, r := range m.Rows {
			texts[i+1] = append(texts[i+1], see(r[j], false, c.Right))
		}
	}
	// height is about how high the table is, in lines. A text of two lines and a bit
	// counts as that, so that small steps towards two lines count too.
	height := func(widths []float64) (sum float64) {
		for _, row := range texts {
			lines := 1.0
			for j, w := range row {
				if n := 1.04 * w / (widths[j] - 2*cellPad); n > 1.04 {
					lines = max(lines, n, 2)
				}
			}
			sum += lines
		}
		return sum
	}
	groups := m.alike()
	for now := height(m.widths); ; {
		var better []float64
		for i, from := range groups {
			for j, to := range groups {
				try := slices.Clone(m.widths)
				fits := i != j
				for _, c := range from {
					try[c] -= step / float64(len(from))
					fits = fits && try[c] >= least[c]
				}
				for _, c := range to {
					try[c] += step / float64(len(to))
				}
				if !fits {
					continue
				}
				if h := height(try); h < now-0.01 {
					now, better = h, try
				}
			}
		}
		if better == nil {
			return
		}
		m.widths = better
	}
}

// alike are the columns in groups of those that have the same share of the width.
func (m *measuredTable) alike() (groups [][]int) {
	of := map[float64]int{}
	for i, c := range m.Columns {
		if g, ok := of[c.Wide]; ok && c.Wide > 0 {
			groups[g] = append(groups[g], i)
			continue
		}
		of[c.Wide] = len(groups)
		groups = append(groups, []int{i})
	}
	return groups
}

func (m *measuredTable) rowHeight(row []cellLines) float64 {
	lines := 1
	for _, c := range row {
		lines = max(lines, len(c))
	}
	return float64(lines)*lineHeight(m.size) + rowGap
}

// headless tells whether no column has a title.
func (m *measuredTable) headless() bool {
	for _, c := range m.Columns {
		if c.Title != "" {
			return false
		}
	}
	return true
}

func (m *measuredTable) height() float64 {
	h := m.captionHeight() + m.rowHeight(m.head) + 1
	for _, r := range m.rows {
		h += m.rowHeight(r)
	}
	return h + m.notesHeight()
}

func (m *measuredTable) captionHeight() float64 {
	if len(m.caption) == 0 {
		return 1
	}
	return float64(len(m.caption))*lineHeight(bodySize) + 2.5
}

func (m *measuredTable) notesHeight() float64 {
	h := 0.0
	for _, n := range m.notes {
		h += float64(len(n)) * lineHeight(noteSize)
	}
	return h + 1
}

// least is the height of what must not be parted: a small table as a whole, of
// a larger one the headings and some rows.
func (m *measuredTable) least() float64 {
	if h := m.height(); h < 70 {
		return h
	}
	h := 0.0
	for _, r := range m.rows[:min(4, len(m.rows))] {
		h = min(h+m.rowHeight(r), tallRow)
	}
	if len(m.rows) > 0 {
		h = max(h, m.groupHeight(0))
	}
	return h + m.captionHeight() + m.rowHeight(m.head) + 1
}

// groupHeight is the height of a row with those below it whose first cell is
// empty: they belong to it and stay on its page, unless they are too many.
func (m *measuredTable) groupHeight(i int) float64 {
	h := min(m.rowHeight(m.rows[i]), tallRow)
	if m.Rows[i][0] == "" {
		return h
	}
	group, j := h, i+1
	for ; j < len(m.rows) && m.Rows[j][0] == ""; j++ {
		group += m.rowHeight(m.rows[j])
	}
	if j == len(m.rows) {
		group += m.notesHeight() // which explain the table, and go with its end
	}
	if group > 100 {
		return h
	}
	return group
}

// lastRows are the rows of a table that do not stand alone at the top of a page.
const lastRows = 3

// endHeight is the height of the last rows with the notes, where row i is the first of
// them, or 0.
func (m *measuredTable) endHeight(i int) float64 {
	if i != len(m.rows)-lastRows {
		return 0
	}
	h := m.notesHeight()
	for _, r := range m.rows[i:] {
		h += m.rowHeight(r)
	}
	return h
}

// named is row i with the name of its group, where its own first cell is empty: a page
// says of what its first row is.
func (m *measuredTable) named(i int) []cellLines {
	row := slices.Clone(m.rows[i])
	for ; i > 0 && m.Rows[i][0] == ""; i-- {
	}
	row[0] = m.rows[i][0]
	return row
}

func (s *setter) table(t *table) {
	m := s.measureTable(t)
	s.room(m.least())
	s.y++
	h := lineHeight(bodySize)
	for _, l := range m.caption {
		s.y += h
		s.line(l, s.left, s.y-0.28*h, bodySize, ink)
		s.y += 0.5
	}
	head := func() {
		s.hline(s.left, s.left+textWidth, s.y, ink, 0.3)
		if !m.headless() {
			s.row(m, m.head)
			s.hline(s.left, s.left+textWidth, s.y, ink, 0.15)
		}
	}
	head()
	for i, r := range m.rows {
		if need := max(m.groupHeight(i), m.endHeight(i)); s.y+need > s.bottom {
			s.newPage()
			s.room(m.rowHeight(m.head) + need)
			head()
			r = m.named(i)
		}
		for {
			var rest []cellLines
			if r, rest = m.part(r, s.bottom-s.y); rest == nil {
				break
			}
			s.row(m, r)
			s.newPage()
			head()
			r = rest
		}
		s.row(m, r)
		if i < len(m.rows)-1 {
			s.hline(s.left, s.left+textWidth, s.y, rule, 0.15)
		}
	}
	s.hline(s.left, s.left+textWidth, s.y, ink, 0.3)
	s.y += 1
	for _, n := range m.notes {
		s.room(float64(len(n)) * lineHeight(noteSize))
		for _, l := range n {
			s.y += lineHeight(noteSize)
			s.line(l, s.left+cellPad, s.y-0.28*lineHeight(noteSize), noteSize, grey)
		}
	}
	s.y += 3
}

// part is as much of a row as there is room for, and the rest, or nil: a row may be
// taller than a page.
func (m *measuredTable) part(row []cellLines, height float64) (now, rest []cellLines) {
	if m.rowHeight(row) <= height {
		return row, nil
	}
	n := max(1, int((height-rowGap)/lineHeight(m.size)))
	for _, c := range row {
		now = append(now, c[:min(n, len(c))])
		rest = append(rest, c[min(n, len(c)):])
	}
	return now, rest
}

func (s *setter) row(m *measuredTable, row []cellLines) {
	x := s.left
	h := lineHeight(m.size)
	for i, cell := range row {
		y := s.y + 0.7
		for _, l := range cell {
			y += h
			at := x + cellPad
			if m.Columns[i].Right {
				at = x + m.widths[i] - cellPad - l.width
			}
			s.line(l, at, y-0.28*h, m.size, ink)
		}
		x += m.widths[i]
	}
	s.y += m.rowHeight(row)
}
