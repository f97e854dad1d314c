package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

const surfaceExperiment = "surface"

// surfaceOf is what of the host's kernel one platform comes at.
type surfaceOf struct {
	platform *platform
	calls    result.Summary // distinct system calls of one go
	least    int            // of the samples
	most     int
	every    []string // those that each sample has
	ever     []string // those that some sample has
	ioctls   []string // requests, likewise
	threads  []string
	untraced []string
	// filtered and table are of the table of system calls, where it was tried: what a
	// filter refuses, and how many there are. table is 0 if it was not.
	filtered, table int
	ownKernel       bool
}

// surfaces are those of the platforms that were traced.
func (m *model) surfaces() (list []*surfaceOf) {
	for _, p := range m.platforms {
		x := &surfaceOf{platform: p, ownKernel: m.kernelOf(m.run.Identity(p.Name)) == kernelOwn}
		var counts []float64
		seen, requests := map[string]int{}, map[string]bool{}
		threads, untraced := map[string]bool{}, map[string]bool{}
		for i := range m.run.Samples {
			s := &m.run.Samples[i]
			if s.Platform != p.Name || s.Warmup {
				continue
			}
			for _, pr := range s.Privileges {
				if pr.Variant == "" && len(pr.Calls) > 0 && x.table == 0 {
					x.table, x.filtered = len(pr.Calls)-pr.Count(isolation.NotInKernel), pr.Count(isolation.Filtered)
				}
			}
			if s.Experiment != surfaceExperiment || s.Surface == nil {
				continue
			}
			counts = append(counts, float64(len(s.Surface.Calls)))
			for name := range s.Surface.Calls {
				seen[clean(name)]++
			}
			collect(requests, s.Surface.Ioctls)
			collect(threads, s.Surface.Threads)
			collect(untraced, s.Surface.Untraced)
		}
		if x.calls = result.Summarize(counts); x.calls.N == 0 {
			continue
		}
		x.least, x.most = int(slices.Min(counts)), int(slices.Max(counts))
		for _, name := range slices.Sorted(maps.Keys(seen)) {
			x.ever = append(x.ever, name)
			if seen[name] == len(counts) {
				x.every = append(x.every, name)
			}
		}
		x.ioctls, x.threads, x.untraced = slices.Sorted(maps.Keys(requests)), slices.Sorted(maps.Keys(threads)), slices.Sorted(maps.Keys(untraced))
		list = append(list, x)
	}
	return list
}

func collect(all map[string]bool, of map[string]int) {
	for name := range of {
		all[clean(name)] = true
	}
}

// surfaceSection tells how much of the host's kernel a program's work comes at.
func (m *model) surfaceSection() (s section, any bool) {
	list := m.surfaces()
	if len(list) == 0 {
		return s, false
	}
	s = section{ID: "surface", Title: "Isolation: how much of the host's kernel is at work", Blocks: []block{
		paragraph{"Question.", "A wall is as good as what it is made of. Each system call of the host is code of its kernel that can have an error. Which of them does the same piece of work need on each platform, and which could the program use if it wanted?"},
		m.surfaceFigure(list),
		paragraph{"Findings.", ""}, points(m.surfaceWords(list)),
		m.surfaceTable(list),
		paragraph{"How to read it.", "A plain process and a container ask the host's kernel for everything: each file, each packet. A virtual machine's program asks the kernel of its machine, and what comes to the host is QEMU's: " +
			"it copies blocks and packets, and waits. The hollow mark is what a program could call if it wanted to: a filter makes that less. " +
			"For a machine's program there is none on the host: what it calls reaches its own kernel."},
		paragraph{"How it was measured.", m.surfaceMethod(list)},
		paragraph{"Its error.", surfaceError(list)},
		paragraph{"What it does not tell.", "A count says nothing of how much code is behind a call, nor of how well it is made: write(2) to a file and ioctl(2) to a driver are one each. It says nothing either of what stands behind the first wall: " +
			"who takes over QEMU is an ordinary process of the host, and can then call whatever that may. A machine whose processor is virtual (KVM) makes other kinds of call: what happens in the processor's own mode for guests is one ioctl."},
		paragraph{"What others measured.", anjali + " counted lines of the host's kernel that ran for a mix of work: 63" + nbsp + "163 for a plain process, 77" + nbsp + "392 for Firecracker, " +
			"90" + nbsp + "595 for LXC and 91" + nbsp + "161 for gVisor. Full QEMU was not measured. Lines are another unit than calls, of another kernel and another work, with the start in it: there the machine's share is larger, since one ioctl of KVM's runs much code."},
	}}
	s.Ask = []string{
		"Which system calls does the container make that a web server or a calculation would not need? What would you gain if the filter refused them too?",
		"A virtual machine's program needs few kinds of system call of the host. Where is the work done that the others ask of the host's kernel, and who can find errors there?",
		"Is a platform with half as many system calls twice as safe? Explain with a figure of this section.",
	}
	return s, true
}

// surfaceError says by how much the counts differ from go to go, if that is known.
func surfaceError(all []*surfaceOf) string {
	text := "Tracing makes all slower, and so may add a few calls that wait. Threads of the kernel's own that work for an instance cannot be traced, and are named where there were any."
	var once []string
	span := 0
	for _, x := range all {
		if x.calls.N == 1 {
			once = append(once, x.platform.the())
		}
		span = max(span, x.most-x.least)
	}
	switch {
	case len(once) == len(all):
		return text + " Each platform had one go, so nothing is known of how much the count differs from one to the next."
	case len(once) > 0:
		text += fmt.Sprintf(" Of %s there was one go, so nothing is known of how much the count differs.", list(once))
	}
	return text + fmt.Sprintf(" From one go to the next the count of a platform differed by %d at most.", span)
}

func (x *surfaceOf) span() string {
	if x.least == x.most {
		return fmt.Sprint(x.most)
	}
	return fmt.Sprintf("%d to %d", x.least, x.most)
}

func (m *model) surfaceWords(list []*surfaceOf) (words []string) {
	for _, x := range list {
		text := fmt.Sprintf("%s made %s different system calls of the host's kernel", begin(x.platform.the()), x.span())
		if len(x.ever) <= 12 {
			text += " (" + strings.Join(x.ever, ", ") + ")"
		}
		if n := len(x.ioctls); n > 1 {
			text += fmt.Sprintf("; its ioctl stands for %d requests", n)
		}
		if x.table > 0 && !x.ownKernel {
			text += fmt.Sprintf(". Of %d that the kernel has, its filter lets %d through", x.table, x.table-x.filtered)
			if x.filtered == 0 {
				text = strings.Replace(text, "its filter lets", "nothing keeps it from", 1)
				text = strings.TrimSuffix(text, " through")
			}
		}
		words = append(words, text+".")
	}
	var container, machine *surfaceOf
	for _, x := range list {
		switch {
		case x.platform.Kind == "container" && container == nil:
			container = x
		case x.platform.Kind == "vm" && (machine == nil || machine.platform.Emulated && !x.platform.Emulated):
			machine = x
		}
	}
	if container != nil && machine != nil {
		if only := apartFrom(machine.ever, container.ever); len(only) > 0 {
			words = append(words, fmt.Sprintf("What QEMU calls for %s and the container does not: %s.", machine.platform.label(), clip(strings.Join(only, ", "), 300)))
		}
		if only := apartFrom(container.ever, machine.ever); len(only) > 0 {
			words = append(words, fmt.Sprintf("What the container calls and QEMU does not (%d): %s.", len(only), clip(strings.Join(only, ", "), 300)))
		}
	}
	return words
}

func apartFrom(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

func (m *model) surfaceTable(list []*surfaceOf) *table {
	t := &table{
		Caption: "System calls of the host's kernel for the same work",
		Columns: []column{{Title: "Platform"}, {Title: "Different calls", Right: true}, {Title: "in each go", Right: true}, {Title: "ioctl requests", Right: true}, {Title: "Let through", Right: true}, {Title: "Whose threads", Wide: 1}, {Title: "n", Right: true}},
		Notes:   []string{"Different calls: fewest and most of the goes. In each go: those that every go has made. Let through: of the calls that the kernel has, those that no filter refuses when their arguments are zero."},
	}
	emulated := false
	for _, x := range list {
		through := "–"
		switch {
		case x.ownKernel:
			through = "its own kernel's"
		case x.table > 0:
			through = fmt.Sprintf("%d of %d", x.table-x.filtered, x.table)
		}
		threads := strings.Join(x.threads, ", ")
		if len(x.untraced) > 0 {
			threads += "; not traced: " + strings.Join(x.untraced, ", ")
		}
		t.Rows = append(t.Rows, []string{x.platform.label(), x.span(), fmt.Sprint(len(x.every)), fmt.Sprint(len(x.ioctls)), through, clip(threads, 120), fmt.Sprint(x.calls.N)})
		emulated = emulated || x.platform.Emulated
	}
	if emulated {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

func (m *model) surfaceMethod(list []*surfaceOf) string {
	requests := 0
	for i := range m.run.Samples {
		if s := m.run.Samples[i].Surface; s != nil {
			requests = max(requests, s.Requests)
		}
	}
	return fmt.Sprintf("The same program does the same work on each platform: it hashes, writes and reads files of its own, takes and gives back memory, starts a child, talks to itself over its loopback device, and answers %s over the instance's network. ", count(requests, "request", "requests")) +
		"All threads of all processes that exist on the host for the instance are traced meanwhile (ptrace(2)), children that come later too, and each system call is counted when it begins. The start of the instance is not in it."
}

// Sizes of the plot of the surface.
const (
	surfaceRow  = 8 * vg.Millimeter
	surfaceHead = 7 * vg.Millimeter
	surfaceName = 40 * vg.Millimeter
	// surfaceRight is for the numbers.
	surfaceRight = 34 * vg.Millimeter
)

// surfaceFigure answers: how many of the host's system calls does the same work need, and how
// many could the program use?
func (m *model) surfaceFigure(list []*surfaceOf) *figure {
	var alt []string
	through := false
	for _, x := range list {
		text := x.platform.label() + " made " + x.span()
		if x.table > 0 && !x.ownKernel {
			through = true
			text += fmt.Sprintf(", and could make %d", x.table-x.filtered)
		}
		alt = append(alt, text)
	}
	caption := "Different system calls of the host's kernel that were made for the same work, on a linear axis from zero; the bar is from the fewest to the most of the goes."
	if through {
		caption += " Hollow square: as many as nothing keeps the program from making."
	}
	return &figure{
		Name: "surface", Caption: caption, Alt: "System calls of the host's kernel. " + strings.Join(alt, "; ") + ".",
		W: plotWidth, H: surfaceHead + vg.Length(len(list))*surfaceRow + tickRoom + axisRoom,
		Draw: func(c draw.Canvas) error {
			drawSurface(c, list)
			return nil
		},
	}
}

func drawSurface(c draw.Canvas, list []*surfaceOf) {
	most := 10.0
	for _, x := range list {
		most = max(most, float64(x.most))
		if !x.ownKernel {
			most = max(most, float64(x.table-x.filtered))
		}
	}
	step := 10.0
	for most/step > 8 {
		step *= map[bool]float64{true: 2.5, false: 2}[step == 20 || step == 200]
	}
	p := newPlot()
	p.X.Min, p.X.Max = 0, 0
	var ticks []plot.Tick
	for v := 0.0; p.X.Max < most; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprint(v)})
		p.X.Max = v
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Min, p.Y.Max = -float64(len(list)), 0
	p.Y.Tick.Length = 0
	p.Y.Tick.Marker = plot.ConstantTicks(nil)
	inner := draw.Crop(c, surfaceName, -surfaceRight, axisRoom, -surfaceHead/2)
	d := p.DataCanvas(inner)
	axisTitle(d, c.Min.Y, "different system calls of the host's kernel (from 0)")
	at := func(v float64) vg.Length { return d.X(p.X.Norm(v)) }
	for _, t := range ticks[1:] {
		d.StrokeLine2(draw.LineStyle{Color: rule, Width: vg.Points(0.5)}, at(t.Value), d.Min.Y, at(t.Value), d.Max.Y)
	}
	for i, x := range list {
		y := d.Y(p.Y.Norm(-float64(i) - 0.5))
		style := text(9, false, ink, draw.XLeft, yMiddle)
		c.FillText(style, vg.Point{X: c.Min.X + 1*vg.Millimeter, Y: y}, fitText(style, x.platform.label(), surfaceName-3*vg.Millimeter))
		l := x.platform.look
		d.StrokeLine2(draw.LineStyle{Color: l.Edge, Width: vg.Points(1.4)}, at(float64(x.least)), y, at(float64(x.most)), y)
		l.Mark.draw(d, vg.Point{X: at(x.calls.Median), Y: y}, vg.Points(3.2), x.platform.inner(), l.Edge)
		tell(d, around(vg.Point{X: at(x.calls.Median), Y: y}, vg.Points(5)), x.platform.label()+", made", x.span())
		made, could := text(9, true, ink, draw.XLeft, draw.YBottom), text(7.5, false, ink, draw.XLeft, draw.YBottom)
		beside := vg.Point{X: d.Max.X + 3*vg.Millimeter, Y: y - vg.Points(3)}
		if x.table > 0 && !x.ownKernel {
			v := float64(x.table - x.filtered)
			square.draw(d, vg.Point{X: at(v), Y: y}, vg.Points(3), nil, l.Edge)
			tell(d, around(vg.Point{X: at(v), Y: y}, vg.Points(4)), x.platform.label()+", let through", fmt.Sprint(v))
			beside.Y = y + vg.Points(0.5)
			c.FillText(could, vg.Point{X: beside.X, Y: beside.Y - vg.Points(9)}, fmt.Sprintf("%v could be made", v))
		}
		c.FillText(made, beside, x.span())
		c.FillText(could, vg.Point{X: beside.X + made.Width(x.span()) + vg.Points(3), Y: beside.Y}, "made")
	}
	p.Draw(inner)
}
