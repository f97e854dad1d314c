package report

import "strings"

// contentsItem is where something begins that a reader may look for.
type contentsItem struct {
	title string
	level int // 0 is a section, 1 a heading in one
	page  int
	link  int
}

// makeLinks names the places that links lead to before any is set: a text may
// speak of what comes later. What this run has no section for is no place: a link
// to it is only its words.
func (s *setter) makeLinks() {
	s.links = map[string]int{}
	add := func(id string) {
		if id != "" && s.links[id] == 0 {
			s.links[id] = s.pdf.AddLink()
		}
	}
	if len(s.doc.Lecture.Rows) > 0 {
		add("lecture")
	}
	for _, sec := range s.doc.Sections {
		add(sec.ID)
		for _, b := range sec.Blocks {
			if a, ok := b.(anchor); ok {
				add(string(a))
			}
		}
	}
}

// place puts a section or a heading that begins here into the bookmarks and the
// table of contents. Its ID may be empty.
func (s *setter) place(id, title string, level int) {
	title = printable(title)
	link := s.links[id]
	if link == 0 {
		link = s.pdf.AddLink()
	}
	s.pdf.SetLink(link, s.y, -1)
	s.font(style{}, bodySize, ink) // whose family tells fpdf that the title is UTF-8
	s.pdf.Bookmark(title, level, s.y)
	s.items = append(s.items, contentsItem{title, level, s.pdf.PageNo(), link})
}

// anchor is a place that only links know. It is on the page of what follows it.
func (s *setter) anchor(id string, next []block) {
	if len(next) > 0 {
		s.room(s.least(next[0]))
	}
	s.pdf.SetLink(s.links[id], s.y, -1)
}

// goTo goes on with an earlier page. That has colours of its own, of which fpdf knows
// only those of the page that was last: it leaves out a text's colour if it is the one
// to fill with.
func (s *setter) goTo(page int) {
	s.pdf.SetPage(page)
	s.pdf.SetFillColor(255, 255, 255)
}

// leads tells whether a link leads anywhere.
func (s *setter) leads(to string) bool {
	id, inside := strings.CutPrefix(to, "#")
	return to != "" && (!inside || s.links[id] != 0)
}

// link makes a part of the page lead to a place or an address.
func (s *setter) link(to string, x, y, w, h float64) {
	if id, inside := strings.CutPrefix(to, "#"); inside {
		s.pdf.Link(x, y, w, h, s.links[id])
		return
	}
	s.pdf.LinkString(x, y, w, h, to)
}
