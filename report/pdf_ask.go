package report

import (
	"fmt"
	"image/color"
)

// The box of questions to the student, at the end of a section: each with ruled
// lines to write the answer on.

const (
	askPad      = 3.0
	askIndent   = 5.0 // of a question behind its number
	askTitle    = 7.0
	answerLine  = 8.0 // apart, for a pen
	answerLines = 3   // lines for each question
)

var penLines = color.NRGBA{0xaa, 0xaa, 0xaa, 0xff}

// askHeight is that of a question with its lines.
func askHeight(question []line) float64 {
	return float64(len(question))*lineHeight(bodySize) + answerLines*answerLine + 3
}

// ask sets the box. It breaks between two questions, and is closed on both pages.
func (s *setter) ask(questions []string) {
	var set [][]line
	total := askTitle + askPad
	for _, q := range questions {
		lines := s.wrap(parse(q), bodySize, textWidth-2*askPad-askIndent)
		set = append(set, lines)
		total += askHeight(lines)
	}
	if len(set) == 0 {
		return
	}
	s.y += 2
	s.whole(total)
	for from := 0; from < len(set); {
		to, height := from, askTitle+askPad
		for to < len(set) && s.y+height+askHeight(set[to]) <= s.bottom {
			height += askHeight(set[to])
			to++
		}
		if to == from && s.y > pageTop {
			s.newPage()
			continue
		}
		if to == from { // taller than a page
			height += askHeight(set[to])
			to++
		}
		title := "Questions for you"
		if from > 0 {
			title += ", continued"
		}
		s.askBox(title, from, set[from:to], height)
		from = to
	}
	s.y += 3
}

// askBox is the box, or what of it is on one page.
func (s *setter) askBox(title string, first int, questions [][]line, height float64) {
	s.fill(s.left, s.y, textWidth, askTitle, headFill)
	s.pdf.SetDrawColor(int(blue.R), int(blue.G), int(blue.B))
	s.pdf.SetLineWidth(0.3)
	s.pdf.Rect(s.left, s.y, textWidth, height, "D")
	s.font(style{bold: true}, bodySize+0.5, ink)
	s.pdf.Text(s.left+askPad, s.y+0.68*askTitle, title)
	y := s.y + askTitle + askPad/2
	h := lineHeight(bodySize)
	for i, lines := range questions {
		s.font(style{bold: true}, bodySize, ink)
		s.pdf.Text(s.left+askPad, y+0.72*h, fmt.Sprintf("%d.", first+i+1))
		for _, l := range lines {
			y += h
			s.line(l, s.left+askPad+askIndent, y-0.28*h, bodySize, ink)
		}
		for range answerLines {
			y += answerLine
			s.hline(s.left+askPad+askIndent, s.left+textWidth-askPad, y, penLines, 0.15)
		}
		y += 3
	}
	s.y += height
}
