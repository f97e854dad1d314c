package container

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestCannotStart: each error names what is wrong, and nothing is left.
func TestCannotStart(t *testing.T) {
	needRoot(t)
	l := layersOf(t, layer(t, map[string]string{"text": "neither ELF nor script\n", "script": "#!/no/such/shell\n", "dir/x": ""}))
	for _, tt := range []struct {
		name   string
		mutate func(*specs.Spec)
		errno  error
		words  []string
	}{
		{"missing program", func(s *specs.Spec) { s.Process.Args = []string{"/no/program"} }, unix.ENOENT, []string{`"/no/program"`, "no such program"}},
		{"missing command", func(s *specs.Spec) {
			s.Process.Args, s.Process.Env = []string{"program"}, []string{"PATH=/a:/b"}
		}, unix.ENOENT, []string{`"program"`, "tried: /a/program, /b/program"}},
		{"missing interpreter", func(s *specs.Spec) { s.Process.Args = []string{"/script"} }, unix.ENOENT, []string{"/script", "interpreter"}},
		{"exec format", func(s *specs.Spec) { s.Process.Args = []string{"/text"} }, unix.ENOEXEC, []string{`"/text"`, "exec format error", "this CPU"}},
		{"a folder", func(s *specs.Spec) { s.Process.Args = []string{"/dir"} }, unix.EACCES, []string{`"/dir"`, "permission denied"}},
		{"cwd that is no folder", func(s *specs.Spec) { s.Process.Cwd = "/text" }, unix.ENOTDIR, []string{`chdir("/text")`}},
		{"bad mount option", func(s *specs.Spec) { s.Mounts[1].Options = []string{"sizzle=3"} }, unix.EINVAL, []string{`"sizzle"`, "file system"}},
		{"unmapped user", func(s *specs.Spec) { s.Process.User.UID = 70000 }, unix.EINVAL, []string{"setresuid(70000"}},
		{"capability that is not permitted", func(s *specs.Spec) { s.Process.Capabilities.Permitted = nil }, unix.EPERM, []string{"capset("}},
		{"bad mapping", func(s *specs.Spec) { s.Linux.UIDMappings = append(s.Linux.UIDMappings, s.Linux.UIDMappings...) }, unix.EINVAL, []string{"uid_map"}},
		{"cgroup's root", func(s *specs.Spec) { s.Linux.CgroupsPath = "/.." }, nil, []string{"root of the hierarchy"}},
		{"memory limit too small", func(s *specs.Spec) { s.Linux.Resources.Memory.Limit = pointer(int64(4096)) }, nil, []string{"linux.resources.memory.limit"}},
	} {
		if isUser() && (tt.name == "bad mapping" || tt.name == "memory limit too small") {
			continue // newuidmap's to refuse; and without a cgroup there are no limits
		}
		t.Run(tt.name, func(t *testing.T) {
			s := sample("who")
			tt.mutate(s)
			dir := t.TempDir()
			dev := null(t)
			before := footprintOf(t, dir)
			c, err := Start(t.Context(), Config{Spec: s, Layers: l, Dir: filepath.Join(dir, "c"), Stdin: dev, Stdout: dev, Stderr: dev})
			if err == nil {
				c.Remove(context.Background())
				t.Fatal("it started")
			}
			if tt.errno != nil && !errors.Is(err, tt.errno) {
				t.Errorf("not %v: %v", tt.errno, err)
			}
			for _, w := range tt.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q: %v", w, err)
				}
			}
			before.check(t, dir, tt.name)
		})
	}
}

func TestRefuses(t *testing.T) {
	needRoot(t)
	l := layersOf(t)
	dev := null(t)
	t.Run("another container's folder", func(t *testing.T) {
		b := startBox(t, l, sample("pause"))
		b.ready(t)
		cfg := b.cfg
		cfg.Spec = sample("who")
		cfg.Stdin, cfg.Stdout, cfg.Stderr = dev, dev, dev
		if _, err := Start(t.Context(), cfg); !errors.Is(err, unix.EEXIST) {
			t.Errorf("err = %v", err)
		}
		if _, err := os.Stat(filepath.Join(cfg.Dir, "upper")); err != nil {
			t.Errorf("the refusal has removed it: %v", err)
		}
	})
	t.Run("another container's cgroup", func(t *testing.T) {
		b := startBox(t, l, sample("pause"))
		b.ready(t)
		s := sample("who")
		s.Linux.CgroupsPath = b.cfg.Spec.Linux.CgroupsPath
		dir := filepath.Join(t.TempDir(), "c")
		if _, err := Start(t.Context(), Config{Spec: s, Layers: l, Dir: dir, Stdin: dev, Stdout: dev, Stderr: dev}); !errors.Is(err, unix.EEXIST) {
			t.Errorf("err = %v", err)
		}
		select {
		case <-b.Done():
			t.Errorf("the refusal has ended it: %v", b.Status())
		case <-time.After(20 * time.Millisecond):
		}
	})
	t.Run("no standard streams", func(t *testing.T) {
		if _, err := Start(t.Context(), Config{Spec: sample("who"), Layers: l, Dir: filepath.Join(t.TempDir(), "c")}); err == nil || !strings.Contains(err.Error(), "standard input") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("no such layer", func(t *testing.T) {
		fds := footprintOf(t, t.TempDir())
		if _, err := openLayers(probe(t), "/no/layer"); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "/no/layer") {
			t.Errorf("err = %v", err)
		}
		fds.check(t, "/nowhere", "no such layer")
		if _, err := openLayers(); err == nil {
			t.Error("no layers at all: accepted")
		}
	})
}
