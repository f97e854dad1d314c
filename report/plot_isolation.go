package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// Sizes of the isolation matrix.
const (
	matrixColumns = 5 // platforms, at most
	matrixNames   = 44 * vg.Millimeter
	matrixRow     = 7.2 * vg.Millimeter
	matrixHead    = 9 * vg.Millimeter
	matrixSpace   = 4 * vg.Millimeter // above the second part
	matrixLegend  = 6 * vg.Millimeter
)

// property is a row of the matrix: what each platform has, in words. The cells are found
// once, since some take a bootstrap each and a figure is drawn for several formats.
type property struct {
	title string
	by    string // which walls stop most of these attempts
	cells map[*walled]wallCell
}

func propertyOf(subjects []*walled, title string, of func(*walled) wallCell) property {
	p := property{title: title, cells: map[*walled]wallCell{}}
	for _, x := range subjects {
		p.cells[x] = of(x)
	}
	return p
}

// wallCell is a sign and words.
type wallCell struct {
	sign sign
	text string // what is the case
	more string // in smaller letters below
}

// sign says how far something is closed, in a shape and not in a colour alone.
type sign int

const (
	noSign     sign = iota
	closed          // a full square
	halfClosed      // half a square
	open            // an empty one
)

// draw puts a sign around a point.
func (s sign) draw(c draw.Canvas, at vg.Point) {
	const r = 1.1 * vg.Millimeter
	box := func(left, right vg.Length) vg.Path {
		return vg.Rectangle{Min: vg.Point{X: at.X + left, Y: at.Y - r}, Max: vg.Point{X: at.X + right, Y: at.Y + r}}.Path()
	}
	if s == noSign {
		return
	}
	c.SetColor(ink)
	switch s {
	case closed:
		c.Fill(box(-r, r))
	case halfClosed:
		c.Fill(box(-r, 0))
	}
	c.SetLineStyle(draw.LineStyle{Color: ink, Width: vg.Points(0.6)})
	c.Stroke(box(-r, r))
}

// wallsOf are the properties that say what a platform is made of.
func (m *model) wallsOf(subjects []*walled) (all []property) {
	host := m.run.Header.Host.BootID
	add := func(title string, of func(*walled) wallCell) { all = append(all, propertyOf(subjects, title, of)) }
	add("Kernel", func(x *walled) wallCell {
		switch id := m.run.Identity(x.platform.Name); m.kernelOf(id) {
		case kernelShared:
			return wallCell{open, "the host's", ""}
		case kernelOwn:
			return wallCell{closed, "its own", ""}
		}
		return wallCell{text: "not known"}
	})
	add("Namespaces", func(x *walled) wallCell {
		id := m.run.Identity(x.platform.Name)
		if id == nil || id.BootID == "" || host == "" {
			return wallCell{text: "not known"}
		}
		own, shared := m.namespaces(id)
		if m.kernelOf(id) == kernelOwn {
			if own, shared = apart(id, m.run.GuestNamespaces(x.platform.Name)); len(own)+len(shared) == 0 {
				return wallCell{closed, "its kernel's", "none of the host's"}
			}
			return wallCell{closed, fmt.Sprintf("%d of %d its own", len(own), len(own)+len(shared)), "in its machine"}
		}
		s := halfClosed
		switch {
		case len(own) == 0:
			s = open
		case len(shared) == 0:
			s = closed
		}
		more := ""
		if len(own) > 0 && len(shared) > 0 {
			more = "not " + list(shared)
		}
		return wallCell{s, fmt.Sprintf("%d of %d its own", len(own), len(own)+len(shared)), more}
	})
	add("Its root is", func(x *walled) wallCell {
		id := m.run.Identity(x.platform.Name)
		switch {
		case id == nil || id.UIDMap == "":
			return wallCell{text: "not known"}
		case m.kernelOf(id) == kernelOwn:
			return wallCell{closed, "its machine's", ""}
		case strings.HasPrefix(id.UIDMap, "0 0 "):
			return wallCell{open, "the host's root", ""}
		default:
			if f := strings.Fields(id.UIDMap); len(f) > 1 {
				return wallCell{closed, "another user", "number " + clip(clean(f[1]), 12)}
			}
		}
		return wallCell{text: "not known"}
	})
	add("Capabilities", func(x *walled) wallCell {
		id := m.run.Identity(x.platform.Name)
		if id == nil {
			return wallCell{text: "not known"}
		}
		n, more, _ := strings.Cut(capabilities(id), " ")
		return wallCell{text: n, more: strings.Trim(more, "()")}
	})
	add("System call filter", func(x *walled) wallCell {
		id := m.run.Identity(x.platform.Name)
		switch {
		case id == nil:
			return wallCell{text: "not known"}
		case id.Seccomp == 0 && m.kernelOf(id) == kernelOwn:
			return wallCell{text: "off", more: "calls its own kernel"}
		case id.Seccomp == 0:
			return wallCell{open, "off", ""}
		}
		return wallCell{closed, seccomp(id), ""}
	})
	return all
}

// attempts are the properties that probes tell: one for each group of them.
func (w *walls) attempts() (list []property) {
	for _, g := range w.groups() {
		p := propertyOf(w.subjects, groupTitle(g), func(x *walled) wallCell {
			t := x.tally(g)
			c := wallCell{sign: closed}
			switch tried := t.tried(); {
			case tried == 0:
				return wallCell{text: "not tried"}
			case t.reached == 0:
				c.text = fmt.Sprintf("%d blocked", t.blocked)
			case t.blocked == 0:
				c.sign, c.text = open, fmt.Sprintf("%d reached", t.reached)
			default:
				c.sign, c.text = halfClosed, fmt.Sprintf("%d blocked", t.blocked)
				c.more = fmt.Sprintf("%d reached", t.reached)
			}
			if t.open > 0 {
				c.more = strings.TrimPrefix(c.more+fmt.Sprintf(", %d not tried", t.open), ", ")
			}
			return c
		})
		if by := w.stoppers(g, 2); len(by) > 0 {
			p.by = "walls: " + strings.Join(by, ", ")
		}
		list = append(list, p)
	}
	return list
}

// stoppers are the walls of a container that stop most of the attempts of a group: those
// that it needs, and those that are enough.
func (w *walls) stoppers(group string, most int) (names []string) {
	type stopper struct {
		name string
		n    int
	}
	var all []stopper
	for _, mech := range isolation.Mechanisms {
		s := stopper{name: lowerFirst(mech.Title)}
		for _, p := range w.ablation.Probes {
			if e := w.ablation.Effect(p, mech.Name); isolation.Find(p).Group == group && (e.Opened == isolation.Yes || e.Alone == isolation.Yes) {
				s.n++
			}
		}
		if s.n > 0 {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b stopper) int { return b.n - a.n })
	for _, s := range all[:min(len(all), most)] {
		names = append(names, s.name)
	}
	return names
}

// sharings are the properties of how far a platform has to do with the host's kernel and with
// its neighbours, as far as the run has measured them.
func (m *model) sharings(subjects []*walled) (list []property) {
	add := func(title string, of func(*walled) wallCell) {
		p := propertyOf(subjects, title, of)
		if slices.ContainsFunc(subjects, func(x *walled) bool { return p.cells[x] != wallCell{} }) {
			list = append(list, p)
		}
	}
	surfaces := map[*platform]*surfaceOf{}
	for _, x := range m.surfaces() {
		surfaces[x.platform] = x
	}
	add("Host's system calls", func(x *walled) (c wallCell) {
		if of := surfaces[x.platform]; of != nil {
			c.text = of.span() + " used"
			if of.table > 0 && !of.ownKernel {
				c.more = fmt.Sprintf("%d of %d let through", of.table-of.filtered, of.table)
			}
		}
		return c
	})
	faulties, _ := m.faulties()
	add("When it breaks", func(x *walled) (c wallCell) {
		for _, f := range faulties {
			if f.platform != x.platform && !(x.control && f.of == "process") {
				continue
			}
			var hurt []string
			tried := len(f.faults)
			for _, kind := range isolation.FaultKinds {
				switch f.faults[kind.Name].Outcome {
				case isolation.TooSlow: // whether it would be held is not known
					tried--
				case isolation.Disturbed, isolation.Lost, isolation.NotHeld:
					hurt = append(hurt, kind.Name)
				}
			}
			switch {
			case tried == 0:
				return c
			case len(hurt) == 0:
				return wallCell{closed, fmt.Sprintf("%d of %d held", tried, tried), ""}
			case len(hurt) == tried:
				return wallCell{open, "none held", strings.Join(hurt, ", ")}
			default:
				return wallCell{halfClosed, fmt.Sprintf("%d of %d held", tried-len(hurt), tried), "not: " + strings.Join(hurt, ", ")}
			}
		}
		return c
	})
	add("Beside one that spins", func(x *walled) (c wallCell) {
		for _, limited := range []bool{true, false} {
			of := m.interferenceOf(x.platform, isolation.Neighbours[0].Name, limited)
			if of == nil {
				continue
			}
			if r, ok := of.kept[isolation.Measures[0].Name]; ok && !math.IsNaN(r.Ratio) {
				c.text = result.FormatRatio(r.Ratio) + " of its speed"
				c.more = map[bool]string{true: "with limits", false: "without limits"}[limited]
				return c
			}
		}
		return c
	})
	return list
}

// matrixFigures answer: how is each platform closed off? A row for each property, a column
// for each platform, in signs and words; two figures of half the columns if one is too narrow.
func (m *model) matrixFigures(w *walls) (list []*figure) {
	n := len(w.subjects)
	if n == 0 {
		return nil
	}
	parts := [][]property{m.wallsOf(w.subjects), w.attempts()}
	if more := m.sharings(w.subjects); len(more) > 0 {
		parts = append(parts, more)
	}
	figures := (n + matrixColumns - 1) / matrixColumns
	for group := range slices.Chunk(w.subjects, (n+figures-1)/figures) {
		f := matrixFigure(group, parts)
		if len(list) > 0 {
			f.Name = fmt.Sprintf("%s-%d", f.Name, len(list)+1)
		}
		list = append(list, f)
	}
	return list
}

func matrixFigure(subjects []*walled, parts [][]property) *figure {
	rows := 0
	for _, p := range parts {
		rows += len(p)
	}
	var alt []string
	for _, x := range subjects {
		t := x.tally("")
		alt = append(alt, fmt.Sprintf("%s: %d attempts blocked, %d reached, %d not tried", x.platform.label(), t.blocked, t.reached, t.open))
	}
	caption := "How each platform is closed off: by what it is made of, and by what attempts to get out came to"
	if len(parts) > 2 {
		caption += "; and what it has to do with the host's kernel and with its neighbours"
	}
	caption += "."
	if slices.ContainsFunc(parts[1], func(p property) bool { return p.by != "" }) {
		caption += " In grey below a group of attempts: the walls of our container that stop most of them, the first the most."
	}
	for _, x := range subjects {
		if x.control {
			caption += " The process was tried in the throwaway machine, where nothing protects: it is the control."
		}
	}
	return &figure{
		Name: "isolation", Caption: caption, Alt: strings.Join(alt, "; ") + ".",
		W: plotWidth, H: matrixHead + vg.Length(rows)*matrixRow + vg.Length(len(parts)-1)*matrixSpace + matrixLegend,
		Draw: func(c draw.Canvas) error {
			drawMatrix(c, subjects, parts)
			return nil
		},
	}
}

func drawMatrix(c draw.Canvas, subjects []*walled, parts [][]property) {
	width := min((c.Max.X-c.Min.X-matrixNames)/vg.Length(len(subjects)), 40*vg.Millimeter)
	left := c.Min.X + matrixNames
	right := left + vg.Length(len(subjects))*width
	y := c.Max.Y
	for i, x := range subjects {
		at := left + vg.Length(i)*width + 1*vg.Millimeter
		x.platform.look.Mark.draw(c, vg.Point{X: at + 1.2*vg.Millimeter, Y: y - 3.3*vg.Millimeter}, 1.2*vg.Millimeter, x.platform.inner(), x.platform.look.Edge)
		name := text(8.5, true, ink, draw.XLeft, yMiddle)
		c.FillText(name, vg.Point{X: at + 3.4*vg.Millimeter, Y: y - 3.3*vg.Millimeter}, fitText(name, x.platform.Name, width-5*vg.Millimeter))
		small := text(6.5, false, grey, draw.XLeft, yMiddle)
		more := ""
		switch {
		case x.control:
			more = "in the throwaway machine"
		case x.platform.Emulated:
			more = "emulated"
		}
		c.FillText(small, vg.Point{X: at, Y: y - 7*vg.Millimeter}, fitText(small, more, width-1*vg.Millimeter))
	}
	y -= matrixHead
	line := func(y vg.Length, colour color.Color) {
		c.StrokeLine2(draw.LineStyle{Color: colour, Width: vg.Points(0.5)}, c.Min.X, y, right, y)
	}
	for i, part := range parts {
		if i > 0 {
			y -= matrixSpace
		}
		line(y, ink)
		for _, p := range part {
			middle := y - matrixRow/2
			name := text(8.5, false, ink, draw.XLeft, yMiddle)
			at := vg.Point{X: c.Min.X + 1*vg.Millimeter, Y: middle}
			if p.by != "" {
				small := text(6.5, false, grey, draw.XLeft, yMiddle)
				c.FillText(small, vg.Point{X: at.X, Y: middle - 1.9*vg.Millimeter}, fitText(small, p.by, matrixNames-2*vg.Millimeter))
				at.Y += 1.3 * vg.Millimeter
			}
			c.FillText(name, at, fitText(name, p.title, matrixNames-2*vg.Millimeter))
			for j, x := range subjects {
				cell, at := p.cells[x], left+vg.Length(j)*width
				drawCell(c, cell, at+1*vg.Millimeter, middle, width-1.5*vg.Millimeter)
				if cell != (wallCell{}) {
					tell(c, vg.Rectangle{Min: vg.Point{X: at, Y: middle - matrixRow/2}, Max: vg.Point{X: at + width, Y: middle + matrixRow/2}},
						x.platform.label()+", "+p.title, strings.TrimSuffix(cell.text+"; "+cell.more, "; "))
				}
			}
			y -= matrixRow
			line(y, rule)
		}
	}
	at := vg.Point{X: c.Min.X + 2.2*vg.Millimeter, Y: y - matrixLegend/2}
	for _, e := range []struct {
		sign sign
		name string
	}{{closed, "closed"}, {halfClosed, "closed in part"}, {open, "open"}} {
		style := text(8, false, ink, draw.XLeft, yMiddle)
		e.sign.draw(c, at)
		c.FillText(style, vg.Point{X: at.X + 2.2*vg.Millimeter, Y: at.Y}, e.name)
		at.X += style.Width(e.name) + 8*vg.Millimeter
	}
}

func drawCell(c draw.Canvas, of wallCell, left, middle, width vg.Length) {
	const indent = 3.4 * vg.Millimeter
	of.sign.draw(c, vg.Point{X: left + 1.2*vg.Millimeter, Y: middle})
	style, small := text(8, false, ink, draw.XLeft, yMiddle), text(6.5, false, grey, draw.XLeft, yMiddle)
	at := vg.Point{X: left + indent, Y: middle}
	if of.more != "" {
		at.Y += 1.3 * vg.Millimeter
		c.FillText(small, vg.Point{X: at.X, Y: middle - 1.9*vg.Millimeter}, fitText(small, of.more, width-indent))
	}
	c.FillText(style, at, fitText(style, of.text, width-indent))
}
