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
}

func (s *setter) firstPage() {
	d := s.doc
	s.pdf.Bookmark("The lecture's table, measured", 0, s.y)
	s.y += 7
	s.font(style{bold: true}, 20, ink)
	s.pdf.Text(pageMargin, s.y, d.Title)
	s.y += 2.5
	s.text(plain(d.Subtitle, style{}), pageMargin, textWidth, bodySize, grey)
	s.text(plain(d.Host, style{}), pageMargin, textWidth, bodySize, grey)
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
	s.fill(pageMargin, s.y, textWidth, box, warnFill)
	s.fill(pageMargin, s.y, 1.1, box, warnEdge)
	y := s.y + pad - 0.5
	for i, item := range lines {
		for j, l := range item {
			y += h
			x := pageMargin + pad + indent
			if i == 0 {
				x = pageMargin + pad + 0.8
			} else if j == 0 {
				s.font(style{}, size, ink)
				s.pdf.Text(pageMargin+pad+0.8, y-0.28*h, "•")
			}
			s.line(l, x, y-0.28*h, size, ink)
		}
	}
	s.y += box + 3
}

// lecture is the lecture's table: each row is a criterion with two cells, and
// the verdict across both below.
func (s *setter) lecture(t lectureTable) {
	const size, first = 8.5, 25.0
	const width = (textWidth - first) / 2
	h := lineHeight(size)
	columns := []float64{pageMargin, pageMargin + first, pageMargin + first + width}
	title := func() {
		s.fill(pageMargin, s.y, textWidth, h+2.2, color.NRGBA{0xe6, 0xec, 0xf3, 0xff})
		s.font(style{bold: true}, 9, ink)
		for i, text := range []string{"", "Container", "Virtual machine"} {
			s.pdf.Text(columns[i]+cellPad, s.y+h+0.2, text)
		}
		s.y += h + 2.2
	}
	title()
	for _, r := range t.Rows {
		name := s.wrap(plain(r.Criterion, style{bold: true}), size, first-2*cellPad)
		cell := func(c lectureCell) [2][]line {
			var measured []line
			for _, m := range c.Measured {
				measured = append(measured, s.wrap(plain(m, style{}), size, width-2*cellPad)...)
			}
			return [2][]line{s.wrap(plain("Lecture: "+c.Lecture, style{italic: true}), size, width-2*cellPad), measured}
		}
		container, vm := cell(r.Container), cell(r.VM)
		judge := append(plain(string(r.Verdict.Mark)+". ", style{bold: true, colour: markColours[r.Verdict.Mark]}), plain(r.Verdict.Text, style{})...)
		verdict := s.wrap(judge, size, textWidth-first-2*cellPad)
		lecture := max(len(container[0]), len(vm[0]))
		upper := max(len(name), lecture+max(len(container[1]), len(vm[1])))
		height := float64(upper+len(verdict))*h + 3.2
		if s.y+height > s.bottom {
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
		draw(name, 0, top, ink)
		for i, c := range [][2][]line{container, vm} {
			draw(c[0], i+1, top, grey)
			draw(c[1], i+1, top+float64(lecture)*h, ink)
		}
		below := top + float64(upper)*h + 0.8
		s.fill(pageMargin+first, below, textWidth-first, float64(len(verdict))*h+0.9, color.NRGBA{0xf4, 0xf4, 0xf4, 0xff})
		draw(verdict, 1, below, ink)
		s.y += height
		s.hline(pageMargin, pageMargin+textWidth, s.y, grey, 0.2)
	}
	s.y += 2
	s.text(plain("In brackets: the 95% confidence interval of the median, or of a ratio of medians, and n, the number of values. "+
		"The lecture speaks of Docker; the appendix says what was measured here as a container.", style{}), pageMargin, textWidth, noteSize, grey)
	s.y += 3
}
