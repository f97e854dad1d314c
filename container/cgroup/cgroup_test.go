package cgroup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// prefix begins the names of all groups of this process of tests.
var prefix = fmt.Sprintf("benchtest-%d-", os.Getpid())

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Geteuid() == 0 {
		left, err := Sweep(context.Background(), func(name string) bool { return strings.HasPrefix(name, prefix) })
		if err != nil || len(left) > 0 {
			fmt.Fprintln(os.Stderr, "left behind:", left, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// needRoot skips a test that makes real groups, or fails it where BENCH_REQUIRE
// says that root is there.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "root") {
		t.Fatal("BENCH_REQUIRE holds root, and this is not root")
	}
	t.Skip("makes real cgroups: run as root: sudo scripts/test")
}

// onEach runs a test on each version that this host has: a hybrid host has a
// unified hierarchy without controllers, and all but limits works in it.
func onEach(t *testing.T, test func(*testing.T, *Host)) {
	needRoot(t)
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	ran := false
	if h.V1["memory"] != "" {
		ran = t.Run("v1", func(t *testing.T) { test(t, &Host{Mode: "v1", V1: h.V1}) })
	}
	if h.Unified != "" {
		ran = t.Run("v2", func(t *testing.T) { test(t, &Host{Mode: "v2", Unified: h.Unified, V2: h.V2}) }) || ran
	}
	if !ran && !t.Failed() {
		t.Skip("this host mounts no cgroups; try: mount -t cgroup2 none /sys/fs/cgroup")
	}
}

var groups atomic.Int64

// make makes a group with a name that no other has.
func (h *Host) make(t *testing.T, r *specs.LinuxResources) *Cgroup {
	t.Helper()
	c, err := h.create(fmt.Sprintf("%s%d", prefix, groups.Add(1)), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Remove(context.Background()) })
	return c
}

// places are the folders where a host would have the group name.
func (h *Host) places(name string) []string {
	var list []string
	for _, c := range controllers {
		if at := h.V1[c]; at != "" && !slices.Contains(list, filepath.Join(at, name)) {
			list = append(list, filepath.Join(at, name))
		}
	}
	if h.Unified != "" {
		list = append(list, filepath.Join(h.Unified, name))
	}
	return list
}

// exist are those of the folders that are there.
func exist(folders []string) []string {
	var there []string
	for _, f := range folders {
		if _, err := os.Lstat(f); err == nil {
			there = append(there, f)
		}
	}
	return there
}

// idle is a process that waits in the group. The test reaps it, so that it
// leaves the group when it is killed.
type idle struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// enter starts a process by way of the group's entrances.
func enter(t *testing.T, c *Cgroup, script string) *idle {
	t.Helper()
	folder, tasks, err := c.Entrances()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "for fd in $FDS; do echo 0 >&$fd; done; echo in; "+script)
	fds := ""
	if folder != nil {
		defer folder.Close()
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(folder.Fd())}
	}
	for i, f := range tasks {
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		fds += " " + strconv.Itoa(3+i)
	}
	cmd.Env = append(os.Environ(), "FDS="+fds)
	return start(t, cmd)
}

// start starts a script and waits until it prints a line.
func start(t *testing.T, cmd *exec.Cmd) *idle {
	t.Helper()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i := &idle{cmd, make(chan struct{})}
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() {
		cmd.Wait()
		close(i.done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-i.done
	})
	if err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	return i
}

// killed waits for the end of the process and tells whether SIGKILL ended it.
func (i *idle) killed(t *testing.T) bool {
	t.Helper()
	select {
	case <-i.done:
		return i.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	case <-time.After(5 * time.Second):
		t.Error("a process of the group still runs")
		return false
	}
}

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
		if _, err := h.create(prefix+"limit", processLimit(1<<60)); err == nil || !strings.Contains(err.Error(), "pids.max") {
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
	if err == nil || err.Error() != "setting cpu.cfs_period_us=100000: this host's cgroups have no cpu controller" {
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
		i := enter(t, c, "exec sleep 60")
		in(t, c, i.cmd.Process.Pid)
		// It must be in every hierarchy, or some limit would not hold.
		for _, dir := range c.folders() {
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
		i := start(t, exec.Command("sh", "-c", "echo started; exec sleep 60"))
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
	// A shell that holds a string.
	enter(t, c, fmt.Sprintf("s=$(head -c %d /dev/zero | tr '\\0' x); echo held; read forever", held))
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
	c := h.make(t, limit(8<<20))
	// tail keeps a line without an end in memory.
	i := enter(t, c, "exec tail -n 1 /dev/zero")
	if !i.killed(t) {
		t.Errorf("it ended otherwise: %v", i.cmd.ProcessState)
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
		// Neither waits for SIGTERM's effect.
		const deaf = "trap '' TERM; exec sleep 60"
		inner := enter(t, below, deaf)
		// On version 2 only a leaf may hold processes once controllers are
		// handed down; here none are.
		outer := start(t, exec.Command("sh", "-c", "echo started; "+deaf))
		addErr := c.Add(outer.cmd.Process.Pid)
		if addErr != nil && !errors.Is(addErr, unix.EBUSY) {
			t.Fatal(addErr)
		}
		bystander := start(t, exec.Command("sh", "-c", "echo started; exec sleep 60"))
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
		killed := enter(t, child, "exec sleep 60")
		other, err := h.create(alive+"/"+dead, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.sweep(context.Background(), func(name string) bool { return name == alive }) })
		spared := enter(t, other, "exec sleep 60")

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
	for file, content := range map[string]string{"cgroup.controllers": "cpuset pids\n", "cgroup.subtree_control": ""} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := makeUnified(dir, "/c1"); err != nil {
		t.Fatal(err)
	}
	// Not memory and cpu, which this root has not, nor cpuset, which is not used.
	if b, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control")); string(b) != "+pids" || err != nil {
		t.Errorf("enabled %q, %v", b, err)
	}
	if err := makeUnified(dir, "/c1"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("again: error %v", err)
	}
	// The group above may be there.
	if err := makeUnified(dir, "/c1/inner"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "c1/cgroup.controllers") {
		t.Errorf("below: error %v", err)
	}
}
