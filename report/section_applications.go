package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

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

// applications are those of the run that have a figure, each as a metric whose series is
// its name, and which is compared with that of the first container.
func (m *model) applications() []measured {
	var names []string
	for _, k := range m.run.Keys(applications) {
		if !slices.Contains(names, k.Series) {
			names = append(names, k.Series)
		}
	}
	slices.Sort(names)
	var all []measured
	for _, name := range names {
		a := measured{metric: metric{applications, "answer_ns", "Time until the first right answer", "Answer"}, Series: name}
		for _, p := range m.platforms {
			f := figureOf{Platform: p, Summary: m.answer(a, p, a.Value)}
			if f.Summary.N == 0 {
				continue
			}
			if a.Base == nil && p.Kind == "container" {
				a.Base = p
			} else if a.Base != nil {
				r := result.Compare(f.Summary.Values, a.figure(a.Base).Summary.Values, m.run.Header.Seed)
				f.Ratio = &r
			}
			a.Figures = append(a.Figures, f)
		}
		if len(a.Figures) > 0 {
			all = append(all, a)
		}
	}
	return all
}

// answer is the summary of a value of an application on a platform.
func (m *model) answer(a measured, p *platform, value string) result.Summary {
	return result.Summarize(m.run.ValuesOf(a.key(p), value))
}

// called is an application's name in a text.
func called(a measured) string { return clip(clean(a.Series), 20) }

// applicationSection answers: how long until a program that people really run answers?
// A run that did not ask has no such section.
func (m *model) applicationSection() (s section, any bool) {
	all := m.applications()
	if !m.asked(applications) && len(all) == 0 {
		return s, false
	}
	s = section{ID: "applications", Title: "Real applications"}
	add := func(b ...block) { s.Blocks = append(s.Blocks, b...) }
	add(paragraph{"Question.", "Nobody starts a container or a machine for its first instruction. How long is it until a program that people run in them gives its first answer, and what part of that is the platform's?"})
	missing := m.applicationsMissing()
	if len(all) == 0 {
		add(m.nothing(applications))
		if len(missing) > 0 {
			add(points(missing))
		}
		return s, true
	}
	add(applicationFigure(all), paragraph{"Findings.", ""})
	var unsure doubts
	for _, a := range all {
		lines, of := m.groupLines(a, answered)
		add(paragraph{called(a) + ".", strings.Join(lines, " ")})
		with := func(all *[]string, pairs []string) {
			for _, pair := range pairs {
				*all = append(*all, pair+" with "+called(a))
			}
		}
		with(&unsure.same, of.same)
		with(&unsure.chance, of.chance)
		with(&unsure.few, of.few)
	}
	if rest := slices.Concat(unsure.words(), m.platformShares(all), missing); len(rest) > 0 {
		add(points(rest))
	}
	add(m.applicationTable(all))
	how := m.roundsText(applications) + " The images are built from Debian's packages, the same for all platforms; that of PostgreSQL has an empty database in it, so that none is made in the start. What is waited for:"
	for i, a := range all {
		if what := answers[a.Series]; what != "" {
			how += fmt.Sprintf("%s of %s %s", map[bool]string{true: ";"}[i > 0], called(a), what)
		}
	}
	how += ". A client on the host asks over the instance's own network from the moment at which the instance is asked for, with a new connection each time, until the answer is right."
	if limit := m.applicationLimit(); limit > 0 {
		how += " An instance may have " + value(limit, "bytes") + " of memory (a machine has them as RAM): PostgreSQL wants more than the program of the other sections."
	}
	add(paragraph{"How it was measured.", how})
	add(paragraph{"Its error.", "The application may have been able to answer since the last try began that failed; the full table has the median of that time, by which a figure is at most too large (" + m.unseenAnswers(all) + "). The client's tries take time from a start on a host " +
		"with few processors, on all platforms. The files of the images are in the host's page cache."})
	add(paragraph{"What others measured.", idlab + ", until an HTTP answer reaches the host, n" + nbsp + "=" + nbsp + "100: 188" + nbsp + "ms for runc, 567" + nbsp + "ms for gVisor, 755" + nbsp + "ms for Kata Containers on Cloud Hypervisor and 1068" + nbsp + "ms on QEMU. " +
		felter + " looked at what comes after the start: MySQL in Docker stayed within 2% of the rate of the bare host, and KVM lost over 40%."})
	s.Ask = []string{
		"Which part of the time until the answer is the platform's, and which the application's? For which application would a faster platform help a user most?",
		"A service gets one request a minute. Would you start an instance for each request? On which platform, and what would its users notice?",
	}
	s.Details = []block{m.applicationDetails(all)}
	return s, true
}

// answered is how the time until an answer is spoken of.
var answered = wording{"answered after", "", "times as long as", "the fastest first"}

// unseenAnswers is the range of the time in which an answer could have come unseen.
func (m *model) unseenAnswers(all []measured) string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, a := range all {
		for _, f := range a.Figures {
			if s := m.answer(a, f.Platform, "answer_unseen_ns"); s.N > 0 {
				low, high = min(low, s.Median), max(high, s.Median)
			}
		}
	}
	if low > high {
		return "not recorded"
	}
	return valueSpan(low, high, "ns")
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
func applicationFigure(all []measured) *figure {
	s := startups{unit: "ns", top: 2 * vg.Millimeter, until: "the first right answer"}
	var alt string
	intervals, emulated := false, false
	for _, a := range all {
		for _, f := range a.Figures {
			named := *f.Platform
			named.Name = called(a) + ", " + f.Platform.Name
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

// platformShares say what part of the time the platform itself has.
func (m *model) platformShares(all []measured) []string {
	var shares []string
	for _, p := range m.platforms {
		start := m.metric("first_instruction_ns").figure(p).Summary
		if start.N == 0 {
			continue
		}
		low, high := math.Inf(1), math.Inf(-1)
		for _, a := range all {
			if f := a.figure(p); f.Summary.N > 0 && f.Summary.Median > 0 {
				low, high = min(low, start.Median/f.Summary.Median), max(high, start.Median/f.Summary.Median)
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
	if len(shares) == 0 {
		return nil
	}
	return []string{"The platform's own start, until the first instruction of any program (the section on startup), is of that time " + list(shares) + ": the rest is the application's."}
}

// applicationTable has a row for each platform and a column for each application.
func (m *model) applicationTable(all []measured) *table {
	t := &table{Caption: "Time until the first right answer: median, and the ratio to the first container", Columns: []column{{Title: "Platform", Wide: 1}}}
	for _, a := range all {
		t.Columns = append(t.Columns, column{Title: called(a), Right: true}, column{Title: "ratio", Right: true})
	}
	emulated := false
	for _, p := range m.platforms {
		row, any := []string{p.label()}, false
		for _, a := range all {
			f := a.figure(p)
			switch {
			case f.Summary.N == 0:
				row = append(row, "–", "–")
				continue
			default:
				row = append(row, value(f.Summary.Median, "ns"), a.ratioCell(f))
			}
			any = true
		}
		if any {
			t.Rows = append(t.Rows, row)
			emulated = emulated || p.Emulated
		}
	}
	if emulated {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}

func (m *model) applicationDetails(all []measured) *table {
	t := &table{
		Caption: "Time until the first right answer",
		Columns: []column{{Title: "Application"}, {Title: "Platform", Wide: 1}, {Title: "n", Right: true}, {Title: "Median", Right: true}, {Title: "95% interval", Right: true}, {Title: "Unseen", Right: true}},
		Notes:   []string{"Unseen: the median of the time in which the answer could have come without being seen."},
	}
	emulated := false
	for _, a := range all {
		name := called(a)
		for _, f := range a.Figures {
			unseen := "–"
			if s := m.answer(a, f.Platform, "answer_unseen_ns"); s.N > 0 {
				unseen = value(s.Median, "ns")
			}
			t.Rows = append(t.Rows, []string{name, f.Platform.label(), fmt.Sprint(f.Summary.N), value(f.Summary.Median, "ns"), interval(f.Summary, "ns"), unseen})
			name, emulated = "", emulated || f.Platform.Emulated
		}
	}
	if emulated {
		t.Notes = append(t.Notes, emulatedNote)
	}
	return t
}
