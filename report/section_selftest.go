package report

import (
	"fmt"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
	"vmctr/report/selftest"
)

// isSelftest tells whether a run is one of bench selftest: its report is about the
// harness, and has none of the sections on platforms.
func isSelftest(run *result.Run) bool {
	for _, e := range run.Header.Experiments {
		if e == selftest.Clock {
			return true
		}
	}
	return false
}

// selftestSection is what the checks found.
func (m *model) selftestSection() section {
	s := section{ID: "selftest", Title: "The harness, measured by itself"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	all := selftest.Evaluate(m.run)
	add(paragraph{"Question.", "Can the figures of this bench on this host be trusted? It is asked what one asks of any instrument: what it resolves, how late it is, whether it sees a difference where there is none, and whether it sees one where there is one."})
	add(selftestTable(all))
	add(paragraph{"Findings.", ""}, append(points{verdictWords(all)}, selftest.NotesOf(all, selftest.NotOK, selftest.NotMeasured)...))
	if len(m.emulated()) > 0 {
		add(paragraph{"", "* Emulated: QEMU imitates the processor in software (TCG), so that the way of a message is longer than a hypervisor's."})
	}
	if f := m.foundFigure(); f != nil {
		add(f)
	}
	add(paragraph{"How it was measured.", "Each figure is of samples that the harness took in random rounds, as it takes those of a platform. A/A compares series of " +
		count(selftest.SeriesSize, "start", "starts") + " of the plain process with each other by the Mann-Whitney test at 5%; no start is used twice. An injected delay is a wait in front of a container's start, within the measured time. A trial goes on " +
		"until the half-width of both medians' intervals is 1.5%, as the standard profile does, and asks the same test; the next one has new samples. [hyperfine](https://github.com/sharkdp/hyperfine), another instrument, times the same command lines in blocks of runs, in turn with those that bench times; a block counts as one value, its median."})
	add(paragraph{"Its error.", "The interval of a share is Clopper and Pearson's: that of a few trials is wide. That of the drift takes blocks of tasks for independent, which they are not wholly on a host that others use too."})
	if notes := selftest.NotesOf(all, selftest.OK, selftest.Told); len(notes) > 0 {
		s.Details = []block{paragraph{"More of the checks that are ok, and of what is told without an expectation.", ""}, points(notes)}
	}
	s.Ask = []string{
		"A/A compares a platform with itself. Why is it right that about 5% of these comparisons call a difference, and what would it mean if none did?",
		"From which size on would a slowdown of a container be found on this host? What would you have to do to find a smaller one?",
		"Which of these checks would fail first on your own computer while you use it, and why?",
	}
	return s
}

// verdictWords count what became of the checks.
func verdictWords(all []selftest.Check) string {
	n := map[selftest.Verdict]int{}
	for _, c := range all {
		n[c.Verdict]++
	}
	text := fmt.Sprintf("Of %s %d are ok", count(len(all)-n[selftest.Told], "check", "checks"), n[selftest.OK])
	if bad := n[selftest.NotOK]; bad > 0 {
		text += fmt.Sprintf(", %d not", bad)
	} else {
		text += ", none is not"
	}
	if n[selftest.NotMeasured] > 0 {
		text += fmt.Sprintf(", and %d could not be measured", n[selftest.NotMeasured])
	}
	if n[selftest.Told] > 0 {
		text += fmt.Sprintf(". Besides, %s told of which nothing is expected", count(n[selftest.Told], "figure is", "figures are"))
	}
	return text + "."
}

func selftestTable(all []selftest.Check) *table {
	t := &table{Caption: "The checks. An interval is of 95%.", Columns: []column{{Title: "", Wide: 2}, {Title: "Found", Wide: 2}, {Title: "Expected", Wide: 1}, {Title: "Verdict", Wide: 1}}}
	part := ""
	for _, c := range all {
		if c.Part != part {
			part = c.Part
			t.Rows = append(t.Rows, []string{part, "", "", ""})
		}
		t.Rows = append(t.Rows, []string{nbsp + nbsp + clean(c.Name), cmpOr(clean(c.Found), "–"), cmpOr(c.Wanted, "–"), string(c.Verdict)})
	}
	return t
}

// foundFigure answers: from which size on is a slowdown of a container found? A mark for
// each injected delay with the interval of the share of trials in which it was; nothing
// where no trial was narrow enough.
func (m *model) foundFigure() *figure {
	shares := selftest.Shares(m.run)
	if len(shares) == 0 {
		return nil
	}
	var alt []string
	for _, s := range shares {
		alt = append(alt, fmt.Sprintf("%d%%: %d of %d", s.Percent, s.Found, s.Trials))
	}
	return &figure{
		Name: "selftest",
		Caption: "The share of trials in which an injected delay was found, against its size in percent of a container's start, with 95% intervals: of those trials alone whose medians have a half-width of 1.5%. " +
			"The line is the share of trials in which 5% must be found.",
		Alt: "Trials in which an injected delay was found: " + strings.Join(alt, "; ") + ".",
		W:   plotWidth, H: 70 * vg.Millimeter,
		Draw: func(c draw.Canvas) error {
			p := newPlot()
			p.X.Min, p.X.Max, p.X.Scale = 0.7, 14, plot.LogScale{}
			p.Y.Min, p.Y.Max = 0, 1.03
			var x, y []plot.Tick
			for _, s := range shares {
				x = append(x, plot.Tick{Value: float64(s.Percent), Label: fmt.Sprintf("%d%%", s.Percent)})
			}
			for _, v := range []float64{0, 0.25, 0.5, 0.75, 1} {
				y = append(y, plot.Tick{Value: v, Label: fmt.Sprintf("%.0f%%", 100*v)})
			}
			p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks(x), plot.ConstantTicks(y)
			must, err := plotter.NewLine(plotter.XYs{{X: p.X.Min, Y: selftest.FoundShare}, {X: p.X.Max, Y: selftest.FoundShare}})
			if err != nil {
				return err
			}
			must.Color, must.Width, must.Dashes = ink, vg.Points(0.5), []vg.Length{vg.Points(2), vg.Points(2)}
			p.Add(must)
			look := lookOf("container", 0)
			for _, s := range shares {
				at := float64(s.Percent)
				whisker, err := plotter.NewLine(plotter.XYs{{X: at, Y: s.Low}, {X: at, Y: s.High}})
				if err != nil {
					return err
				}
				whisker.Color, whisker.Width = look.Edge, vg.Points(1.2)
				mark, err := plotter.NewScatter(plotter.XYs{{X: at, Y: float64(s.Found) / float64(s.Trials)}})
				if err != nil {
					return err
				}
				mark.Color, mark.Radius, mark.Shape = look.Edge, vg.Points(3), draw.CircleGlyph{}
				p.Add(whisker, mark)
			}
			bottom := c.Min.Y
			plotArea := c
			plotArea.Min.Y += axisRoom
			plotArea.Max.Y -= 6 * vg.Millimeter // for the title of the vertical axis
			p.Draw(plotArea)
			data := p.DataCanvas(plotArea)
			for _, s := range shares {
				at := vg.Point{X: data.X(p.X.Norm(float64(s.Percent))), Y: data.Y(p.Y.Norm(float64(s.Found) / float64(s.Trials)))}
				tell(c, around(at, vg.Points(5)), fmt.Sprintf("%d%% injected", s.Percent), fmt.Sprintf("found in %d of %d trials", s.Found, s.Trials))
			}
			axisTitle(c, bottom, "injected delay, in percent of a container's start (log scale)")
			c.FillText(text(9, false, ink, draw.XLeft, draw.YTop), vg.Point{X: c.Min.X + 1*vg.Millimeter, Y: c.Max.Y}, "share of trials in which it was found (from 0)")
			return nil
		},
	}
}
