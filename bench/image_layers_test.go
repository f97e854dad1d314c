package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"vmctr/images/sharing"
)

// stack is an image of layers named by letters: "A" has 1 MiB, "B" 2 and so on.
func stack(name, layers string) sharing.Stack {
	s := sharing.Stack{Name: name}
	for _, r := range layers {
		n := int64(r-'A'+1) << 20
		s.Layers = append(s.Layers, sharing.Layer{DiffID: string(r), Digest: "sha256:" + strings.Repeat(string(r), 64), Size: n, Archive: 3 * n, CreatedBy: "RUN step " + string(r)})
	}
	return s
}

var drawings = map[string][]sharing.Stack{
	"shared":   {stack("debian:12", "P"), stack("nginx:latest", "PBC"), stack("httpd:latest", "PD"), stack("app:1", "PBCE")},
	"one":      {stack("workload:latest", "AB")},
	"apart":    {stack("a:1", "AB"), stack("b:1", "CD")},
	"empty":    {{Name: "scratch:latest"}, stack("a:1", "A")},
	"upon":     {stack("a:1", "AC"), stack("b:1", "BC")},
	"deep":     {stack("ten:1", "ABCDEFGHIJ"), stack("eleven:1", "ABCDEFGHIK"), stack("base:1", "A")},
	"longname": {stack("registry.example.com:5000/some/very/long/path/to/an/image:with-a-tag", "AB"), stack("b:1", "A")},
}

func TestPrintSharing(t *testing.T) {
	for name, stacks := range drawings {
		for _, width := range []int{80, 60, 100} {
			t.Run(fmt.Sprintf("%s %d", name, width), func(t *testing.T) {
				var out strings.Builder
				if err := printSharing(streams{&out, &out}, sharing.Of(stacks), width); err != nil {
					t.Fatal(err)
				}
				for line := range strings.Lines(out.String()) {
					if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > max(width, 80) {
						t.Errorf("a line of %d columns: %s", n, line)
					}
				}
				if width == 80 {
					path := filepath.Join("testdata", "layers", name+".golden")
					if *update {
						if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
							t.Fatal(err)
						}
					}
					want, err := os.ReadFile(path)
					if err != nil {
						t.Fatalf("%v; go test -update ./bench -run PrintSharing writes it", err)
					}
					if diff := cmp.Diff(string(want), out.String()); diff != "" {
						t.Error(diff)
					}
				}
			})
		}
	}
}
