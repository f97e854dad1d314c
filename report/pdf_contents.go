package report

import "strconv"

// The table of contents stands on the second page, or on the first below the
// warnings where there is no lecture's table. Its length is known from
// the document before the pages are that it names, so its pages are left empty at
// first and filled at the end.

// A line of the contents, in millimetres, by the level of what it names.
var contentsLine = []float64{6.4, 4.9}

// contentsClosest is how much closer the lines may stand.
const contentsClosest = 0.75

// contentsHead is what its title takes.
const contentsHead = 16.0

// leaveContents leaves room for the contents, and tells where it begins.
func (s *setter) leaveContents() (page int, y float64) {
	var levels []int
	if len(s.doc.Lecture.Rows) > 0 {
		levels = append(levels, 0)
	}
	for _, sec := range s.doc.Sections {
		levels = append(levels, 0)
		for _, b := range sec.Blocks {
			if _, ok := b.(heading); ok {
				levels = append(levels, 1)
			}
		}
	}
	if len(s.doc.Lecture.Rows) > 0 {
		s.newPage()
	}
	page, y = s.pdf.PageNo(), s.y
	s.place("contents", "Contents", 0)
	s.items = s.items[:len(s.items)-1] // it does not name itself
	s.y += contentsHead
	all := 0.0
	for _, level := range levels {
		all += contentsLine[level]
	}
	// A little too much for a page is set closer.
	s.closer = 1
	if c := (s.bottom - s.y) / (all + 0.1); c >= contentsClosest {
		s.closer = min(c, 1)
	}
	for _, level := range levels {
		s.room(s.closer * contentsLine[level])
		s.y += s.closer * contentsLine[level]
	}
	s.newPage()
	return page, y
}

// contents fills the room that was left.
func (s *setter) contents(page int, y float64) {
	s.goTo(page)
	s.y = y + 7
	s.font(style{bold: true}, 15, ink)
	s.pdf.Text(s.left, s.y, "Contents")
	s.y += 2.5
	s.hline(s.left, s.left+textWidth, s.y, blue, 0.5)
	s.y = y + contentsHead
	for _, p := range s.items {
		h := s.closer * contentsLine[p.level]
		if s.y+h > s.bottom {
			page++
			s.goTo(page)
			s.y = pageTop
		}
		s.y += h
		s.contentsEntry(p, s.y-0.3*h, h)
	}
}

// contentsEntry is one line: a title, dots to lead the eye, and the page.
func (s *setter) contentsEntry(p contentsItem, y, h float64) {
	indent, size := 0.0, 10.0
	if p.level > 0 {
		indent, size = 6, 9
	}
	number := strconv.Itoa(p.page)
	right := s.left + textWidth
	s.font(style{}, size, ink)
	const numberWidth, gap = 8.0, 2.0
	s.textRight(number, right, y)
	title := s.wrap(plain(p.title, style{bold: p.level == 0}), size, textWidth-indent-numberWidth-gap)[0]
	s.line(title, s.left+indent, y, size, ink)
	s.leaders(right-numberWidth, s.left+indent+title.width+gap, y)
	s.pdf.Link(s.left, y-0.7*h, textWidth, h, p.link)
}

// leaders is a line of dots. It is drawn, since whoever copies the page or has it read
// aloud wants no dots. It begins at the right, so that the dots of all lines stand below
// each other.
func (s *setter) leaders(from, to, y float64) {
	if to > from {
		return
	}
	const apart, size = 1.6, 0.3
	s.pdf.SetLineCapStyle("round")
	s.pdf.SetDrawColor(int(grey.R), int(grey.G), int(grey.B))
	s.pdf.SetLineWidth(size)
	s.pdf.SetDashPattern([]float64{0, apart}, 0)
	s.pdf.Line(from, y, to, y)
	s.pdf.SetLineCapStyle("butt")
	s.pdf.SetDashPattern(nil, 0)
}
