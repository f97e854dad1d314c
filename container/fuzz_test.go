package container

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container/rootfs"
	"vmctr/container/seccomp"
	"vmctr/container/step"
)

// FuzzConfig: whatever stands in a config.json, it is refused with an error that
// names a field, or it compiles.
func FuzzConfig(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.json")
	if err != nil || len(seeds) == 0 && os.Getenv("CONTAINER_TEST_PROBE") == "" {
		f.Fatal(seeds, err)
	}
	for _, name := range seeds {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	b, err := json.Marshal(DefaultSpec([]string{"/program"}, []string{"PATH=/"}, "/"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(configure)
}

// configure does what a start does with a config.json before its first system
// call.
func configure(t *testing.T, b []byte) {
	var s *specs.Spec
	if json.Unmarshal(b, &s) != nil {
		return
	}
	if err := check(s, true); err != nil {
		field, what, ok := strings.Cut(strings.TrimPrefix(err.Error(), "config.json: "), ": ")
		if !strings.HasPrefix(err.Error(), "config.json: ") || field == "" || s != nil && (!ok || what == "" || strings.Contains(field, " ")) {
			t.Errorf("no field: %v", err)
		}
		return
	}
	fds := descriptors{root: 10, at: "/at", self: 5, files: []int{6, 7, 8}, report: 11, first: 12, sources: make([]rootfs.Source, len(s.Mounts))}
	if s.Linux != nil && s.Linux.Seccomp != nil {
		filter, err := seccomp.Compile(s.Linux.Seccomp)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "linux.seccomp") {
				t.Errorf("no field: %v", err)
			}
			return
		}
		fds.filter = filter
	}
	for _, start := range []int{0, 9} {
		fds.start = start
		p, _ := compile(s, fds)
		if p.Len() > step.MaxLen {
			return
		}
		if !strings.Contains(p.String(), "execve") {
			t.Error("nothing is executed")
		}
	}
}

// TestOddValues puts an odd value in the place of each value of a configuration,
// and of each folder of values.
func TestOddValues(t *testing.T) {
	tried := 0
	for _, name := range []string{"testdata/docker.json", "testdata/everything.json"} {
		b, err := os.ReadFile(name)
		if err != nil {
			if os.Getenv("CONTAINER_TEST_PROBE") != "" {
				t.Skip("the files are not in the guest")
			}
			t.Fatal(err)
		}
		var root any
		if err := json.Unmarshal(b, &root); err != nil {
			t.Fatal(err)
		}
		odd := []any{nil, "", "\x00", "/\x00", "..", "/", "/proc/self", strings.Repeat("x", 300), "a=b", "%d", -1, 0, 1 << 40, -1 << 62, []any{}, []any{nil}, []any{""}, map[string]any{}, map[string]any{"": ""}, true}
		var visit func(v any, set func(any), path string)
		visit = func(v any, set func(any), path string) {
			for _, o := range odd {
				set(o)
				b, err := json.Marshal(root)
				if err != nil {
					t.Fatal(err)
				}
				func() {
					defer func() {
						if p := recover(); p != nil || t.Failed() {
							t.Fatalf("%s: %s = %#v: %v", name, path, o, p)
						}
					}()
					configure(t, b)
				}()
				tried++
			}
			set(v)
			switch v := v.(type) {
			case map[string]any:
				for k := range v {
					visit(v[k], func(o any) { v[k] = o }, path+"."+k)
				}
			case []any:
				for i := range v {
					visit(v[i], func(o any) { v[i] = o }, path+"[]")
				}
			}
		}
		visit(root, func(v any) { root = v }, "")
	}
	t.Logf("%d tried", tried)
}
