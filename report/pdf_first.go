package report

import "image/color"

// The first page: what was measured, on what, what to beware of, and the
// lecture's table.

var (
	warnFill = color.NRGBA{0xff, 0xf6, 0xdd, 0xff}
	warnEdge = color.NRGBA{0xc8, 0x8a, 0x00, 0xff}
)

// markColours are the colours of a verdict's mark. The mark is a word: the
// colour says nothing that it does not.
var markColours = map[markOf]color.NRGBA{
	agrees:    {0x2f, 0x6f, 0x3e, 0xff},
	disagrees: {0x99, 0x22, 0x33, 0xff},
	emulation: {0x8a, 0x62, 0x00, 0xff},

	agreesEmulated:    {0x8a, 0x62, 0x00, 0xff},
	disagreesEmulated: {0x99, 0x22, 0x33, 0xff},
}

func (s *setter) firstPage() {
	d := s.doc
	if len(d.Lecture.Rows) > 0 {
		s.place("lecture", "The lecture's table, measured", 0)
	}
	s.y += 7
	s.font(style{bold: true}, 20, ink)
	s.pdf.Text(s.left, s.y, d.Title)
	s.y += 2.5
	s.text(plain(d.Subtitle, style{}), s.left, textWidth, bodySize, grey)
	s.text(plain(d.Host, style{}), s.left, textWidth, bodySize, grey)
	s.y += 2.5
	s.alerts(d.Alerts)
	s.lecture(d.Lecture)
}

// alerts is the box of warnings.
func (s *setter) alerts(list []string) {
	if len(list) == 0 {
		return
	}
	const size, pad, indent = 8.5, 2.2, 3.2
	h := lineHeight(size)
	width := textWidth - 2*pad - indent
	lines := [][]line{s.wrap(plain("Before you read on", style{bold: true}), size, width)}
	total := 1
	for _, a := range list {
		l := s.wrap(plain(a, style{}), size, width)
		lines = append(lines, l)
		total += len(l)
	}
	box := float64(total)*h + 2*pad - 1.2
	s.fill(s.left, s.y, textWidth, box, warnFill)
	s.fill(s.left, s.y, 1.1, box, warnEdge)
	y := s.y + pad - 0.5
	for i, item := range lines {
		for j, l := range item {
			y += h
			x := s.left + pad + indent
			if i == 0 {
				x = s.left + pad + 0.8
			} else if j == 0 {
				s.font(style{}, size, ink)
				s.pdf.Text(s.left+pad+0.8, y-0.28*h, "•")
			}
			s.line(l, x, y-0.28*h, size, ink)
		}
	}
	s.y += box + 3
}

// lectureNote stands below the lecture's table.
const lectureNote = "In brackets: the 95% confidence interval of the median, or of a ratio of medians, and n, the number of values. " +
	"The lecture speaks of Docker; the appendix says what was measured here as a container."

// criterionWidth is that of the first column of the lecture's table, cellWidth
// that of the two others.
const (
	criterionWidth = 25.0
	cellWidth      = (textWidth - criterionWidth) / 2
)

// lectureLines is a row of the lecture's table, set.
type lectureLines struct {
	name, verdict   []line
	container, vm   [2][]line // what the lecture says, what was measured
	lecture, height float64   // height of the lecture's words, and of all
}

// setLecture sets the rows of the lecture's table in a size, and gives their
// height.
func (s *setter) setLecture(t lectureTable, size float64) (rows []lectureLines, height float64) {
	h := lineHeight(size)
	for _, r := range t.Rows {
		cell := func(c lectureCell) [2][]line {
			var measured []line
			for _, m := range c.Measured {
				measured = append(measured, s.wrap(plain(m, style{}), size, cellWidth-2*cellPad)...)
			}
			return [2][]line{s.wrap(plain("Lecture: "+c.Lecture, style{italic: true}), size, cellWidth-2*cellPad), measured}
		}
		l := lectureLines{name: s.wrap(plain(r.Criterion, style{bold: true}), size, criterionWidth-2*cellPad), container: cell(r.Container), vm: cell(r.VM)}
		judge := append(plain(string(r.Verdict.Mark)+". ", style{bold: true, colour: markColours[r.Verdict.Mark]}), plain(r.Verdict.Text, style{})...)
		l.verdict = s.wrap(judge, size, textWidth-criterionWidth-2*cellPad)
		lecture := max(len(l.container[0]), len(l.vm[0]))
		upper := max(len(l.name), lecture+max(len(l.container[1]), len(l.vm[1])))
		l.lecture, l.height = float64(lecture)*h, float64(upper+len(l.verdict))*h+3.2
		rows = append(rows, l)
		height += l.height
	}
	return rows, height
}

// lecture is the lecture's table: each row is a criterion with two cells, and
// the verdict across both below. It is set smaller where it would not fit below
// the warnings, with many platforms, and goes on on the next page if that is not
// enough.
func (s *setter) lecture(t lectureTable) {
	if len(t.Rows) == 0 {
		return
	}
	const most, least = 8.5, 7.5
	const head, gap = 2.2, 2.0
	noteHeight := gap
	for _, text := range []string{t.Also, t.Left, lectureNote} {
		if text != "" {
			noteHeight += float64(len(s.wrap(plain(text, style{}), noteSize, textWidth))) * lineHeight(noteSize)
		}
	}
	size := most
	rows, height := s.setLecture(t, size)
	for size > least && s.y+lineHeight(size)+head+height+noteHeight > s.bottom {
		size -= 0.25
		rows, height = s.setLecture(t, size)
	}
	h := lineHeight(size)
	columns := []float64{s.left, s.left + criterionWidth, s.left + criterionWidth + cellWidth}
	title := func() {
		s.fill(s.left, s.y, textWidth, h+head, color.NRGBA{0xe6, 0xec, 0xf3, 0xff})
		s.font(style{bold: true}, size+0.5, ink)
		for i, text := range []string{"", "Container", "Virtual machine"} {
			s.pdf.Text(columns[i]+cellPad, s.y+h+0.2, text)
		}
		s.y += h + head
	}
	title()
	for i, r := range rows {
		after := 0.0
		if i == len(rows)-1 {
			after = noteHeight
		}
		if s.y+r.height+after > s.bottom {
			s.newPage()
			title()
		}
		top := s.y + 0.8
		draw := func(lines []line, column int, y float64, c color.NRGBA) {
			for _, l := range lines {
				y += h
				s.line(l, columns[column]+cellPad, y-0.28*h, size, c)
			}
		}
		draw(r.name, 0, top, ink)
		for i, c := range [][2][]line{r.container, r.vm} {
			draw(c[0], i+1, top, grey)
			draw(c[1], i+1, top+r.lecture, ink)
		}
		verdict := float64(len(r.verdict)) * h
		below := s.y + r.height - verdict - 1.6
		s.fill(s.left+criterionWidth, below, textWidth-criterionWidth, verdict+0.9, color.NRGBA{0xf4, 0xf4, 0xf4, 0xff})
		draw(r.verdict, 1, below, ink)
		s.y += r.height
		s.hline(s.left, s.left+textWidth, s.y, grey, 0.2)
	}
	s.y += gap
	if t.Also != "" {
		s.text(plain(t.Also, style{}), s.left, textWidth, noteSize, ink)
	}
	if t.Left != "" {
		s.text(plain(t.Left, style{}), s.left, textWidth, noteSize, ink)
	}
	s.text(plain(lectureNote, style{}), s.left, textWidth, noteSize, grey)
	s.y += 3
}
