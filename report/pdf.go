package report

import (
	"bytes"
	"cmp"
	"fmt"
	"image/color"

	"codeberg.org/go-fonts/liberation/liberationmonoregular"
	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansitalic"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"codeberg.org/go-pdf/fpdf"
	"gonum.org/v1/plot/vg"

	"vmctr/report/canvas"
)

// Paper is the size of the PDF's pages; A4 if it is empty.
type Paper string

// The sizes that printers have. The text is as wide on both: as a plot.
const (
	A4     Paper = "a4"     // 210 by 297 mm
	Letter Paper = "letter" // 8.5 by 11 inches: 216 by 279 mm
)

// The page, in millimetres. The text is as wide as a plot.
const (
	pageTop    = 16.0
	pageBottom = 18.0
	textWidth  = float64(plotWidth / vg.Millimeter)
)

// Sizes of text in points, and the height of a line by them in millimetres.
const (
	bodySize  = 9.5
	tableSize = 8.5
	noteSize  = 8.0
)

func lineHeight(size float64) float64 { return size * 1.32 * 25.4 / 72 }

// setter sets a document on pages. Its position is y, from the top; the pages
// break where it says, never by themselves.
type setter struct {
	pdf    *fpdf.Fpdf
	doc    *document
	left   float64 // where the text begins
	y      float64
	bottom float64
	links  map[string]int // what fpdf calls the places that links lead to, by ID
	tables map[*table]*measuredTable
	closer float64        // how much closer its lines stand
	items  []contentsItem // what the table of contents lists
	// Figures for which the page had no room: they come at the top of the next
	// ones, in their order, and what follows them in the text fills this one.
	pending []*figure
}

// renderPDF sets the document. All dates in it are those of the run, so that
// the same journal gives the same bytes.
func renderPDF(d *document, paper Paper) ([]byte, error) {
	pdf := fpdf.New("P", "mm", string(cmp.Or(paper, A4)), "")
	pdf.SetCatalogSort(true)
	pdf.SetCreationDate(d.Time)
	pdf.SetModificationDate(d.Time)
	pdf.SetTitle(d.Title, true)
	pdf.SetAuthor("bench", true)
	pdf.SetCreator("bench", true)
	pdf.SetSubject("Run "+d.Run, true)
	pdf.SetLang("en")
	pdf.SetDisplayMode("fullpage", "continuous")
	pdf.SetAutoPageBreak(false, 0)
	pdf.AddUTF8FontFromBytes(sans, "", liberationsansregular.TTF)
	pdf.AddUTF8FontFromBytes(sans, "B", liberationsansbold.TTF)
	pdf.AddUTF8FontFromBytes(sans, "I", liberationsansitalic.TTF)
	pdf.AddUTF8FontFromBytes(mono, "", liberationmonoregular.TTF)
	width, height := pdf.GetPageSize()

	s := &setter{pdf: pdf, doc: d, left: (width - textWidth) / 2, bottom: height - pageBottom, tables: map[*table]*measuredTable{}}
	s.makeLinks()
	s.newPage()
	s.firstPage()
	contents, at := s.leaveContents()
	for _, sec := range d.Sections {
		s.section(sec)
	}
	s.contents(contents, at)
	s.footers()
	var b bytes.Buffer
	if err := pdf.Output(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (s *setter) newPage() {
	s.pdf.AddPage()
	s.y = pageTop
	for len(s.pending) > 0 && (s.y == pageTop || s.y+s.least(s.pending[0]) <= s.bottom) {
		f := s.pending[0]
		s.pending = s.pending[1:]
		s.figure(f)
	}
}

// flush sets the figures that wait: what comes next is not theirs.
func (s *setter) flush() {
	for len(s.pending) > 0 {
		s.newPage()
	}
}

// whole begins a new page for what would fit on it and does not fit on this one,
// unless that leaves much white.
func (s *setter) whole(height float64) {
	if left := s.bottom - s.y; left < height && left < spare && height < s.bottom-pageTop {
		s.newPage()
	}
}

// room begins a new page if there is less room than that on this one, and
// another if a figure takes that.
func (s *setter) room(height float64) {
	for s.y+height > s.bottom && s.y > pageTop {
		s.newPage()
	}
}

// footers numbers the pages, once it is known how many there are.
func (s *setter) footers() {
	y := s.bottom + pageBottom - 10
	for n := range s.pdf.PageCount() {
		s.goTo(n + 1)
		s.hline(s.left, s.left+textWidth, y-4, rule, 0.2)
		s.font(style{}, noteSize, grey)
		s.pdf.Text(s.left, y, fmt.Sprintf("page %d of %d", n+1, s.pdf.PageCount()))
		s.textRight(printable("bench, run "+s.doc.Run), s.left+textWidth, y)
	}
}

// textRight sets a text that ends at x.
func (s *setter) textRight(text string, x, y float64) {
	s.pdf.Text(x-s.pdf.GetStringWidth(text), y, text)
}

func (s *setter) hline(from, to, y float64, c color.NRGBA, width float64) {
	s.pdf.SetDashPattern(nil, 0)
	s.pdf.SetDrawColor(int(c.R), int(c.G), int(c.B))
	s.pdf.SetLineWidth(width)
	s.pdf.Line(from, y, to, y)
}

func (s *setter) fill(x, y, w, h float64, c color.NRGBA) {
	s.pdf.SetFillColor(int(c.R), int(c.G), int(c.B))
	s.pdf.Rect(x, y, w, h, "F")
}

func (s *setter) section(sec section) {
	// The title of a section does not stand near the end of a page.
	s.room(max(16+s.begin(sec.Blocks), 60))
	if s.y > pageTop {
		s.y += 4
	}
	s.place(sec.ID, sec.Title, 0)
	s.y += 6
	s.font(style{bold: true}, 15, ink)
	s.pdf.Text(s.left, s.y, sec.Title)
	s.y += 2.5
	s.hline(s.left, s.left+textWidth, s.y, blue, 0.5)
	s.y += 4
	for i, b := range sec.Blocks {
		switch b := b.(type) {
		case heading:
			s.flush()
			s.room(10 + s.begin(sec.Blocks[i+1:]))
			s.y += 2
			s.place("", string(b), 1)
			s.y += 4.5
			s.font(style{bold: true}, 11.5, ink)
			s.pdf.Text(s.left, s.y, string(b))
			s.y += 2.5
		case anchor:
			s.anchor(string(b), sec.Blocks[i+1:])
		case paragraph:
			if b.Text == "" && i+1 < len(sec.Blocks) {
				// It leads the next block in.
				s.room(lineHeight(bodySize) + s.begin(sec.Blocks[i+1:i+2]))
			}
			s.paragraph(b)
		case points:
			s.points(b)
		case *table:
			// A figure does not come between the rows of a table.
			if height := s.measureTable(b).height(); s.y+height > s.bottom {
				s.flush()
				s.whole(height)
			}
			s.table(b)
		case *figure:
			if n := len(s.pending); n == waitingMost || n >= waiting && s.bottom-s.y < spare {
				s.newPage() // or they come too far from their text
			}
			if left := s.bottom - s.y; len(s.pending) > 0 || left < s.least(b) && left > 30 {
				s.pending = append(s.pending, b)
				continue
			}
			s.figure(b)
		}
	}
	s.flush()
	s.ask(sec.Ask)
}

// How many figures wait for a page: where that fills much of this one, and at most.
const (
	waiting     = 2
	waitingMost = 4
)

// spare is how much may be left empty at the end of a page.
const spare = 65.0

// begin is the height of the first blocks that a heading stays with: something to
// read, and as much of a figure as lets the heading stand where the figure waits.
func (s *setter) begin(blocks []block) (height float64) {
	const enough, figureEnough = 20, 30
	for _, b := range blocks {
		h := s.least(b)
		switch b := b.(type) {
		case *figure:
			h = min(h, figureEnough)
		case *table:
			h = min(s.measureTable(b).height(), spare) // else it would go on alone
		}
		if height += h; height > enough {
			break
		}
	}
	return height
}

// least is the height that a block needs to begin on a page.
func (s *setter) least(b block) float64 {
	switch b := b.(type) {
	case paragraph:
		lines := s.paragraphLines(b)
		if len(lines) > 4 {
			return 2 * lineHeight(bodySize)
		}
		return float64(len(lines))*lineHeight(bodySize) + 2
	case points:
		if len(b) == 0 {
			return 0
		}
		lines := 0 // of the first points, three at least
		for _, p := range b {
			if lines += len(s.wrap(plain(p, style{}), bodySize, textWidth-pointIndent)); lines >= 3 {
				break
			}
		}
		return float64(lines)*lineHeight(bodySize) + 1
	case *table:
		return s.measureTable(b).least()
	case *figure:
		return s.figureHeight(b) + 4 + lineHeight(noteSize)*2
	default:
		return 14
	}
}

func (s *setter) paragraphLines(p paragraph) []line {
	spans := parse(p.Text)
	if p.Lead != "" {
		spans = append([]piece{{p.Lead + " ", style{bold: true}}}, spans...)
	}
	return s.wrap(spans, bodySize, textWidth)
}

func (s *setter) paragraph(p paragraph) {
	lines := s.paragraphLines(p)
	h := lineHeight(bodySize)
	for i, l := range lines {
		// Neither a first line alone at the end of a page nor a last one
		// alone at the top.
		keep := 1
		if len(lines) > 1 && (i == 0 || i == len(lines)-2) {
			keep = 2
		}
		s.room(float64(keep) * h)
		s.y += h
		s.line(l, s.left, s.y-0.28*h, bodySize, ink)
	}
	s.y += 2.2
	if p.Text == "" {
		s.y -= 1.6
	}
}

// pointIndent is how far the text of a point stands from the margin.
const pointIndent = 3.2

func (s *setter) points(list points) {
	h := lineHeight(bodySize)
	for _, p := range list {
		lines := s.wrap(plain(p, style{}), bodySize, textWidth-pointIndent)
		for i, l := range lines {
			if i == 0 {
				s.room(float64(min(len(lines), 3)) * h)
				s.font(style{}, bodySize, ink)
				s.pdf.Text(s.left, s.y+0.72*h, "•")
			}
			if i > 0 && i == len(lines)-2 {
				s.room(2 * h) // the last line does not stand alone
			}
			s.room(h)
			s.y += h
			s.line(l, s.left+pointIndent, s.y-0.28*h, bodySize, ink)
		}
		s.y += 0.5
	}
	s.y += 1.7
}

// aroundFigure is what a figure leaves of a page at least: room for the heading of
// its section and for its caption.
const aroundFigure = 48.0

// figureHeight is the height of a figure on the page. One that is taller than
// a page, of very many platforms, is set smaller.
func (s *setter) figureHeight(f *figure) float64 {
	return min(f.H.Points()*25.4/72, s.bottom-pageTop-aroundFigure)
}

func (s *setter) figure(f *figure) {
	s.room(s.least(f))
	height := s.figureHeight(f)
	scale := height / (f.H.Points() * 25.4 / 72)
	c := canvas.New(s.pdf, sans, s.left, s.y-f.H.Points()*25.4/72*(1-scale), f.W, f.H)
	c.Scale(scale, scale)
	if err := drawFigure(f, c); err != nil {
		s.pdf.SetError(err)
		return
	}
	s.pdf.SetAlpha(1, "Normal")
	s.pdf.SetDashPattern(nil, 0)
	s.y += height + 1
	s.text(parse(f.Caption), s.left, textWidth, noteSize, grey)
	s.y += 3
}

// text sets a short text that stays on the page.
func (s *setter) text(pieces []piece, x, width, size float64, c color.NRGBA) {
	h := lineHeight(size)
	for _, l := range s.wrap(pieces, size, width) {
		s.y += h
		s.line(l, x, s.y-0.28*h, size, c)
	}
}
