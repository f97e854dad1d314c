package vm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container"
	"vmctr/vm/cache"
	"vmctr/vm/guest/wire"
	"vmctr/vm/kernel"
)

// TestInitramfsConfig: of a container's configuration a guest gets who runs what,
// and nothing of its walls; where the image lies and which streams there are is
// said beside it.
func TestInitramfsConfig(t *testing.T) {
	spec := container.DefaultSpec([]string{"program", "x"}, []string{"A=b"}, "/home")
	spec.Process.User = specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3}}
	spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 5, Hard: 6}}
	want := &specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: "/"}, Hostname: "container",
		Process: &specs.Process{Args: spec.Process.Args, Env: spec.Process.Env, Cwd: "/home", User: spec.Process.User, Rlimits: spec.Process.Rlimits},
	}
	for _, tt := range []struct {
		name        string
		initramfs   Initramfs
		annotations map[string]string
		modules     int
	}{
		{"measured, in memory", Initramfs{Input: true}, map[string]string{}, 2},
		{"on disks", Initramfs{Disks: 12}, map[string]string{wire.Layers: "12"}, 5},
		{"run", Initramfs{Streams: true}, map[string]string{wire.Streams: "stderr"}, 2},
		{"run with input", Initramfs{Streams: true, Input: true, Modules: []string{"veth"}}, map[string]string{wire.Streams: "stderr stdin"}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.initramfs.Spec = spec
			want.Annotations = tt.annotations
			if diff := cmp.Diff(want, tt.initramfs.config()); diff != "" {
				t.Error(diff)
			}
			if names := tt.initramfs.modules(); len(names) != tt.modules {
				t.Errorf("modules %q", names)
			}
		})
	}
}

// TestInitramfsContainer: a guest that is to start a container gets all of its
// configuration, and it is told what is missing before a file is there.
func TestInitramfsContainer(t *testing.T) {
	spec := container.DefaultSpec([]string{"program", "x"}, []string{"A=b"}, "/home")
	want := *spec
	want.Annotations = map[string]string{wire.Container: "", wire.Layers: "2", wire.Publish: "80"}
	i := Initramfs{Spec: spec, Disks: 2, Container: true, Publish: 80}
	if diff := cmp.Diff(&want, i.config()); diff != "" {
		t.Error(diff)
	}
	if spec.Annotations != nil {
		t.Error("it has changed the caller's configuration")
	}
	if names := i.modules(); !slices.Contains(names, "veth") || !slices.Contains(names, "overlay") {
		t.Errorf("modules %q", names)
	}
	i.Disks = 0
	path := filepath.Join(t.TempDir(), "initramfs")
	if err := i.Write(path); err == nil || !strings.Contains(err.Error(), "on disks") {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file is left")
	}
}

// TestInitramfsKept: what a cache gives is, byte for byte, what would have been
// written without one; and any other PID 1, kernel or set of drivers is another.
func TestInitramfsKept(t *testing.T) {
	t.Parallel() // it waits most of its time
	dir := t.TempDir()
	modules := filepath.Join(dir, "lib", "modules")
	image := filepath.Join(dir, "vmlinuz")
	layer := filepath.Join(dir, "layer")
	for _, d := range []string{modules, layer} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-time.Hour)
	write := func(path, content string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o644), os.Chtimes(path, long, long)); err != nil {
			t.Fatal(err)
		}
	}
	builtin := ""
	for _, m := range slices.Concat(Drivers(), lateModules) {
		builtin += "kernel/" + m + ".ko\n"
	}
	write(filepath.Join(modules, "modules.builtin"), builtin)
	write(image, "kernel")
	write(filepath.Join(layer, "file"), "of the image")
	k := &kernel.Kernel{Release: "6.1.0", Image: image, Modules: modules, Arch: "amd64"}
	i := Initramfs{Guest: []byte("PID 1"), Kernel: k, Spec: container.DefaultSpec([]string{"program"}, nil, "/"), Layers: []string{layer}}
	archive := func(i Initramfs) string {
		t.Helper()
		path := filepath.Join(dir, "initramfs")
		if err := i.Write(path); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	kept := func(i Initramfs) map[string]os.FileInfo {
		t.Helper()
		entries, err := os.ReadDir(BaseDir(i.Cache))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		files := map[string]os.FileInfo{}
		for _, e := range entries {
			if files[e.Name()], err = e.Info(); err != nil {
				t.Fatal(err)
			}
		}
		return files
	}
	want := archive(i)
	i.Cache = filepath.Join(dir, "cache")
	if got := archive(i); got != want || len(kept(i)) != 0 {
		t.Errorf("of a kernel that was written a moment ago, %v are kept", kept(i))
	}
	for _, path := range []string{image, modules} {
		settle(t, path)
	}
	if got := archive(i); got != want {
		t.Errorf("%d bytes, and without a cache %d", len(got), len(want))
	}
	first := kept(i)
	if len(first) != 1 {
		t.Fatalf("kept are %v", first)
	}
	if got := archive(i); got != want {
		t.Errorf("the second time %d bytes, and without a cache %d", len(got), len(want))
	}
	for name, info := range kept(i) {
		if first[name] == nil || !os.SameFile(first[name], info) {
			t.Errorf("%s was written again", name)
		}
	}
	for n, change := range []func(i *Initramfs){
		func(i *Initramfs) { i.Guest = []byte("another") },
		func(i *Initramfs) { i.Disks = 1 },
		func(i *Initramfs) { i.Modules = []string{"pvpanic-pci"} },
		func(i *Initramfs) { write(image, "Kernel"); settle(t, image) },
	} {
		other := i
		change(&other)
		archive(other)
		if got := len(kept(i)); got != n+2 {
			t.Errorf("change %d: %d are kept", n, got)
		}
	}
	other := i
	other.Spec = container.DefaultSpec([]string{"another"}, nil, "/")
	before := len(kept(i))
	if archive(other) == want || len(kept(i)) != before {
		t.Error("what runs is not in what is kept")
	}
}

// settle waits until the identity of a file can be relied on.
func settle(t *testing.T, path string) {
	t.Helper()
	for begin := time.Now(); !cache.Settled(path); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatal("it never does")
		}
	}
}
