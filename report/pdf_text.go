package report

import (
	"image/color"
	"regexp"
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
	link               string // "#" and the ID of a section or an anchor, or an address
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

// marked is the little markup that texts have, which is Markdown's.
var marked = regexp.MustCompile("\\*\\*(.+?)\\*\\*|`(.+?)`|\\[([^]]+)\\]\\((#[a-z0-9-]+|https?://[^) ]+)\\)")

// parse reads the markup of a text: two stars for bold, backquotes for what is
// typed, and [words](#section) or [words](https://...) for links.
func parse(text string) []piece {
	var out []piece
	put := func(from, to int, s style) {
		if from < to {
			out = append(out, piece{text[from:to], s})
		}
	}
	end := 0
	for _, at := range marked.FindAllStringSubmatchIndex(text, -1) {
		put(end, at[0], style{})
		end = at[1]
		switch {
		case at[2] >= 0:
			put(at[2], at[3], style{bold: true})
		case at[4] >= 0:
			put(at[4], at[5], style{mono: true})
		default:
			put(at[6], at[7], style{link: text[at[8]:at[9]]})
		}
	}
	put(end, len(text), style{})
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
			if n > 0 && now.pieces[n-1].link == "" { // a link's space would be underlined
				now.pieces[n-1].text += gap
				gap = ""
			}
			now.pieces = append(now.pieces, piece{gap + text, st})
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
		linked := s.leads(p.link)
		if linked {
			own = blue
		}
		s.font(p.style, size, own)
		s.pdf.Text(x, y, p.text)
		w := s.pdf.GetStringWidth(p.text)
		if linked {
			s.hline(x, x+w, y+0.4, blue, 0.12)
			s.link(p.link, x, y-0.75*lineHeight(size), w, lineHeight(size))
		}
		x += w
	}
}
