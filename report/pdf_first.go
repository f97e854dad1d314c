package report

import (
	"image/color"
	"slices"
)

// The first page: what was measured, on what, what to beware of, and the
// lecture's table.

var (
	warnFill = color.NRGBA{0xff, 0xf6, 0xdd, 0xff}
	warnEdge = color.NRGBA{0xc8, 0x8a, 0x00, 0xff}
	headFill = color.NRGBA{0xe6, 0xec, 0xf3, 0xff} // of the lecture's table, and of the students' boxes
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
	s.font(style{bold: true}, 18, ink)
	s.pdf.Text(s.left, s.y, d.Title)
	s.studentName(s.pdf.GetStringWidth(d.Title))
	s.y += 2.5
	s.text(plain(d.Subtitle, style{}), s.left, textWidth, tableSize, grey)
	s.text(plain(d.Host, style{}), s.left, textWidth, tableSize, grey)
	s.y += 2.5
	w, l := s.setFirst(d.Alerts, d.Lecture)
	s.warnings(w)
	s.lecture(l)
}

// studentName is a line for who hands the report in, where it asks questions.
func (s *setter) studentName(titleWidth float64) {
	const width, gap = 36.0, 4.0
	asks := slices.ContainsFunc(s.doc.Sections, func(sec section) bool { return len(sec.Ask) > 0 })
	if !asks || titleWidth > textWidth-width-gap {
		return
	}
	right := s.left + textWidth
	s.font(style{}, noteSize, grey)
	s.pdf.Text(right-width, s.y, "Name")
	s.hline(right-width+s.pdf.GetStringWidth("Name "), right, s.y, penLines, 0.15)
}

// The sizes in which the first page is set: the largest in which all of it is on one
// page. Below the smallest nobody reads.
const (
	firstMost  = 9.5
	firstLeast = 7.0
	firstStep  = 0.125
)

// firstLine is the height of a line there: that of the other pages where there is room,
// and tighter where there is little. The lines are short, and larger letters are worth
// more.
func firstLine(size float64) float64 {
	const loose, tight, tightest = 1.32, 1.16, 7.5 // the last a size
	roomy := min(max((size-tightest)/(firstMost-tightest), 0), 1)
	return size * (tight + (loose-tight)*roomy) * 25.4 / 72
}

// setFirst sets the warnings and the lecture's table so that they fit below what is
// on the page. Where they do not in any size, the table goes on on the next page, and
// is set in the largest.
func (s *setter) setFirst(alerts []string, t lectureTable) (warningBox, lectureLines) {
	set := func(size float64) (warningBox, lectureLines) {
		return s.setWarnings(alerts, size), s.setLecture(t, size)
	}
	for size := firstMost; size >= firstLeast; size -= firstStep {
		if w, l := set(size); s.y+w.height+l.height <= s.bottom {
			return w, l
		}
	}
	return set(firstMost)
}

// warningBox is the box of warnings, set.
type warningBox struct {
	size, height float64
	items        [][]line // the title, and each warning
}

const (
	warnPad    = 2.0
	warnIndent = 3.2
)

func (s *setter) setWarnings(list []string, size float64) warningBox {
	if len(list) == 0 {
		return warningBox{}
	}
	w := warningBox{size: size}
	width := textWidth - 2*warnPad - warnIndent
	w.items = append(w.items, s.wrap(plain("Before you read on", style{bold: true}), size, width))
	for _, a := range list {
		w.items = append(w.items, s.wrap(plain(a, style{}), size, width))
	}
	total := 0
	for _, lines := range w.items {
		total += len(lines)
	}
	w.height = float64(total)*firstLine(size) + 2*warnPad + 2
	return w
}

func (s *setter) warnings(w warningBox) {
	if len(w.items) == 0 {
		return
	}
	h := firstLine(w.size)
	box := w.height - 3
	s.fill(s.left, s.y, textWidth, box, warnFill)
	s.fill(s.left, s.y, 1.1, box, warnEdge)
	y := s.y + warnPad - 0.5
	for i, item := range w.items {
		for j, l := range item {
			y += h
			x := s.left + warnPad + warnIndent
			if i == 0 {
				x = s.left + warnPad + 0.8
			} else if j == 0 {
				s.font(style{}, w.size, ink)
				s.pdf.Text(s.left+warnPad+0.8, y-0.28*h, "•")
			}
			s.line(l, x, y-0.28*h, w.size, ink)
		}
	}
	s.y += w.height
}

// lectureNote stands below the lecture's table.
const lectureNote = "In brackets: the 95% confidence interval of the median, or of a ratio of medians, and n, the number of values. " +
	"The lecture speaks of Docker; the appendix says what was measured here as a container."

const (
	lectureHead = 2.2 // what its head takes besides a line
	lectureGap  = 2.0 // above its notes
	verdictGap  = 2.8 // of a row besides its lines
)

// criterionWidth is that of the first column: its longest word, "Virtualization", fits.
func criterionWidth(size float64) float64 { return 2.3*size + 2*cellPad }

// lectureLines is the lecture's table, set.
type lectureLines struct {
	size, height float64
	columns      [3]float64 // their widths
	rows         []lectureRowLines
	notes        []note
	notesHeight  float64
}

// note is a text below the table.
type note struct {
	lines  []line
	colour color.NRGBA
}

// lectureRowLines is a row of it.
type lectureRowLines struct {
	name, verdict   []line
	container, vm   [2][]line // what the lecture says, what was measured
	lecture, height float64   // height of the lecture's words, and of all
}

// setLecture sets the lecture's table in a size. The two columns share the width so
// that the table becomes least high: of one kind there may be many more platforms.
func (s *setter) setLecture(t lectureTable, size float64) lectureLines {
	if len(t.Rows) == 0 {
		return lectureLines{}
	}
	var set lectureLines
	for _, share := range []float64{0.5, 0.46, 0.42, 0.38, 0.34, 0.54, 0.58} {
		if l := s.setColumns(t, size, share); set.rows == nil || l.height < set.height {
			set = l
		}
	}
	set.notesHeight = lectureGap
	for _, n := range []struct {
		text   string
		colour color.NRGBA
	}{{t.Also, ink}, {t.Left, ink}, {lectureNote, grey}} {
		if n.text != "" {
			lines := s.wrap(plain(n.text, style{}), set.noteSize(), textWidth)
			set.notes = append(set.notes, note{lines, n.colour})
			set.notesHeight += float64(len(lines)) * firstLine(set.noteSize())
		}
	}
	set.height += set.notesHeight
	return set
}

func (l lectureLines) noteSize() float64 { return min(l.size, noteSize) }

// setColumns sets the table's rows where the container's column has that share of the
// width.
func (s *setter) setColumns(t lectureTable, size, share float64) lectureLines {
	h := firstLine(size)
	first := criterionWidth(size)
	rest := textWidth - first
	set := lectureLines{size: size, height: h + lectureHead, columns: [3]float64{first, rest * share, rest * (1 - share)}}
	for _, r := range t.Rows {
		cell := func(c lectureCell, column int) [2][]line {
			width := set.columns[column] - 2*cellPad
			var measured []line
			for _, m := range c.Measured {
				measured = append(measured, s.wrap(plain(m, style{}), size, width)...)
			}
			return [2][]line{s.wrap(plain("Lecture: "+c.Lecture, style{italic: true}), size, width), measured}
		}
		l := lectureRowLines{name: s.wrap(plain(r.Criterion, style{bold: true, link: "#" + lectureSections[r.Criterion]}), size, first-2*cellPad), container: cell(r.Container, 1), vm: cell(r.VM, 2)}
		judge := append(plain(string(r.Verdict.Mark)+". ", style{bold: true, colour: markColours[r.Verdict.Mark]}), plain(r.Verdict.Text, style{})...)
		l.verdict = s.wrap(judge, size, rest-2*cellPad)
		lecture := max(len(l.container[0]), len(l.vm[0]))
		upper := max(len(l.name), lecture+max(len(l.container[1]), len(l.vm[1])))
		l.lecture, l.height = float64(lecture)*h, float64(upper+len(l.verdict))*h+verdictGap
		set.rows = append(set.rows, l)
		set.height += l.height
	}
	return set
}

// lecture is the lecture's table: each row is a criterion with two cells, and
// the verdict across both below.
func (s *setter) lecture(t lectureLines) {
	if len(t.rows) == 0 {
		return
	}
	h := firstLine(t.size)
	columns := [3]float64{s.left, s.left + t.columns[0], s.left + t.columns[0] + t.columns[1]}
	title := func() {
		s.fill(s.left, s.y, textWidth, h+lectureHead, headFill)
		s.font(style{bold: true}, t.size+0.5, ink)
		for i, text := range []string{"", "Container", "Virtual machine"} {
			s.pdf.Text(columns[i]+cellPad, s.y+h+0.2, text)
		}
		s.y += h + lectureHead
	}
	title()
	for i, r := range t.rows {
		after := 0.0
		if i == len(t.rows)-1 {
			after = t.notesHeight
		}
		if s.y+r.height+after > s.bottom {
			s.newPage()
			title()
		}
		top := s.y + 0.6
		draw := func(lines []line, column int, y float64, c color.NRGBA) {
			for _, l := range lines {
				y += h
				s.line(l, columns[column]+cellPad, y-0.28*h, t.size, c)
			}
		}
		draw(r.name, 0, top, ink)
		for i, c := range [][2][]line{r.container, r.vm} {
			draw(c[0], i+1, top, grey)
			draw(c[1], i+1, top+r.lecture, ink)
		}
		verdict := float64(len(r.verdict)) * h
		below := s.y + r.height - verdict - 1.4
		s.fill(columns[1], below, textWidth-t.columns[0], verdict+0.9, color.NRGBA{0xf4, 0xf4, 0xf4, 0xff})
		draw(r.verdict, 1, below, ink)
		s.y += r.height
		s.hline(s.left, s.left+textWidth, s.y, grey, 0.2)
	}
	s.y += lectureGap
	for _, n := range t.notes {
		for _, l := range n.lines {
			s.y += firstLine(t.noteSize())
			s.line(l, s.left, s.y-0.28*firstLine(t.noteSize()), t.noteSize(), n.colour)
		}
	}
}
