package peer

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vmctr/container"
	"vmctr/container/cgroup/cgrouptest"
	"vmctr/container/seccomp"
)

func required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), what)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if required("root") {
			t.Fatal("BENCH_REQUIRE=root, and this is not root")
		}
		t.Skip("makes real containers, needs root: sudo scripts/test")
	}
}

// build compiles a Go program of this project.
func build(t *testing.T, pkg, out string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
}

// furnished is a room with the layers of an image that holds the probe, and a
// configuration for it.
func furnished(t *testing.T, unified bool, args ...string) (*Room, *Config, string) {
	t.Helper()
	dir, layer := t.TempDir(), t.TempDir()
	build(t, "vmctr/container/testdata/probe", filepath.Join(layer, "probe"))
	if err := os.Chmod(layer, 0o755); err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(dir, "private")
	if err := os.MkdirAll(filepath.Join(private, "room"), 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := NewRoom(filepath.Join(private, "room"), unified)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	s := container.DefaultSpec(append([]string{"/probe"}, args...), []string{"PATH=/"}, "/")
	if s.Linux.Seccomp, err = seccomp.Default(container.DefaultCapabilities); err != nil {
		t.Fatal(err)
	}
	ns, err := container.UserNamespace(t.Context(), s.Linux)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := r.Layers([]string{layer}, ns); err != nil {
		t.Fatal(err)
	}
	c, err := NewConfig(s, int(s.Linux.UIDMappings[0].HostID))
	if err != nil {
		t.Fatal(err)
	}
	return r, c, cgrouptest.Group(t) + "/c"
}

// TestRun: every runtime runs the bundle in a folder that others cannot reach,
// with the layers' files belonging to the container's root, and leaves nothing.
func TestRun(t *testing.T) {
	needRoot(t)
	oci := filepath.Join(t.TempDir(), "bench-oci")
	build(t, "vmctr/container/oci", oci)
	for _, name := range []string{"bench-oci", "runc", "crun"} {
		t.Run(name, func(t *testing.T) {
			rt := Runtime{name, oci}
			if name != "bench-oci" {
				var err error
				if rt, err = Find(name); err != nil {
					if required("peers") {
						t.Fatal(err)
					}
					t.Skipf("%v; sudo scripts/setup test installs it", err)
				}
			}
			if v, err := rt.Version(t.Context()); err != nil || !strings.Contains(v, name) {
				t.Errorf("version %q, %v", v, err)
			}
			// crun before 1.9 cannot live with a hybrid host.
			room, config, group := furnished(t, false, "who", "stat /probe", "write /new x", "cat /proc/self/status")
			before := names(t, room.dir)
			b, err := room.Bundle("c", group, config)
			if err != nil {
				t.Fatal(err)
			}
			out, err := rt.Try(t.Context(), room, b)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for line := range strings.Lines(out) {
				var r struct{ Op, Out, Err string }
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				got[r.Op] = r.Out + r.Err
			}
			if !strings.Contains(got["who"], "pid=1 uid=0") || !strings.Contains(got["stat /probe"], "owner 0:0") || got["write /new x"] != "" {
				t.Errorf("%v", got)
			}
			for _, want := range []string{"Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t00000000a80425fb"} {
				if !strings.Contains(got["cat /proc/self/status"], want) {
					t.Errorf("status lacks %q: %s", want, got["cat /proc/self/status"])
				}
			}
			if err := b.Remove(); err != nil {
				t.Fatal(err)
			}
			if after := names(t, room.dir); !slices.Equal(before, slices.DeleteFunc(after, func(n string) bool { return n == "state" })) {
				t.Errorf("left %v, had %v", after, before)
			}
			if left := names(t, filepath.Join(room.dir, "state")); len(left) > 0 {
				t.Errorf("left in the state folder: %v", left)
			}
		})
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range es {
		list = append(list, e.Name())
	}
	return list
}
