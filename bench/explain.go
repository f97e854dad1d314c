package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"vmctr/container"
)

// bench run --explain: how a container is made, for a class to look at. It is
// printed when the program runs, in the order in which things were done, and
// each part says which of the six steps it belongs to that a student knows.

var sixSteps = []string{"namespaces", "file system", "network", "cgroups", "privileges", "exec"}

// sections are the parts, in their order.
var sections = []struct {
	step     int // of the six, from 1
	title    string
	phases   []string // of the trace
	sentence string
	without  string // in its place, if the parent had nothing to do
}{
	{2, "the image", []string{"image"}, "The layers of the image, which all its containers share, are mounted so that nobody can write to them; a file of the host's root belongs to the container's root there.", ""},
	{3, "a network", []string{"bridge"}, "A bridge is a switch made of software. The host is at one of its ports, and passes on what the container sends to the world, under its own address (NAT).", ""},
	{5, "the filter", []string{"filter"}, "The list of allowed system calls is compiled to a program that the kernel runs at each of them (seccomp).", ""},
	{2, "the layers", []string{"start", "overlay", "root", "binds"}, "An empty layer is laid over those of the image: what the container changes goes there, and the image stays as it is (an overlay).", ""},
	{4, "a control group", []string{"make cgroup"}, "A control group counts and limits what its processes use: memory, CPU time, how many they are.", ""},
	{1, "a process", []string{"clone"}, "One system call makes a process that is alone: it has process IDs, mounts, a network, a host name and users of its own. From here on parent and child work at the same time.", ""},
	{1, "its users", []string{"id maps", "namespaces"}, "The parent writes down who the container's users are on the host: its root is somebody who owns nothing there.", "It has no users of its own: its root is the host's."},
	{4, "into the control group", []string{"cgroup"}, "From here on the child is counted and limited.", ""},
	{2, "the tree", []string{"file system"}, "The child mounts what programs expect (/proc, /dev, /sys), hides what would tell of the host or change it, makes the tree its root, and lets the host's go.", ""},
	{3, "the cable", []string{"network"}, "The parent plugs the container in: a pair of interfaces is a cable, one end in the container, the other at the bridge. The child gives its end an address and a way out.", "No cable is plugged in: the container has loopback alone, or shares a network."},
	{5, "less power", []string{"privileges"}, "What the program will not need is given up for good: root's power in pieces (capabilities), and system calls.", ""},
	{6, "the program", []string{"exec"}, "The child becomes the program. It is PID 1 of the container, and keeps all that was set up, and nothing else.", ""},
}

// explain prints a trace, in lines of at most so many columns. Times are since begin.
func explain(w io.Writer, columns int, bold bool, events []container.Event, begin int64) {
	p := &explanation{w: w, columns: columns, bold: bold, begin: begin}
	fmt.Fprintf(w, "\n%9s %8s\n", "at, ms", "took, µs")
	for _, s := range sections {
		var part []container.Event
		for _, e := range events {
			if slices.Contains(s.phases, e.Phase) {
				part = append(part, e)
			}
		}
		if len(part) == 0 {
			continue
		}
		slices.SortStableFunc(part, func(a, b container.Event) int { return int(a.Begin - b.Begin) })
		var busy int64
		sentence := s.without
		for _, e := range part {
			if e.Parent {
				sentence = s.sentence
			}
			if !e.Waits {
				busy += e.End - e.Begin
			}
		}
		p.heading(fmt.Sprintf("%d %s: %s", s.step, strings.ToUpper(sixSteps[s.step-1]), s.title), microseconds(busy)+" µs")
		if sentence == "" {
			sentence = s.sentence
		}
		p.paragraph(sentence)
		for len(part) > 0 {
			n := 1
			for n < len(part) && part[n].Step == part[0].Step && part[n].Parent == part[0].Parent {
				n++
			}
			p.step(part[:n])
			part = part[n:]
		}
	}
	p.summary(events)
}

// explainWidth is the terminal's, or enough for almost every call in a file.
func explainWidth(w io.Writer) int {
	if isTerminal(w) {
		return width(w)
	}
	return 132
}

type explanation struct {
	w       io.Writer
	columns int
	bold    bool
	begin   int64
}

func (p *explanation) heading(left, right string) {
	gap := max(1, p.columns-utf8.RuneCountInString(left)-utf8.RuneCountInString(right))
	if p.bold {
		left = "\x1b[1m" + left + "\x1b[0m"
	}
	fmt.Fprintf(p.w, "\n%s%s%s\n", left, strings.Repeat(" ", gap), right)
}

func (p *explanation) paragraph(text string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > min(p.columns, 100)-2 {
			fmt.Fprintln(p.w, "  "+line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(p.w, "  "+line)
}

// step prints a few calls that serve one purpose.
func (p *explanation) step(events []container.Event) {
	who := "child"
	if events[0].Parent {
		who = "parent"
	}
	last := events[len(events)-1]
	took := last.End - events[0].Begin
	title := events[0].Step
	if !slices.ContainsFunc(events, func(e container.Event) bool { return e.Result != "ENOENT" || e.Failed }) {
		p.line(events[0].Begin, took, who, title+": there is none")
		return
	}
	p.line(events[0].Begin, took, who, title)
	alone := len(events) == 1 // then its time stands above it
	for i := 0; i < len(events); i++ {
		e := events[i]
		call := e.Call
		if n := alike(events[i:]); n > 2 {
			_, last, _ := strings.Cut(events[i+n-1].Call, ", ")
			call = fmt.Sprintf("%s … %s   %d times", strings.TrimSuffix(call, ")"), last, n)
			e.End = events[i+n-1].End
			i += n - 1
		}
		for strings.HasPrefix(e.Call, "close(") && i+1 < len(events) && strings.HasPrefix(events[i+1].Call, "close(") && !e.Failed {
			i++ // on one line
			call += ", " + events[i].Call
			e.End, e.Failed, e.Result = events[i].End, events[i].Failed, events[i].Result
		}
		result := ""
		switch {
		case e.Waits:
			result = "   waits for the parent"
		case e.Failed:
			result = " = " + e.Result + "   HERE IT FAILED"
		case e.Result != "":
			result = " = " + e.Result
		}
		took := microseconds(e.End - e.Begin)
		if alone {
			took = ""
		}
		p.call(took, call, result)
	}
}

// alike counts the calls that differ in their second argument only.
func alike(events []container.Event) int {
	first, _, ok := strings.Cut(events[0].Call, ", ")
	n := 1
	for ok && n < len(events) && events[n].Result == events[0].Result && !events[n].Failed &&
		strings.HasPrefix(events[n].Call, first+", ") && strings.HasPrefix(first, "prctl(") {
		n++
	}
	return n
}

// line and call print a purpose and a call: when it began, in ms, and how long
// it took, in µs, under each other.
func (p *explanation) line(at, took int64, who, text string) {
	fmt.Fprintf(p.w, "%9.3f %8s  %s\n", float64(at-p.begin)/1e6, microseconds(took), p.cut(who+": "+text, 20))
}

func (p *explanation) call(took, call, result string) {
	fmt.Fprintf(p.w, "%9s %8s    %s%s\n", "", took, p.cut(call, 22+utf8.RuneCountInString(result)), result)
}

// cut shortens a text that begins in this column.
func (p *explanation) cut(text string, column int) string {
	if room := p.columns - column; utf8.RuneCountInString(text) > room && room > 1 {
		return string([]rune(text)[:room-1]) + "…"
	}
	return text
}

// summary adds up the six steps.
func (p *explanation) summary(events []container.Event) {
	type sum struct {
		parent, child, waited int64
		calls                 int
	}
	sums := make([]sum, len(sixSteps))
	var end int64
	until := "the program ran"
	for _, s := range sections {
		t := &sums[s.step-1]
		for _, e := range events {
			if !slices.Contains(s.phases, e.Phase) {
				continue
			}
			end = max(end, e.End)
			if e.Failed {
				until = "it failed"
			}
			switch took := e.End - e.Begin; {
			case e.Waits:
				t.waited += took
			case e.Parent:
				t.parent += took
			default:
				t.child += took
				t.calls++
			}
		}
	}
	p.heading("IN ALL", milliseconds(end-p.begin))
	p.paragraph("From the first step until " + until + ". Parent and child work at the same time, so what both take may add up to more; what is missing is work without system calls, and waiting for a CPU.")
	fmt.Fprintf(p.w, "\n  %-13s %13s %13s %13s %13s\n", "", "parent, µs", "child, µs", "it waited, µs", "its calls")
	for i, s := range sums {
		fmt.Fprintf(p.w, "  %-13s %13s %13s %13s %13d\n", fmt.Sprintf("%d %s", i+1, sixSteps[i]), microseconds(s.parent), microseconds(s.child), microseconds(s.waited), s.calls)
	}
}

func milliseconds(ns int64) string { return fmt.Sprintf("%.3f ms", float64(ns)/1e6) }

func microseconds(ns int64) string { return fmt.Sprintf("%.1f", float64(ns)/1e3) }
