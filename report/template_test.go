package report

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// allSections are the sections that the tests' runs must have had together.
var allSections = strings.Fields("ratios startup startup-changes vm-matrix applications memory memory-more vm-memory isolation views privileges surface functions interference faults place portability uses selftest")

// TestTemplate: a section outside the appendix asks a question first, shows a plot or a table,
// says in words what it shows, how it was measured and how wrong it can be, and asks the student;
// one of which nothing was measured says that.
func TestTemplate(t *testing.T) {
	seen := map[string]bool{}
	every := everyRun()
	for _, name := range slices.Sorted(maps.Keys(every)) {
		for _, s := range newModel(every[name]).document().Sections {
			if strings.HasPrefix(s.Title, "Appendix") {
				continue
			}
			leads := map[string]bool{}
			shows := false
			for i, b := range s.Blocks {
				switch b := b.(type) {
				case paragraph:
					leads[b.Lead] = true
					if i == 0 && b.Lead != "Question." {
						t.Errorf("%s: section %s begins with %q and not with its question", name, s.ID, b.Lead)
					}
				case *table, *figure:
					shows = true
				}
			}
			if leads["Not measured."] {
				continue
			}
			seen[s.ID] = true
			has := func(any ...string) bool {
				return slices.ContainsFunc(any, func(lead string) bool { return leads[lead] })
			}
			for what, ok := range map[string]bool{
				"a question":                          leads["Question."],
				"a plot or a table":                   shows,
				"how it was measured":                 has("How it was measured."),
				"its error or what it does not tell":  has("Its error.", "What it does not tell."),
				"two to five questions for a student": len(s.Ask) >= 2 && len(s.Ask) <= 5,
				"an ID":                               s.ID != "",
			} {
				if !ok {
					t.Errorf("%s: section %s lacks %s", name, s.ID, what)
				}
			}
		}
	}
	for _, id := range allSections {
		if !seen[id] {
			t.Errorf("no run of the tests has the section %s", id)
		}
		delete(seen, id)
	}
	for id := range seen {
		t.Errorf("the section %s is not in this test's list", id)
	}
}

// TestLinksLeadSomewhere: each link within the report has its place there.
func TestLinksLeadSomewhere(t *testing.T) {
	every := everyRun()
	for _, name := range slices.Sorted(maps.Keys(every)) {
		places, links := map[string]int{}, map[string]string{}
		for _, s := range newModel(every[name]).document().Sections {
			places["#"+s.ID]++
			for _, b := range s.Blocks {
				if a, ok := b.(anchor); ok {
					places["#"+string(a)]++
				}
			}
			for line := range strings.Lines(prose(s)) {
				for _, p := range parse(line) {
					if strings.HasPrefix(p.link, "#") {
						links[p.link] = s.ID
					}
				}
			}
		}
		for place, n := range places {
			if n > 1 {
				t.Errorf("%s: %s is there %d times", name, place, n)
			}
		}
		for link, from := range links {
			if places[link] == 0 {
				t.Errorf("%s: the section %s links to %s, which is not there", name, from, link)
			}
		}
	}
}
