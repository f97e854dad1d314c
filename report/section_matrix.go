package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// matrixMetric is what vm-matrix measures, of platforms of its own.
var matrixMetric = metric{"vm-matrix", "first_instruction_ns", "Startup of a virtual machine", "Startup"}

// measureMatrix gives the figures of vm-matrix, the fastest machine first. They are
// compared with QEMU's default.
func (m *model) measureMatrix(variants []*platform) measured {
	var base *platform
	types := map[string]int{} // a machine type has one look
	for _, p := range variants {
		typ, _, _ := strings.Cut(p.Name, ",")
		if _, seen := types[typ]; !seen {
			types[typ] = len(types)
		}
		p.look = lookOf(p.Kind, types[typ])
		if strings.HasSuffix(p.Name, ",default") {
			base = p
		}
	}
	ms := m.measure(matrixMetric, variants, base)
	slices.SortStableFunc(ms.Figures, func(a, b figureOf) int {
		if (a.Summary.N == 0) != (b.Summary.N == 0) {
			return cmp.Compare(b.Summary.N, a.Summary.N)
		}
		return cmp.Or(cmp.Compare(a.Summary.Median, b.Summary.Median), cmp.Compare(a.Platform.Name, b.Platform.Name))
	})
	return ms
}

// matrixSection answers: in which way does a virtual machine boot fastest? A run
// that did not ask has no such section.
func (m *model) matrixSection() (s section, any bool) {
	ms := m.matrix
	if !m.asked(ms.Experiment) && len(ms.Figures) == 0 {
		return s, false
	}
	s = section{ID: "vm-matrix", Title: "The fastest way to boot a virtual machine"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	detail := func(b ...block) { s.Details = append(s.Details, b...) }
	add(paragraph{"Question.", "QEMU can be a PC of 1996 (pc), one of 2009 (q35), or no PC of any year (microvm). A kernel can be loaded as its distribution has it, compressed, so that it " +
		"first unpacks itself (bzImage), or unpacked ahead (ELF, entered over PVH). And before it runs a firmware, a PC's BIOS (SeaBIOS) or one that can do nothing but start a " +
		"kernel (qboot). Which combination boots fastest, and how much does it gain over what QEMU does when nothing is said?"})
	figures := ms.present()
	if len(figures) == 0 {
		add(m.nothing(ms.Experiment))
		return s, true
	}
	add(m.startupFigure(ms, "vm-matrix", false))
	if shows := m.matrixFindings(ms); len(shows) > 0 {
		add(paragraph{"Findings.", ""}, points(shows))
	}
	add(m.shortTable([]measured{ms}, "Time to the first instruction, by machine type, kernel format and firmware"))
	detail(m.figureTable([]measured{ms}, "Time to the first instruction, by machine type, kernel format and firmware"))
	shown := figures[:1:1]
	if f := ms.figure(ms.Base); ms.Base != nil && f.Summary.N > 0 && f.Platform != shown[0].Platform {
		shown = append(shown, f)
	}
	if lines := m.timelines(ms.Experiment, shown); len(lines) > 0 {
		detail(phaseTable("Where the time goes: the start nearest to the median, of the fastest machine and of QEMU's default", lines))
	}
	add(paragraph{"How it was measured.", m.roundsText(ms.Experiment) + " The clock is that of [Startup time](#startup). All machines have the same kernel, image, memory and number of processors. " +
		"Those whose name ends with \"default\" are as QEMU makes them when it is told no more than what to boot: with its default devices, CPU model and kernel parameters. All others have " +
		"no device that is not used here, and a CPU model and kernel parameters that were chosen to boot fast."})
	add(paragraph{"Its error.", "It is that of [Startup time](#startup): " + m.matrixDelay() + "A combination that this host does not have, or that does not boot, stands in the table without a figure. One kernel and one version of QEMU were tried; with others the order can be another." + m.disturbedText(ms)})
	add(paragraph{"What others measured.", garzarella + ", on q35 with hardware virtualization, from exec to the first instruction in user space: SeaBIOS with a bzImage 191.7" + nbsp + "ms, SeaBIOS with an ELF kernel over PVH 139.5" + nbsp + "ms, qboot with a bzImage 184.6" + nbsp + "ms, qboot with PVH 133.8" + nbsp + "ms. " +
		agache + ": pc with qboot 213.9" + nbsp + "ms, pc with SeaBIOS 243.5" + nbsp + "ms, microvm 582.0" + nbsp + "ms from launch to exit. So a simpler machine is not always a faster one."})
	s.Ask = []string{
		"Which of the three choices (machine type, kernel format, firmware) changes the time most here? Compare two machines that differ in that one alone.",
		"What does a machine that was chosen to boot fast give up? Name a use for which you would take QEMU's default nevertheless.",
	}
	return s, true
}

// matrixDelay is how far off a machine's figure is for the way of its line, "" if no machine's
// was measured.
func (m *model) matrixDelay() string {
	if text := m.ranged("identity", "delay_ns", func(p *platform) bool { return p.Kind == "vm" }); text != "" {
		return "the line that stops the clock is under way for " + text + " from a machine of the other sections. "
	}
	return "the time for which the line that stops the clock is under way, which was not measured for these machines. "
}

// matrixFindings say which machine is fastest, what cannot be told from it, and what
// it gains.
func (m *model) matrixFindings(ms measured) []string {
	figures := ms.present()
	first := figures[0]
	name := begin(first.Platform.the())
	if len(figures) == 1 {
		return []string{fmt.Sprintf("%s is the only one that was measured: %s.", name, medianAndInterval(first.Summary, ms.unit()))}
	}
	out := []string{fmt.Sprintf("%s has the smallest median: %s.", name, medianAndInterval(first.Summary, ms.unit()))}
	var same, unknown []string
	for _, f := range figures[1:] {
		switch r := m.compare(ms.metric, f.Platform, first.Platform); {
		case math.IsNaN(r.Low):
			unknown = append(unknown, f.Platform.Name)
		case r.Low <= 1:
			same = append(same, fmt.Sprintf("%s (%s times as long)", f.Platform.Name, ratio(r)))
		}
	}
	switch {
	case len(unknown) == len(figures)-1:
		out = append(out, "There are too few samples to tell whether another one is as fast.")
	case len(same) > many:
		out = append(out, fmt.Sprintf("For %d of the %d others the interval of their ratio to it holds 1: these samples do not show that it is faster than those.", len(same), len(figures)-1))
	case len(same) > 0:
		out = append(out, "These samples do not show that it is faster than "+list(same)+".")
	default:
		text := "The ratio of each of the others to it has an interval above 1: these samples show that it is faster than all of them"
		if len(unknown) > 0 {
			text += ", but for " + list(unknown) + ", of which there are too few"
		}
		out = append(out, text+".")
	}
	if r := ms.figure(first.Platform).Ratio; r != nil && !math.IsNaN(r.Ratio) {
		text := fmt.Sprintf("It took %s times as long as QEMU's default, %s", ratio(*r), ms.Base.Name)
		switch direction, mark := directionOf(*r); {
		case mark == undecided && direction == 0:
			text += "; this ratio has no 95% interval"
		case mark == undecided:
			text += ": its interval holds 1, so these samples show no difference"
		}
		out = append(out, text+".")
	}
	return out
}
