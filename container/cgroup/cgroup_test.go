package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestCreate(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		name := prefix + "parent/child"
		c, err := h.create(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.sweep(context.Background(), func(name string) bool { return name == prefix+"parent" }) })
		if c.Name != "/"+name {
			t.Errorf("its name is %q", c.Name)
		}
		places := h.places(name)
		if diff := cmp.Diff(places, exist(places)); diff != "" {
			t.Error(diff)
		}
		if err := c.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		if left := exist(places); len(left) > 0 {
			t.Errorf("Remove left %v", left)
		}
		// Others may be in it.
		parents := h.places(prefix + "parent")
		if diff := cmp.Diff(parents, exist(parents)); diff != "" {
			t.Errorf("the group above: %s", diff)
		}
		if err := c.Remove(t.Context()); err != nil {
			t.Errorf("removed again: %v", err)
		}
	})
}

func TestLimits(t *testing.T) {
	needRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"memory", "cpu", "pids"} {
		if !h.Has(c) {
			t.Skipf("this host's cgroups (%s) have no %s controller", h.Mode, c)
		}
	}
	r := limit(64 << 20)
	r.CPU, r.Pids = cpus(50_000, 200_000).CPU, processLimit(7).Pids
	unlimited := limit(-1)
	unlimited.CPU, unlimited.Pids = cpus(-1, 0).CPU, processLimit(-1).Pids
	for _, tt := range []struct {
		name   string
		r      *specs.LinuxResources
		v1, v2 map[string]string
	}{
		{"limited", r,
			map[string]string{"memory.limit_in_bytes": "67108864", "cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "200000", "pids.max": "7"},
			map[string]string{"memory.max": "67108864", "cpu.max": "50000 200000", "pids.max": "7"}},
		{"unlimited", unlimited,
			// The greatest number of whole pages in 63 bits.
			map[string]string{"memory.limit_in_bytes": "9223372036854771712", "cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000", "pids.max": "max"},
			map[string]string{"memory.max": "max", "cpu.max": "max 100000", "pids.max": "max"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := h.make(t, tt.r)
			want := tt.v1
			if c.unified != "" {
				want = tt.v2
			}
			got := map[string]string{}
			for file := range want {
				controller, _, _ := strings.Cut(file, ".")
				dir := c.dirs[controller]
				if c.unified != "" {
					dir = c.unified
				}
				b, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil {
					t.Error(err)
				}
				got[file] = strings.TrimSpace(string(b))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCreateRefused(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		for _, name := range []string{"", "/", ".", "/..", "a/.."} {
			if _, err := h.create(name, nil); err == nil || !strings.Contains(err.Error(), "root of the hierarchy") {
				t.Errorf("%q: error %v", name, err)
			}
		}
		// No name leads above the root of the hierarchy.
		c, err := h.create("../../"+prefix+"up", nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Name != "/"+prefix+"up" {
			t.Errorf("its name is %q", c.Name)
		}
		if err := c.Remove(t.Context()); err != nil {
			t.Error(err)
		}

		there := h.make(t, nil)
		if _, err := h.create(there.Name, nil); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), there.Name) {
			t.Errorf("a group that exists: error %v", err)
		}
		places := h.places(there.Name)
		if diff := cmp.Diff(places, exist(places)); diff != "" {
			t.Errorf("the group that existed: %s", diff)
		}

		// It exists in the last hierarchy only: what was made before goes.
		places = h.places(prefix + "last")
		last := places[len(places)-1]
		if err := os.Mkdir(last, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(last)
		if _, err := h.create(prefix+"last", nil); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a group that exists in one hierarchy: error %v", err)
		}
		if diff := cmp.Diff([]string{last}, exist(places)); diff != "" {
			t.Errorf("a group that existed in one hierarchy: %s", diff)
		}

		// A limit that the kernel refuses, or for which there is no controller.
		if _, err := h.create(prefix+"limit", processLimit(1<<60)); err == nil || !strings.Contains(err.Error(), "pids.") {
			t.Errorf("more processes than there can be: error %v", err)
		}
		if left := exist(h.places(prefix + "limit")); len(left) > 0 {
			t.Errorf("a refused limit left %v", left)
		}
	})
}

func TestNoCgroups(t *testing.T) {
	h := &Host{Mode: "none"}
	if _, err := h.create("benchtest", nil); err == nil || !strings.Contains(err.Error(), "mount -t cgroup2") {
		t.Errorf("error %v", err)
	}
}

// TestLimitWithoutController: a host that has memory alone.
func TestLimitWithoutController(t *testing.T) {
	dir := t.TempDir()
	h := &Host{Mode: "v1", V1: map[string]string{"memory": dir}}
	_, err := h.create("benchtest", cpus(50_000, 0))
	if err == nil || err.Error() != "linux.resources.cpu.quota: the cgroups have no cpu controller" {
		t.Errorf("error %v", err)
	}
	if left := exist(h.places("benchtest")); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

func TestEntrances(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		c := h.make(t, nil)
		if pids, err := c.Processes(); err != nil || len(pids) != 0 {
			t.Errorf("processes of a new group: %v, %v", pids, err)
		}
		folder, tasks, err := c.Entrances()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range tasks {
			f.Close()
		}
		if folder != nil {
			folder.Close()
		}
		if v2 := h.Unified != ""; v2 != (folder != nil) || v2 != (len(tasks) == 0) {
			t.Errorf("entrances %v and %v", folder, tasks)
		}
		i := enter(t, c, "sleep")
		in(t, c, i.cmd.Process.Pid)
		// It must be in every hierarchy, or some limit would not hold.
		for _, dir := range c.list {
			if pids, err := processes(dir); err != nil || !slices.Equal(pids, []int{i.cmd.Process.Pid}) {
				t.Errorf("%s holds %v, %v, want %d", dir, pids, err, i.cmd.Process.Pid)
			}
		}
	})
}

// in checks that a process, and no other, is in the group.
func in(t *testing.T, c *Cgroup, pid int) {
	t.Helper()
	pids, err := c.Processes()
	if err != nil || !slices.Equal(pids, []int{pid}) {
		t.Errorf("processes %v, %v, want %d", pids, err, pid)
	}
}

func TestAdd(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		c := h.make(t, nil)
		i := enter(t, nil, "sleep")
		if err := c.Add(i.cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		in(t, c, i.cmd.Process.Pid)
		// No process has a number above PID_MAX_LIMIT.
		if err := c.Add(1 << 23); !errors.Is(err, unix.ESRCH) || !strings.Contains(err.Error(), "moving process 8388608") {
			t.Errorf("a process that does not exist: error %v", err)
		}
	})
}

func TestMemory(t *testing.T) {
	needRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if !h.Has("memory") {
		t.Skip("this host's cgroups have no memory controller")
	}
	const limited, held = 32 << 20, 8 << 20
	c := h.make(t, limit(limited))
	if n, err := c.OutOfMemoryKills(); n != 0 || err != nil {
		t.Errorf("a new group has %d out-of-memory kills, %v", n, err)
	}
	enter(t, c, fmt.Sprint("hold ", held))
	deadline := time.Now().Add(5 * time.Second)
	for {
		n, err := c.Memory()
		if err != nil {
			t.Fatal(err)
		}
		if n > limited {
			t.Fatalf("%d bytes are charged, of %d at most", n, limited)
		}
		if n >= held {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %d bytes are charged to a process that holds %d", n, held)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestOutOfMemoryKills(t *testing.T) {
	needRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if !h.Has("memory") {
		t.Skip("this host's cgroups have no memory controller")
	}
	r := limit(32 << 20)
	r.Memory.Swap = r.Memory.Limit
	if h.V1["memory"] != "" {
		if _, err := os.Stat(h.V1["memory"] + "/memory.memsw.limit_in_bytes"); err != nil {
			r.Memory.Swap = nil
		}
	}
	c := h.make(t, r)
	i := enter(t, c, "eat")
	if !i.killed(t) {
		t.Errorf("it ended otherwise: %v", i.signal)
	}
	if n, err := c.OutOfMemoryKills(); n != 1 || err != nil {
		t.Errorf("%d out-of-memory kills, %v, want 1", n, err)
	}
}

// TestNoMemory: a group without the memory controller says so.
func TestNoMemory(t *testing.T) {
	if _, err := (&Cgroup{}).Memory(); err == nil || !strings.Contains(err.Error(), "no memory controller") {
		t.Errorf("error %v", err)
	}
}

func TestRemoveKills(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		c := h.make(t, nil)
		below, err := h.create(c.Name+"/below", nil)
		if err != nil {
			t.Fatal(err)
		}
		inner := enter(t, below, "sleep")
		// On version 2 only a leaf may hold processes once controllers are
		// handed down; here none are.
		outer := enter(t, nil, "sleep")
		addErr := c.Add(outer.cmd.Process.Pid)
		if addErr != nil && !errors.Is(addErr, unix.EBUSY) {
			t.Fatal(addErr)
		}
		bystander := enter(t, nil, "sleep")
		if err := c.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := append(exist(h.places(c.Name)), exist(h.places(below.Name))...); len(left) > 0 {
			t.Errorf("it left %v", left)
		}
		if !inner.killed(t) || addErr == nil && !outer.killed(t) {
			t.Error("a process was not killed")
		}
		if err := bystander.cmd.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("a process that was not in the group: %v", err)
		}
	})
}

// TestRemoveGivesUp: a folder that cannot be removed, here since something is
// mounted on it, does not hold up who removes it beyond its deadline.
func TestRemoveGivesUp(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("benchtest", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := remove(ctx, dir)
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "removing cgroup "+dir) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestSweep(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		dead, alive := prefix+"dead", prefix+"alive"
		child, err := h.create(dead+"/c1", nil)
		if err != nil {
			t.Fatal(err)
		}
		killed := enter(t, child, "sleep")
		other, err := h.create(alive+"/"+dead, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.sweep(context.Background(), func(name string) bool { return name == alive }) })
		spared := enter(t, other, "sleep")

		var asked []string
		swept, err := h.sweep(t.Context(), func(name string) bool {
			asked = append(asked, name)
			return name == dead
		})
		if err != nil {
			t.Error(err)
		}
		slices.Sort(swept)
		want := slices.Sorted(slices.Values(h.places(dead)))
		if diff := cmp.Diff(want, swept); diff != "" {
			t.Errorf("swept: %s", diff)
		}
		if left := exist(want); len(left) > 0 {
			t.Errorf("it left %v", left)
		}
		if !killed.killed(t) {
			t.Error("a process of the dead was not killed")
		}
		// Only names right below a root count.
		if !slices.Contains(asked, alive) || slices.Contains(asked, "c1") {
			t.Errorf("asked about %v", asked)
		}
		in(t, other, spared.cmd.Process.Pid)
	})
}

func TestSweepNothing(t *testing.T) {
	needRoot(t)
	swept, err := Sweep(t.Context(), func(string) bool { return false })
	if len(swept) > 0 || err != nil {
		t.Errorf("swept %v, %v", swept, err)
	}
}

// TestSweepGoesOn: a root that cannot be read does not keep the others from
// being swept.
func TestSweepGoesOn(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "dead"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := &Host{V1: map[string]string{"memory": filepath.Join(dir, "missing")}, Unified: dir}
	swept, err := h.sweep(t.Context(), func(name string) bool { return name == "dead" })
	if !errors.Is(err, fs.ErrNotExist) || !slices.Equal(swept, []string{filepath.Join(dir, "dead")}) {
		t.Errorf("swept %v, %v", swept, err)
	}
}

// TestMakeUnified hands controllers down. The folder stands for a cgroup2; in
// the kernel's a new folder has files of its own.
func TestMakeUnified(t *testing.T) {
	dir := t.TempDir()
	files := func(dir, controllers, on string) {
		t.Helper()
		for file, content := range map[string]string{"cgroup.controllers": controllers, "cgroup.subtree_control": on} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	enabled := func(want string) {
		t.Helper()
		if b, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control")); string(b) != want || err != nil {
			t.Errorf("enabled %q, %v, want %q", b, err, want)
		}
	}
	h := &Host{Mode: "v2", Unified: dir, V2: []string{"cpuset", "io", "pids"}}
	files(dir, "cpuset io pids\n", "")
	if _, err := h.makeUnified("/c1", nil, Options{}); err != nil {
		t.Fatal(err)
	}
	// Not memory and cpu, which this root has not, nor cpuset, which is not used.
	enabled("+pids")
	if _, err := h.makeUnified("/c1", nil, Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("again: error %v", err)
	}
	if isNew, err := h.makeUnified("/c1", nil, Options{Join: true}); isNew || err != nil {
		t.Errorf("joining: %v, %v", isNew, err)
	}
	// The group above may be there.
	if _, err := h.makeUnified("/c1/inner", nil, Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "c1/cgroup.controllers") {
		t.Errorf("below: error %v", err)
	}
	files(dir, "cpuset io pids\n", "")
	if _, err := h.makeUnified("/c2", settings{{version: 2, controller: "io"}}, Options{}); err != nil {
		t.Fatal(err)
	}
	enabled("+pids +io")
	files(dir, "cpuset io pids\n", "pids\n")
	if _, err := h.makeUnified("/c3", nil, Options{Every: true}); err != nil {
		t.Fatal(err)
	}
	enabled("+cpuset +io") // the rest
}
