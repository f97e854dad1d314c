package report

import "testing"

func TestCited(t *testing.T) {
	d := asking()
	s, any := citedSection(append(d.Sections, d.Sections...))
	want := paragraph{"", "a page, cited in the section [First section](#first): [https://example.org/a?b=c](https://example.org/a?b=c)"}
	if !any || len(s.Blocks) != 1 || s.Blocks[0] != want {
		t.Errorf("%+v", s.Blocks)
	}
	if _, any := citedSection(d.Sections[1:]); any {
		t.Error("sources where nothing is cited")
	}
}
