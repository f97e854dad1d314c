package vm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container"
	"vmctr/vm/guest/wire"
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
	want.Annotations = map[string]string{wire.Container: "", wire.Layers: "2"}
	i := Initramfs{Spec: spec, Disks: 2, Container: true}
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
