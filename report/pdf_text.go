package report

import (
	"image/color"
	"strings"
)

// The families of the embedded fonts, Liberation Sans and Mono.
const (
	sans = "sans"
	mono = "mono"
)

// style is how a piece of text is set. Its colour is that of the text around it
// unless it has one.
type style struct {
	bold, italic, mono bool
	colour             color.NRGBA
}

// piece is text in one style.
type piece struct {
	text string
	style
}

// line is one line of pieces, and its width.
type line struct {
	pieces []piece
	width  float64
}

// parse reads the little markup that texts have, which is Markdown's: two
// stars for bold, backquotes for what is typed.
func parse(text string) []piece {
	var out []piece
	for i, part := range strings.Split(text, "**") {
		for j, inner := range strings.Split(part, "`") {
			if inner != "" {
				out = append(out, piece{inner, style{bold: i%2 == 1, mono: j%2 == 1}})
			}
		}
	}
	return out
}

// plain is text with no markup: what comes from the journal.
func plain(text string, s style) []piece { return []piece{{printable(text), s}} }

func (s *setter) font(st style, size float64, c color.NRGBA) {
	family, name := sans, ""
	switch {
	case st.mono:
		family = mono
		size *= 0.92 // its letters look larger
	case st.bold:
		name = "B"
	case st.italic:
		name = "I"
	}
	s.pdf.SetFont(family, name, size)
	s.pdf.SetTextColor(int(c.R), int(c.G), int(c.B))
}

// wrap breaks text into lines of a width. It breaks at spaces; no-break spaces
// hold; a word that is longer than a line is cut,
// behind a comma or a hyphen if it has one.
func (s *setter) wrap(pieces []piece, size, width float64) []line {
	var lines []line
	var now line
	space := 0.0
	flush := func() {
		lines = append(lines, now)
		now, space = line{}, 0
	}
	put := func(text string, st style, gap string, w float64) {
		if n := len(now.pieces); n > 0 && now.pieces[n-1].style == st {
			now.pieces[n-1].text += gap + text
		} else {
			if n > 0 {
				now.pieces[n-1].text += gap
			}
			now.pieces = append(now.pieces, piece{text, st})
		}
		now.width += w
	}
	glued := false // the next word follows without a space
	for _, p := range pieces {
		s.font(p.style, size, ink)
		blank := s.pdf.GetStringWidth(" ")
		words := strings.Split(p.text, " ")
		for i, word := range words {
			if i > 0 {
				space, glued = blank, false
			}
			if word == "" {
				continue
			}
			w := s.pdf.GetStringWidth(word)
			for w > width && word != "" {
				// Cut a word that fits on no line.
				if len(now.pieces) > 0 {
					flush()
				}
				n := s.fits(word, width)
				if i := strings.LastIndexAny(word[:n], ","); i > 0 {
					n = i + 1
				} else if i := strings.LastIndexAny(word[:n], "-/"); i > 0 {
					n = i + 1
				}
				put(word[:n], p.style, "", s.pdf.GetStringWidth(word[:n]))
				flush()
				word = word[n:]
				w = s.pdf.GetStringWidth(word)
			}
			if word == "" {
				continue
			}
			if len(now.pieces) > 0 && now.width+space+w > width && !glued {
				flush()
			}
			gap := ""
			if len(now.pieces) > 0 && space > 0 {
				gap = " "
				now.width += space
			}
			put(word, p.style, gap, w)
			space, glued = 0, true
		}
	}
	if len(now.pieces) > 0 || len(lines) == 0 {
		flush()
	}
	return lines
}

// fits is how many bytes of a word fit into a width; at least one letter.
func (s *setter) fits(word string, width float64) int {
	last := 0
	for i := range word {
		if i > 0 && s.pdf.GetStringWidth(word[:i]) > width {
			break
		}
		if i > 0 {
			last = i
		}
	}
	if last == 0 {
		for i := range word {
			if i > 0 {
				return i
			}
		}
		return len(word)
	}
	return last
}

// line draws a line with its baseline at y.
func (s *setter) line(l line, x, y, size float64, c color.NRGBA) {
	for _, p := range l.pieces {
		own := c
		if p.colour.A > 0 {
			own = p.colour
		}
		s.font(p.style, size, own)
		s.pdf.Text(x, y, p.text)
		x += s.pdf.GetStringWidth(p.text)
	}
}
