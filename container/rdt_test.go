package container

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestRdt has a folder in the place of the resctrl file system, which few CPUs
// have: what is written where is the same.
func TestRdt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rdt   specs.LinuxIntelRdt
		files map[string]string // that are there before
		want  map[string]string // that are there after
		left  []string          // folders that are there when the container is gone
		err   string
	}{
		{"its own class", specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=20"}, nil,
			map[string]string{"c1/schemata": "MB:0=20\n", "c1/tasks": "7"}, nil, ""},
		{"a class that is made", specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"L2:0=f"}}, nil,
			map[string]string{"gold/schemata": "L2:0=f\n", "gold/tasks": "7"}, []string{"gold"}, ""},
		{"a class that is there", specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=f;1=ff"}, map[string]string{"gold/schemata": "    L3:0=0000f;1=000ff\n    MB:0=100\n"},
			map[string]string{"gold/tasks": "7"}, []string{"gold"}, ""},
		{"a class that is another", specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=f"}, map[string]string{"gold/schemata": "L3:0=7\n"},
			map[string]string{"gold/schemata": "L3:0=7\n"}, []string{"gold"}, `closID: class gold is there already, and has not "L3:0=f" but "L3:0=7"`},
		{"a class that is not there", specs.LinuxIntelRdt{ClosID: "gold"}, nil, nil, nil, "closID: without schemata the class has to be there"},
		{"the default class", specs.LinuxIntelRdt{ClosID: "/"}, nil, map[string]string{"tasks": "7"}, nil, ""},
		{"monitored", specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true}, map[string]string{"gold/mon_groups/other": ""},
			map[string]string{"gold/tasks": "7", "gold/mon_groups/c1/tasks": "7"}, []string{"gold"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for name, content := range tt.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, err := joinRdt(root, &tt.rdt, "c1", 7)
			if err == nil && tt.err != "" || err != nil && (tt.err == "" || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("err = %v, want %q", err, tt.err)
			}
			for name, want := range tt.want {
				if b, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(b) != want {
					t.Errorf("%s holds %q, %v, want %q", name, b, err, want)
				}
				// Files of the kernel's do not keep a folder from being removed.
				if strings.HasPrefix(name, "c1/") || strings.Contains(name, "/c1/") {
					os.Remove(filepath.Join(root, name))
				}
			}
			if err := leaveRdt(root, &tt.rdt, "c1"); err != nil {
				t.Error(err)
			}
			var left []string
			entries, err := os.ReadDir(root)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.IsDir() {
					left = append(left, e.Name())
				}
			}
			slices.Sort(left)
			if diff := cmp.Diff(tt.left, left); diff != "" {
				t.Errorf("left: -want +got:\n%s", diff)
			}
		})
	}
}
