package container

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestDelegatedCgroup: a container that may write to its cgroups manages groups
// below its own, which then takes no processes: a second program comes to the
// first.
func TestDelegatedCgroup(t *testing.T) {
	needRoot(t)
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil {
		t.Skip("this host has cgroup v1; TestInGuest boots one that has version 2")
	}
	const dir = "/sys/fs/cgroup"
	s := sample("mkdir "+dir+"/first", "write "+dir+"/first/cgroup.procs 0", "write "+dir+"/cgroup.subtree_control +pids", "pause")
	s.Mounts = append(s.Mounts, specs.Mount{Destination: dir, Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev"}})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	dev := null(t)
	h, err := Create(t.Context(), filepath.Join(t.TempDir(), "state"), Config{ID: "one", Spec: s, Layers: layersOf(t), Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: w, Stderr: dev})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer h.Delete(t.Context(), true)
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for b := make([]byte, 512); !strings.Contains(out.String(), "ready"); {
		n, err := r.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b[:n])
	}
	if n := strings.Count(out.String(), `"Err":""`); n != 3 {
		t.Errorf("it says %s", &out)
	}
	p := *s.Process
	p.Args = []string{"/probe", "cat /proc/self/cgroup"}
	r2, w2, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r2.Close()
	second, err := h.Exec(t.Context(), Exec{Process: &p, Stdin: dev, Stdout: w2, Stderr: dev})
	w2.Close()
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	out.ReadFrom(r2)
	if status, err := second.Wait(t.Context()); err != nil || status.ExitCode() != 0 || !strings.Contains(out.String(), "0::/first") {
		t.Errorf("the second: %v, %v, %s", status, err, &out)
	}
	if err := h.Kill(unix.SIGKILL, false); err != nil {
		t.Error(err)
	}
}

// TestOwnCgroup: without a cgroup namespace a container is shown its own group,
// and what it would mount upon it does not get to the host.
func TestOwnCgroup(t *testing.T) {
	needRoot(t)
	file := "/sys/fs/cgroup/pids/pids.max"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		file = "/sys/fs/cgroup/pids.max"
	}
	s := without(sample("cat "+file, "write "+file+" 30", "cat /proc/self/mountinfo"), specs.CgroupNamespace)
	s.Linux.Resources.Pids = &specs.LinuxPids{Limit: pointer(int64(20))}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}})
	got := do(t, layersOf(t), s)
	wants(t, got, map[string]string{"cat " + file: "20\n", "write " + file + " 30": "!EACCES"})
	for line := range strings.Lines(got["cat /proc/self/mountinfo"].Out) {
		if strings.Contains(line, "/sys/fs/cgroup") && (strings.Contains(line, "shared:") || strings.Contains(line, "master:")) {
			t.Errorf("a mount of cgroups is one with the host's: %s", line)
		}
	}
}
