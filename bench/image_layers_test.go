package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"vmctr/images/registry/registrytest"
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
	"stairs":   {stack("a:1", "A"), stack("b:1", "AB"), stack("c:1", "ABC"), stack("d:1", "ABCD"), stack("e:1", "ABCDE"), stack("f:1", "ABCDEF"), stack("g:1", "ABCDEFG"), stack("h:1", "ABCDEFGH")},
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

// TestLayersElsewhere: of an image that only a registry has, what is here already
// is not to be fetched.
func TestLayersElsewhere(t *testing.T) {
	server := registrytest.New(t)
	base, top := registrytest.Layer(t, 30, 1<<20, types.OCILayer), registrytest.Layer(t, 31, 300<<10, types.OCILayer)
	server.Put(t, "base", registrytest.Image(t, "amd64", false, base))
	server.Put(t, "app", registrytest.Image(t, "amd64", false, base, top))
	t.Setenv("BENCH_CACHE", t.TempDir())
	run := func(want int, args ...string) string {
		t.Helper()
		var out, stderr bytes.Buffer
		if code := bench(args, &out, &stderr); code != want {
			t.Fatalf("%q: exit code %d: %s", args, code, &stderr)
		}
		return out.String() + stderr.String()
	}
	run(0, "image", "pull", "-q", server.Host()+"/base")
	if got := run(1, "image", "layers", server.Host()+"/app"); !strings.Contains(got, "no image named") {
		t.Errorf("without --registry: %s", got)
	}
	var shared sharing.Sharing
	if err := json.Unmarshal([]byte(run(0, "image", "layers", "--registry", "--format", "json", server.Host()+"/base", server.Host()+"/app")), &shared); err != nil {
		t.Fatal(err)
	}
	size, err := top.Size()
	if err != nil {
		t.Fatal(err)
	}
	if len(shared.Images) != 2 || shared.Images[0].Fetch != 0 || shared.Images[1].Fetch != size || len(shared.Layers) != 2 {
		t.Errorf("%+v; the layer on top has %d bytes", shared, size)
	}
	got := run(0, "image", "layers", "--registry", server.Host()+"/base", server.Host()+"/app")
	for _, want := range []string{"in 2 images", "NOW is what it would download here", "   ?"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
