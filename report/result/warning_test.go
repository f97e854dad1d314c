package result

import (
	"regexp"
	"strings"
	"testing"
)

// texts joins warnings for a comparison.
func texts(warnings []Warning) string {
	var list []string
	for _, w := range warnings {
		list = append(list, w.Text)
	}
	return strings.Join(list, "; ")
}

// TestWarnings: each has a code that a program can rely on, and words that fit
// into a sentence.
func TestWarnings(t *testing.T) {
	code := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	var all []Warning
	all = append(all, Summarize(nil).Warnings...)
	all = append(all, Summarize(upTo(3)).Warnings...)
	all = append(all, Compare(upTo(3), upTo(3), 1).Warnings...)
	all = append(all, Compare(upTo(7), []float64{0}, 1).Warnings...)
	_, w := MannWhitney(upTo(2), upTo(2))
	for _, w := range append(all, w...) {
		if !code.MatchString(string(w.Code)) || w.Text == "" || strings.HasSuffix(w.Text, ".") {
			t.Errorf("warning %q: %q", w.Code, w.Text)
		}
	}
	if len(all) < 4 || len(w) == 0 {
		t.Errorf("warnings are missing: %v, %v", all, w)
	}
}
