package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestOneMebibyte: a static C program runs with a memory limit of 1 MiB, every
// time, since nothing of ours is in the container's cgroup.
func TestOneMebibyte(t *testing.T) {
	b := newBundle(t)
	cc := exec.Command("cc", "-O2", "-static", "-o", filepath.Join(b.dir, "rootfs", "true"), "../testdata/true.c")
	if out, err := cc.CombinedOutput(); errors.Is(err, exec.ErrNotFound) && !required("peers") {
		t.Skip("no C compiler here; sudo scripts/setup test installs one")
	} else if err != nil {
		t.Fatalf("%v: %v\n%s", cc, err, out)
	}
	limit := int64(1 << 20)
	b.change(func(s *specs.Spec) {
		s.Process.Args = []string{"/true"}
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	})
	for range 10 {
		if out, code := b.oci("run", "c"); code != 0 || out != "" {
			t.Errorf("run: code %d, %s", code, out)
		}
	}
}

// TestNobodyStays: after create and start there is the container's process, and
// none of ours.
func TestNobodyStays(t *testing.T) {
	b := newBundle(t, "pause")
	b.must("", "create", "c")
	b.must("", "start", "c")
	group := "/benchtest-oci-" + filepath.Base(filepath.Dir(b.dir))
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	probes := 0
	for _, link := range links {
		exe, _ := os.Readlink(link) // it may have ended
		switch cgroup, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cgroup")); {
		case exe == filepath.Join(programs, "bench-oci"):
			t.Errorf("%s is still there", exe)
		case exe == "/probe" && strings.Contains(string(cgroup), group):
			probes++
		}
	}
	if probes != 1 {
		t.Errorf("the container has %d processes", probes)
	}
}
