package report

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// prose is what a section says in words of its own: not what the cells of its tables have,
// which is data.
func prose(s section) string {
	var b strings.Builder
	say := func(texts ...string) {
		for _, t := range texts {
			b.WriteString(t + "\n")
		}
	}
	say(s.Title)
	say(s.Ask...)
	for _, bl := range slices.Concat(s.Blocks, s.Details) {
		switch bl := bl.(type) {
		case heading:
			say(string(bl))
		case paragraph:
			say(bl.Lead, bl.Text)
		case points:
			say(bl...)
		case *figure:
			say(bl.Caption)
		case *table:
			say(bl.Caption)
			say(bl.Notes...)
			for _, c := range bl.Columns {
				say(c.Title)
			}
		}
	}
	return b.String()
}

// known are capital letters that are no terms of this field, by why they need no explanation.
var known = strings.Fields(`
	macOS
	CPU CPUs CI CD OS RAM PC UTC ID IP TCP UDP UNIX GNU HW KB MB MHz MiB KiB GiB AMD JSON CSV PDF
	SOSP NSDI VEE ACSAC ExpCS ISPASS EuroSys LXC OpenVZ IDLab LightVM gVisor MySQL PostgreSQL DPDK SPECIFICATION README
	VFS HEAD PATH UUID SMP PTI IBPB IBRS STIBP RSB NIS IBM FW BTF ABI DNS SQL API PONG PING SELECT ACLs SELinux AppArmor
`)

// TestGlossary: whatever is written in capitals in the report is in the glossary; what is in
// the glossary is said somewhere; and it is in order.
func TestGlossary(t *testing.T) {
	words := map[string]bool{}
	last := ""
	for _, term := range glossary {
		for _, w := range term.Words {
			if words[w] {
				t.Errorf("%q is in the glossary twice", w)
			}
			words[w] = true
		}
		if first := strings.ToLower(term.Words[0]); first < last {
			t.Errorf("%q stands behind %q", first, last)
		} else {
			last = first
		}
		if strings.HasSuffix(term.Meaning, ".") || term.Meaning == "" {
			t.Errorf("%v: %q is to be the rest of a sentence, without its full stop", term.Words, term.Meaning)
		}
	}
	capitals := regexp.MustCompile(`\b[A-Za-z]*[A-Z]+[a-z0-9]*[A-Z][A-Za-z0-9]*\b`)
	var all bytes.Buffer // cells too
	unknown := map[string]string{}
	every := everyRun()
	for _, name := range slices.Sorted(maps.Keys(every)) {
		doc := newModel(every[name]).document()
		doc.Sections = slices.DeleteFunc(doc.Sections, func(s section) bool { return s.ID == "glossary" })
		writeMarkdown(&all, doc)
		for _, s := range doc.Sections {
			text := prose(s)
			for _, at := range capitals.FindAllStringIndex(text, -1) {
				w := text[at[0]:at[1]]
				if errno := regexp.MustCompile(`^E[A-Z]+$`); words[w] || words[strings.TrimSuffix(w, "s")] || w == "SHA" || slices.Contains(known, w) || errno.MatchString(w) {
					continue
				}
				unknown[w] = s.ID + ": ..." + text[max(0, at[0]-60):min(len(text), at[1]+40)]
			}
		}
	}
	for _, w := range slices.Sorted(maps.Keys(unknown)) {
		t.Errorf("%s is not in the glossary: %q", w, unknown[w])
	}
	said := strings.ToLower(all.String())
	for _, term := range glossary {
		if !slices.ContainsFunc(term.Words, func(w string) bool {
			return strings.Contains(said, strings.ToLower(strings.TrimSuffix(w, "y"))) // capability, capabilities
		}) {
			t.Errorf("no report of these tests has a word of %v", term.Words)
		}
	}
}
