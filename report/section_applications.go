package report

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vmctr/report/result"
)

// applications is the experiment whose series are applications.
const applications = "applications"

// answers are what the applications are waited for, by their names.
var answers = map[string]string{
	"redis":    "PONG, to the command PING",
	"nginx":    "its page, to an HTTP request",
	"postgres": "the row of SELECT 1, to a client that logs in first",
}

// anApplication is one application with its figure on each platform.
type anApplication struct {
	name    string
	figures []figureOf
	base    *platform // what they are compared with: the first of containers
}

// applications are those of the run that have a figure.
func (m *model) applications() []anApplication {
	var names []string
	for _, k := range m.run.Keys(applications) {
		if !slices.Contains(names, k.Series) {
			names = append(names, k.Series)
		}
	}
	slices.Sort(names)
	var list []anApplication
	for _, name := range names {
		a := anApplication{name: clip(clean(name), 20)}
		values := func(p *platform) []float64 {
			return m.run.ValuesOf(result.Key{Experiment: applications, Platform: p.Name, Series: name}, "answer_ns")
		}
		for _, p := range m.platforms {
			f := figureOf{Platform: p, Summary: result.Summarize(values(p))}
			if f.Summary.N == 0 {
				continue
			}
			if a.base == nil && p.Kind == "container" {
				a.base = p
			} else if a.base != nil {
				r := result.Compare(values(p), values(a.base), m.run.Header.Seed)
				f.Ratio = &r
			}
			a.figures = append(a.figures, f)
		}
		if len(a.figures) > 0 {
			list = append(list, a)
		}
	}
	return list
}

// applicationSection answers: how long until a program that people really run answers?
// A run that did not ask has no such section.
func (m *model) applicationSection() (s section, any bool) {
	list := m.applications()
	if !m.asked(applications) && len(list) == 0 {
		return s, false
	}
	s = section{ID: "applications", Title: "Real applications"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	add(paragraph{"Question.", "Nobody starts a container or a machine for its first instruction. How long is it until a program that people run in them gives its first answer, and what part of that is the platform's?"})
	missing := m.applicationsMissing()
	if len(list) == 0 {
		add(m.nothing(applications))
		if len(missing) > 0 {
			add(points(missing))
		}
		return s, true
	}
	add(applicationFigure(list))
	add(paragraph{"Findings.", ""}, points(append(m.applicationWords(list), missing...)))
	add(m.applicationTable(list))
	how := m.roundsText(applications) + " The images are built from Debian's packages, the same for all platforms; that of PostgreSQL has an empty database in it, so that none is made in the start. What is waited for is"
	for i, a := range list {
		if what := answers[a.name]; what != "" {
			how += fmt.Sprintf("%s of %s %s", map[bool]string{true: ";"}[i > 0], a.name, what)
		}
	}
	how += ". A client on the host asks over the instance's own network from the moment at which the instance is asked for, with a new connection each time, until the answer is right."
	if limit := m.applicationLimit(); limit > 0 {
		how += " An instance may have " + value(limit, "bytes") + " of memory (a machine has them as RAM): PostgreSQL wants more than the program of the other sections."
	}
	add(paragraph{"How it was measured.", how})
	add(paragraph{"Its error.", "The application may have been able to answer since the last try began that failed; the table has the median of that time, by which a figure is at most too large. The client's tries take time from a start on a host " +
		"with few processors, on all platforms. The files of the images are in the host's page cache."})
	return s, true
}

func (m *model) applicationLimit() float64 {
	for _, s := range m.run.Samples {
		if s.Experiment == applications && s.Values["memory_limit_bytes"] > 0 {
			return s.Values["memory_limit_bytes"]
		}
	}
	return 0
}

// applicationsMissing tells what was not measured, and why.
func (m *model) applicationsMissing() (list []string) {
	for _, n := range m.run.Notes {
		if n.Experiment == applications {
			list = append(list, clip(sentence(clean(n.Text)), 400))
		}
	}
	return list
}

// applicationFigure shows every start of each application on each platform.
func applicationFigure(list []anApplication) *figure {
	s := startups{unit: "ns", top: 2 * vg.Millimeter, until: "the first right answer"}
	var alt string
	intervals, emulated := false, false
	for _, a := range list {
		for _, f := range a.figures {
			named := *f.Platform
			named.Name = a.name + ", " + f.Platform.Name
			f.Platform = &named
			s.figures = append(s.figures, f)
			alt += "; " + named.label() + " " + medianAndInterval(f.Summary, "ns")
			intervals, emulated = intervals || f.Summary.HasInterval(), emulated || named.Emulated
		}
	}
	caption := "Time until the first right answer, on a logarithmic axis: every start, and the median"
	if intervals {
		caption += " with its 95% interval"
	}
	caption += "."
	if emulated {
		caption += " Hollow marks: emulated."
	}
	return &figure{
		Name: applications, Caption: caption, Alt: "Median time until the first right answer" + alt + ".",
		W: plotWidth, H: s.top + vg.Length(zoneGap)*shareHeight + vg.Length(len(s.figures))*rowHeight + tickRoom + axisRoom,
		Draw: func(c draw.Canvas) error {
			s.draw(c)
			return nil
		},
	}
}

// applicationWords compare each application's platforms, and say what part of the time
// the platform itself has.
func (m *model) applicationWords(apps []anApplication) (out []string) {
	for _, a := range apps {
		text := ""
		for _, f := range a.figures {
			switch {
			case text == "":
				text = fmt.Sprintf("%s answers after %s in %s", begin(a.name), value(f.Summary.Median, "ns"), f.Platform.the())
			default:
				text += fmt.Sprintf(", after %s in %s", value(f.Summary.Median, "ns"), f.Platform.the())
			}
			if f.Ratio != nil && a.base != nil {
				text += fmt.Sprintf(" (%s times %s)", ratio(*f.Ratio), a.base.the())
			}
		}
		out = append(out, text+".")
	}
	var shares []string
	for _, p := range m.platforms {
		start := m.metric("first_instruction_ns").figure(p).Summary
		if start.N == 0 {
			continue
		}
		low, high := 2.0, -1.0
		for _, a := range apps {
			for _, f := range a.figures {
				if f.Platform == p && f.Summary.Median > 0 {
					low, high = min(low, start.Median/f.Summary.Median), max(high, start.Median/f.Summary.Median)
				}
			}
		}
		switch {
		case high < 0 || high > 1: // not measured, or under another load than in the section on startup
		case share(low, 1) == share(high, 1):
			shares = append(shares, fmt.Sprintf("%s in %s", share(low, 1), p.the()))
		default:
			shares = append(shares, fmt.Sprintf("%s to %s in %s", share(low, 1), share(high, 1), p.the()))
		}
	}
	if len(shares) > 0 {
		out = append(out, "The platform's own start, until the first instruction of any program (the section on startup), is of that time "+list(shares)+": the rest is the application's.")
	}
	return out
}

func (m *model) applicationTable(list []anApplication) *table {
	t := &table{
		Caption: "Time until the first right answer",
		Columns: []column{{Title: "Application"}, {Title: "Platform", Wide: 1}, {Title: "Median", Right: true}, {Title: "95% interval", Right: true}, {Title: "Ratio", Right: true}, {Title: "Unseen", Right: true}, {Title: "n", Right: true}},
		Notes:   []string{"Ratio: of the median to that of the first container, with its 95% interval. Unseen: the median of the time in which the answer could have come without being seen."},
	}
	emulated := false
	for _, a := range list {
		name := a.name
		for _, f := range a.figures {
			r := "–"
			if f.Platform == a.base {
				r = "1"
			} else if f.Ratio != nil {
				r = ratio(*f.Ratio)
			}
			unseen := "–"
			if s := result.Summarize(m.run.ValuesOf(result.Key{Experiment: applications, Platform: f.Platform.Name, Series: a.name}, "answer_unseen_ns")); s.N > 0 {
				unseen = value(s.Median, "ns")
			}
			t.Rows = append(t.Rows, []string{name, f.Platform.label(), value(f.Summary.Median, "ns"), interval(f.Summary, "ns"), r, unseen, fmt.Sprint(f.Summary.N)})
			name, emulated = "", emulated || f.Platform.Emulated
		}
	}
	if emulated {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}
