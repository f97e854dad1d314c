package report

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTableColour: colour adds to the table and changes nothing of it, and what it marks is
// marked without it too.
func TestTableColour(t *testing.T) {
	all := runs()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var plain, coloured bytes.Buffer
		if err := Table(&plain, all[name], Terminal{Width: 100}); err != nil {
			t.Fatal(err)
		}
		if err := Table(&coloured, all[name], Terminal{Width: 100, Colour: true}); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(plain.String(), escapes.ReplaceAllString(coloured.String(), "")); d != "" {
			t.Errorf("%s: (-plain +coloured) %s", name, d)
		}
		if strings.Contains(plain.String(), "\x1b") {
			t.Errorf("%s: colour where none was asked for", name)
		}
		for line := range strings.Lines(coloured.String()) {
			if strings.HasPrefix(line, yellowed) && !strings.Contains(line, " *") {
				t.Errorf("%s: a row is yellow and has no star: %q", name, line)
			}
			if strings.HasPrefix(line, dim) && !strings.Contains(line, "–") {
				t.Errorf("%s: a row is dim and has a figure: %q", name, line)
			}
		}
	}
}
