package platform

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container"
	"vmctr/vm/guest/wire"
	"vmctr/vm/kernel"
)

// TestNestedIdentity: the program is in a container, in a guest: it has none of the
// guest's namespaces but the one of time, and all else that a container has.
func TestNestedIdentity(t *testing.T) {
	prepared, _ := prepare(t, nested{machine{"q35"}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	i, err := prepared.Start(ctx)
	must(t, err)
	defer func() { must(t, i.Stop(context.Background())) }()
	first, err := i.Output().FirstInstruction(ctx)
	if err != nil {
		t.Fatal(err, i.Err())
	}
	id, err := i.Output().Identity(ctx)
	must(t, err)
	w := i.(Within)
	guest, err := w.Namespaces(ctx)
	must(t, err)
	for _, k := range []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup", "time"} {
		in, out := id.Namespaces[k], guest[k]
		if in == 0 || out == 0 || (in == out) != (k == "time") {
			t.Errorf("namespace %s: the container's is %d, the guest's %d", k, in, out)
		}
	}
	if id.PID != 1 || id.Seccomp != 2 || id.NoNewPrivs != 1 || id.Capability != "00000000a80425fb" || id.RootFS != "overlay" ||
		id.UIDMap != "0 1073741824 65536" || id.Cgroup != "0::/" || id.Hostname != "container" || !slices.Equal(id.Interfaces, []string{"eth0", "lo"}) {
		t.Errorf("no container's identity: %+v", id)
	}

	// The phases of the container are those of any, and come in the guest's.
	asked, err := w.Asked()
	must(t, err)
	var names []string
	for _, m := range i.Timeline() {
		if len(names) > 0 || m.Phase == asked.Phase {
			names = append(names, m.Phase)
		}
	}
	want := []string{wire.PhaseWorkload}
	for _, name := range []string{"overlay", "make cgroup", "clone", "id maps", "cgroup", "file system", "network", "privileges", "exec"} {
		want = append(want, wire.ContainerPhase+name)
	}
	want = append(want, wire.PhaseRunning)
	if !slices.Equal(names, want) {
		t.Errorf("phases %q, want %q", names, want)
	}
	if asked.Ns >= first {
		t.Errorf("asked for at %d, its first instruction at %d", asked.Ns, first)
	}
}

// TestNestedLimits: the guest's kernel holds the container to its limits.
func TestNestedLimits(t *testing.T) {
	program := busyboxGuest(t)
	layer := t.TempDir()
	must(t, os.Mkdir(filepath.Join(layer, "bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(layer, "bin/busybox"), program, 0o755))
	must(t, os.Symlink("busybox", filepath.Join(layer, "bin/sh")))

	spec := container.DefaultSpec([]string{"/bin/sh", "-c", `cd /sys/fs/cgroup; busybox cat memory.max pids.max cpu.max
		busybox dd if=/dev/zero of=/dev/null bs=100M count=1; echo $?; busybox grep -w oom_kill memory.events
		(i=0; while [ $i -lt 10 ]; do busybox sleep 60 & i=$((i+1)); done; echo all) 2>/dev/null; [ "$(busybox cat pids.events)" != "max 0" ] && echo refused
		exec busybox dd if=/dev/zero of=/dev/null bs=100M count=1`}, []string{"PATH=/bin"}, "/")
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}})
	spec.Linux.CgroupsPath = "/container"
	memory, pids, quota, period := int64(32<<20), int64(8), int64(90_000), uint64(100_000)
	spec.Linux.Resources = &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory}, Pids: &specs.LinuxPids{Limit: &pids}, CPU: &specs.LinuxCPU{Quota: &quota, Period: &period},
	}
	dir := t.TempDir()
	stdout, stderr, _, status := run(t, Guest{
		Spec: spec, Layers: []string{layer}, Container: true, Streams: true, Dir: dir, Cache: filepath.Join(dir, "cache"),
		Kernel: kernel.Options{Caches: []string{cache()}}, Memory: 256 << 20, CPUs: 1,
	})
	if want := "33554432\n8\n90000 100000\n137\noom_kill 1\nrefused\n"; stdout != want {
		t.Errorf("it says\n%s%s\nwant\n%s", stdout, stderr, want)
	}
	if want := (container.Status{Signal: unix.SIGKILL, OutOfMemory: true}); status != want {
		t.Errorf("it ended: %v; want %v", status, want)
	}
}
