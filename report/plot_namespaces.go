package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// namespaceTypes are the types of namespaces in the order of the lecture, then those
// that it does not name, and what each makes private (namespaces(7)).
var namespaceTypes = []struct{ name, of string }{
	{"pid", "processes"}, {"mnt", "mounts"}, {"net", "network"}, {"uts", "host name"}, {"ipc", "shared memory"}, {"user", "users"}, {"cgroup", "limits"}, {"time", "clocks"},
}

// Sizes of the plot of namespaces.
const (
	namespaceNames  = 35 * vg.Millimeter
	namespaceHead   = 8.5 * vg.Millimeter
	namespaceRow    = 5.2 * vg.Millimeter
	namespaceKernel = 5 * vg.Millimeter // the line that says which kernel it is
	namespaceGap    = 2 * vg.Millimeter // between kernels
	namespaceLegend = 6 * vg.Millimeter
	namespacesMost  = 10 // types: more would be too narrow for their numbers
)

// inKernel is one kernel and the processes that were seen in it.
type inKernel struct {
	title string
	rows  []inNamespaces
	owner *platform // nil for the host's
}

// inNamespaces is one process and its namespaces. The numbers are comparable with base
// and with nothing else.
type inNamespaces struct {
	name     string
	platform *platform // nil for a process that is none: of the host, or of a guest
	numbers  map[string]uint64
	base     map[string]uint64 // nil for the first row of a kernel
}

// height of a kernel's box.
func (k inKernel) height() vg.Length {
	return namespaceKernel + vg.Length(len(k.rows))*namespaceRow + 1*vg.Millimeter
}

// inKernels sorts the platforms by the kernel that serves them: the host's first, with all
// that it serves, and then each other one.
func (m *model) inKernels(told []*platform) (list []inKernel) {
	h := m.run.Header.Host
	host := inKernel{title: "The host's kernel: " + kernelTitle(h.Kernel.Release, h.BootID)}
	if len(h.Namespaces) > 0 {
		host.rows = append(host.rows, inNamespaces{name: "host (bench)", numbers: h.Namespaces})
	}
	for _, p := range told {
		id := m.run.Identity(p.Name)
		row := inNamespaces{name: p.Name, platform: p, numbers: id.Namespaces}
		k := inKernel{owner: p}
		switch m.kernelOf(id) {
		case kernelShared:
			row.base = h.Namespaces
			host.rows = append(host.rows, row)
			continue
		case kernelOwn:
			k.title = "A kernel of its own: "
		default:
			k.title = "Whose kernel is not known: "
		}
		k.title += kernelTitle(id.Kernel.Release, id.BootID)
		if p.Emulated {
			k.title += ", in an emulated machine"
		}
		if first := m.run.GuestNamespaces(p.Name); len(first) > 0 {
			k.rows = append(k.rows, inNamespaces{name: "its first process", numbers: first})
			row.base = first
		}
		k.rows = append(k.rows, row)
		list = append(list, k)
	}
	if len(host.rows) > 0 {
		list = slices.Insert(list, 0, host)
	}
	return list
}

func kernelTitle(release, boot string) string {
	return fmt.Sprintf("%s, boot_id %s", cmpOr(clip(clean(release), 40), "release not recorded"), cmpOr(brief(clean(boot)), "not recorded"))
}

// typesOf are the types that occur.
func typesOf(kernels []inKernel) (types []string) {
	seen := map[string]bool{}
	for _, k := range kernels {
		for _, r := range k.rows {
			for t := range r.numbers {
				seen[t] = true
			}
		}
	}
	for _, t := range namespaceTypes {
		if seen[t.name] {
			types = append(types, t.name)
			delete(seen, t.name)
		}
	}
	types = append(types, slices.Sorted(maps.Keys(seen))...)
	return types[:min(len(types), namespacesMost)]
}

// namespacesFigure answers: which namespaces does a program have to itself? A box for
// each kernel, in it a row for each process and a column for each type, and the numbers
// themselves. Nil if none was recorded.
func (m *model) namespacesFigure(told []*platform) *figure {
	kernels := m.inKernels(told)
	types := typesOf(kernels)
	if len(types) == 0 {
		return nil
	}
	var alt []string
	height := namespaceHead + namespaceLegend
	for _, k := range kernels {
		height += k.height() + namespaceGap
		for _, r := range k.rows {
			if r.platform == nil {
				continue
			}
			own, shared := apart(m.run.Identity(r.platform.Name), r.base)
			of := "the host's"
			if k.owner != nil {
				of = "its guest's"
			}
			switch {
			case len(own)+len(shared) > 0:
				alt = append(alt, fmt.Sprintf("%s: %d namespaces of its own, %d of %s", r.platform.label(), len(own), len(shared), of))
			default:
				alt = append(alt, r.platform.label()+": in another kernel, whose numbers are not comparable")
			}
		}
	}
	caption := "The namespaces of each program, by their inode numbers, in the box of the kernel that they belong to. " +
		"An equals sign: the number of the first row of the box, so the namespace is shared. A number means something only within its kernel."
	if names := usedAgain(kernels); len(names) > 0 {
		caption += " " + list(names) + " have a number in common and no namespace: they did not run at the same time, and the kernel uses a number again when its namespace has ended."
	}
	var missing []string
	for _, p := range m.platforms {
		if !slices.Contains(told, p) {
			missing = append(missing, fmt.Sprintf("%s (%s)", p.Name, p.state()))
		}
	}
	if len(missing) > 0 {
		caption += " Not seen: " + list(missing) + "."
	}
	return &figure{
		Name: "namespaces", Caption: caption, Alt: "Namespaces of each program. " + strings.Join(alt, "; ") + ".",
		W: plotWidth, H: height,
		Draw: func(c draw.Canvas) error {
			drawNamespaces(c, kernels, types)
			return nil
		},
	}
}

// usedAgain are the platforms on the host's kernel that have the number of a namespace
// in common which is not the host's. Platforms are measured one after another.
func usedAgain(kernels []inKernel) (names []string) {
	if len(kernels) == 0 || kernels[0].owner != nil {
		return nil
	}
	by := map[uint64][]string{}
	for _, r := range kernels[0].rows {
		for t, n := range r.numbers {
			if r.platform != nil && r.base[t] != n {
				by[n] = append(by[n], r.platform.label())
			}
		}
	}
	for _, r := range kernels[0].rows {
		if r.platform != nil && slices.ContainsFunc(slices.Collect(maps.Values(by)), func(of []string) bool { return len(of) > 1 && slices.Contains(of, r.platform.label()) }) {
			names = append(names, r.platform.label())
		}
	}
	return names
}

func drawNamespaces(c draw.Canvas, kernels []inKernel, types []string) {
	c = draw.Crop(c, 0.5*vg.Millimeter, -0.5*vg.Millimeter, 0, 0)
	left := c.Min.X + namespaceNames
	width := (c.Max.X - left - 1*vg.Millimeter) / vg.Length(max(len(types), len(namespaceTypes)))
	y := c.Max.Y
	head, small := text(9, true, ink, draw.XCenter, yMiddle), text(6.5, false, grey, draw.XCenter, yMiddle)
	for i, t := range types {
		x := left + (vg.Length(i)+0.5)*width
		c.FillText(head, vg.Point{X: x, Y: y - 3*vg.Millimeter}, fitText(head, clean(t), width-2))
		for _, of := range namespaceTypes {
			if of.name == t {
				c.FillText(small, vg.Point{X: x, Y: y - 6.4*vg.Millimeter}, of.of)
			}
		}
	}
	y -= namespaceHead
	for _, k := range kernels {
		edge := draw.LineStyle{Color: ink, Width: vg.Points(1)}
		if k.owner != nil {
			edge.Color = k.owner.look.Edge
		}
		box := vg.Rectangle{Min: vg.Point{X: c.Min.X, Y: y - k.height()}, Max: vg.Point{X: c.Max.X, Y: y}}
		c.SetColor(faint)
		c.Fill(vg.Rectangle{Min: vg.Point{X: box.Min.X, Y: box.Max.Y - namespaceKernel + vg.Points(2)}, Max: box.Max}.Path())
		c.SetLineStyle(edge)
		c.Stroke(box.Path())
		title := text(8, false, ink, draw.XLeft, yMiddle)
		c.FillText(title, vg.Point{X: c.Min.X + 1.5*vg.Millimeter, Y: y - namespaceKernel/2 + vg.Points(1)}, fitText(title, k.title, c.Max.X-c.Min.X-3*vg.Millimeter))
		at := y - namespaceKernel
		for _, r := range k.rows {
			middle := at - namespaceRow/2
			x := c.Min.X + 1.5*vg.Millimeter
			if p := r.platform; p != nil {
				p.look.Mark.draw(c, vg.Point{X: x + 1.2*vg.Millimeter, Y: middle}, 1.1*vg.Millimeter, p.inner(), p.look.Edge)
				x += 3.6 * vg.Millimeter
			}
			name := text(8, r.platform != nil, ink, draw.XLeft, yMiddle)
			for size := 8.0; size > 6 && name.Width(r.name) > left-x-2; size -= 0.5 { // rather small than cut
				name = text(size, r.platform != nil, ink, draw.XLeft, yMiddle)
			}
			c.FillText(name, vg.Point{X: x, Y: middle}, fitText(name, r.name, left-x-2))
			for i, t := range types {
				n, ok := r.numbers[t]
				if !ok {
					c.FillText(small, vg.Point{X: left + (vg.Length(i)+0.5)*width, Y: middle}, "–")
					continue
				}
				other, comparable := r.base[t]
				cell := vg.Rectangle{Min: vg.Point{X: left + vg.Length(i)*width + 1, Y: middle - namespaceRow/2 + 1}, Max: vg.Point{X: left + vg.Length(i+1)*width - 1, Y: middle + namespaceRow/2 - 1}}
				drawNumber(c, cell, n, comparable && n == other, comparable && n != other, r.platform == nil)
				what := ""
				switch {
				case comparable && n == other:
					what = ", shared with the first row of the box"
				case comparable:
					what = ", its own"
				}
				tell(c, cell, r.name+", "+clean(t), fmt.Sprint(n)+what)
			}
			at -= namespaceRow
		}
		y -= k.height() + namespaceGap
	}
	// The legend.
	middle := y - namespaceLegend/2 + 1*vg.Millimeter
	x := c.Min.X + 1*vg.Millimeter
	for _, e := range []struct {
		shared, own bool
		name        string
	}{{true, false, "shared with the first row of the box"}, {false, true, "its own"}, {false, false, "nothing in the box to compare with"}} {
		cell := vg.Rectangle{Min: vg.Point{X: x, Y: middle - namespaceRow/2 + 1}, Max: vg.Point{X: x + width - 2, Y: middle + namespaceRow/2 - 1}}
		drawNumber(c, cell, 4026531836, e.shared, e.own, false)
		style := text(8, false, ink, draw.XLeft, yMiddle)
		c.FillText(style, vg.Point{X: cell.Max.X + vg.Points(4), Y: middle}, e.name)
		x = cell.Max.X + vg.Points(16) + style.Width(e.name)
	}
}

// drawNumber is the number of a namespace in its cell: shared on a ground and with a
// sign, its own in a frame. That of a first row is what others are compared with.
func drawNumber(c draw.Canvas, cell vg.Rectangle, n uint64, shared, own, first bool) {
	style := text(6.8, false, ink, draw.XCenter, yMiddle)
	label := fmt.Sprint(n)
	switch {
	case shared:
		c.SetColor(sharedFill)
		c.Fill(cell.Path())
		label = "= " + label
	case own:
		style = text(6.8, true, ink, draw.XCenter, yMiddle)
		c.SetLineStyle(draw.LineStyle{Color: ink, Width: vg.Points(0.7)})
		c.Stroke(cell.Path())
	case !first:
		style.Color = grey
	}
	c.FillText(style, vg.Point{X: (cell.Min.X + cell.Max.X) / 2, Y: (cell.Min.Y + cell.Max.Y) / 2}, fitText(style, label, cell.Max.X-cell.Min.X-1))
}
