package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// Beside prints what a program has seen inside, on a platform, and what its host has, side
// by side, and then what the program may do. No line is longer than width, for which 60 is
// the least.
func Beside(w io.Writer, platform string, s result.Sample, width int) error {
	out := bufio.NewWriter(w)
	c := columns{out, min(max(width, 60), 160)}
	if v := s.View; v != nil {
		c.row("", "inside: "+platform, "outside: the host", "whose")
		topic := ""
		for _, f := range isolation.Facts {
			for _, x := range v.Sights {
				if x.Fact != f.Name || x.Whose == isolation.Nobody {
					continue
				}
				if f.Topic != topic {
					topic = f.Topic
					fmt.Fprintln(out, topic)
				}
				c.row("  "+sightTitle(x), cmpOr(printable(x.Inside), "–"), cmpOr(printable(x.Outside), "–"), string(x.Whose))
			}
		}
		c.namespaces(v)
	}
	if p := first(s.Privileges); p != nil {
		c.privileges(p)
	}
	return out.Flush()
}

// columns are four: what it is, inside, outside, and whose.
type columns struct {
	w     io.Writer
	width int
}

func (c columns) row(cells ...string) {
	widths := [4]int{24, 0, 0, 11}
	if c.width < 80 {
		widths[0] = 18
	}
	room := c.width - widths[0] - widths[3] - 3 // and a space between each
	widths[1] = room / 2
	widths[2] = room - widths[1]
	var lines [4][]string
	height := 1
	for n, cell := range cells {
		indent := ""
		if n == 0 && strings.HasPrefix(cell, "  ") {
			indent = "  "
		}
		lines[n] = fold(clip(strings.TrimSpace(cell), 140), widths[n]-len(indent))
		for k := range lines[n] {
			lines[n][k] = indent + lines[n][k]
		}
		height = max(height, len(lines[n]))
	}
	for k := range height {
		var line strings.Builder
		for n := range cells {
			text := ""
			if k < len(lines[n]) {
				text = lines[n][k]
			}
			line.WriteString(text + strings.Repeat(" ", max(0, widths[n]-utf8.RuneCountInString(text))+1))
		}
		fmt.Fprintln(c.w, strings.TrimRight(line.String(), " "))
	}
}

// fold breaks a text into lines of at most width, a word that is longer too.
func fold(s string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(s) {
		for {
			n := utf8.RuneCountInString(line)
			if n > 0 && n+1+utf8.RuneCountInString(word) <= width {
				line += " " + word
				break
			}
			if n > 0 {
				lines, line = append(lines, line), ""
			}
			if utf8.RuneCountInString(word) <= width {
				line = word
				break
			}
			r := []rune(word)
			lines, word = append(lines, string(r[:width])), string(r[width:])
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// namespaces has those that the host reads.
func (c columns) namespaces(v *isolation.View) {
	if v.NamespacesOf == "" {
		return
	}
	fmt.Fprintln(c.w, "Namespaces")
	for _, n := range v.Namespaces {
		whose := string(n.Whose)
		if v.NamespacesOf == "guest" && n.Whose == isolation.Hosts {
			whose = "the guest's"
		}
		c.row("  "+n.Type, fmt.Sprint(n.Inside), fmt.Sprint(n.Outside), whose)
	}
	if v.NamespacesOf == "guest" {
		c.text("The namespaces are beside those of the guest's first process, whose kernel they are of.")
	}
}

func (c columns) privileges(p *isolation.Privileges) {
	fmt.Fprintln(c.w, "What it may do")
	line := func(title, text string) {
		for k, l := range fold(text, c.width-25) {
			if k > 0 {
				title = ""
			}
			fmt.Fprintf(c.w, "  %-22s %s\n", title, l)
		}
	}
	has := p.Capabilities["effective"]
	line("Capabilities", fmt.Sprintf("%d of %d: %s", len(has), p.Known, cmpOr(strings.Join(has, ", "), "none")))
	seccomp := map[int]string{0: "no filter", 1: "strict", 2: "a filter"}[p.Seccomp]
	line("Seccomp", fmt.Sprintf("%s; no_new_privs: %s", seccomp, map[bool]string{true: "yes", false: "no"}[p.NoNewPrivs]))
	if len(p.Calls) > 0 {
		var parts []string
		for _, class := range isolation.Classes {
			if n := p.Count(class); n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, class))
			}
		}
		line("System calls", fmt.Sprintf("%d: %s", len(p.Calls), strings.Join(parts, ", ")))
		var filtered []string
		for _, call := range p.Calls {
			if call.Class == isolation.Filtered {
				filtered = append(filtered, call.Name)
			}
		}
		slices.Sort(filtered)
		line("  filtered", strings.Join(filtered, ", "))
	}
	line("System calls", clip(p.CallsError, 300))
	line("Devices that open", openDevices(p))
	if p.Knobs != nil {
		line("Settings to write", fmt.Sprintf("%d of %d files of /proc/sys and /sys open for writing", p.Knobs.Open, p.Knobs.Files))
	}
}

func (c columns) text(s string) {
	for _, l := range fold(s, c.width) {
		fmt.Fprintln(c.w, l)
	}
}
