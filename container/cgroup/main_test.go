package cgroup

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// prefix begins the names of all groups of this process of tests.
var prefix = fmt.Sprintf("benchtest-%d-", os.Getpid())

const (
	actAs   = "CGROUP_TEST_ACT"   // what the test binary does instead of testing
	actInto = "CGROUP_TEST_ENTER" // descriptors of the tasks files to enter by
)

func TestMain(m *testing.M) {
	if what := os.Getenv(actAs); what != "" {
		act(what)
	}
	if os.Getenv(inGuest) != "" {
		furnish()
	}
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

// act is the process inside a group: this same program, so that the tests need
// no other, and run in a guest that has none.
func act(what string) {
	signal.Ignore(syscall.SIGTERM)
	// A 0 in a version 1 group's tasks moves the thread that writes it, and what
	// follows is to be done by that one.
	runtime.LockOSThread()
	for fd := range strings.FieldsSeq(os.Getenv(actInto)) {
		n, _ := strconv.Atoi(fd)
		if _, err := unix.Write(n, []byte("0")); err != nil {
			fmt.Fprintln(os.Stderr, "entering by", fd, err)
			os.Exit(1)
		}
	}
	fmt.Println("in")
	verb, arg, _ := strings.Cut(what, " ")
	switch verb {
	case "sleep":
		time.Sleep(time.Minute)
	case "count": // a line for each tick
		for i := 0; ; i++ {
			fmt.Println(i)
			time.Sleep(time.Millisecond)
		}
	case "spin":
		for begin := time.Now(); time.Since(begin) < time.Minute; {
		}
	case "hold":
		n, _ := strconv.Atoi(arg)
		b := make([]byte, n)
		for i := range b {
			b[i] = 'x'
		}
		fmt.Println("held")
		time.Sleep(time.Minute)
		fmt.Println(b[0])
	case "eat":
		for all := []byte("x"); ; {
			all = append(all, all...)
		}
	case "devices": // what it may do with each path
		for path := range strings.FieldsSeq(arg) {
			for name, flags := range map[string]int{"r": unix.O_RDONLY, "w": unix.O_WRONLY} {
				if fd, err := unix.Open(path, flags, 0); err == nil {
					unix.Close(fd)
					fmt.Println(path, name)
				} else if err != unix.EPERM {
					fmt.Println(path, name, err)
				}
			}
		}
		fmt.Println("end")
	}
	os.Exit(0)
}

// inGuest is set where the tests run as the only program of a virtual machine.
const inGuest = "CGROUP_TEST_GUEST"

// furnish mounts what a host's init would have.
func furnish() {
	for _, m := range []struct{ fs, at string }{{"tmpfs", "/tmp"}, {"cgroup2", "/sys/fs/cgroup"}} {
		if err := os.MkdirAll(m.at, 0o777); err != nil {
			panic(err)
		}
		if err := unix.Mount(m.fs, m.at, m.fs, 0, ""); err != nil && err != unix.EBUSY {
			panic(fmt.Errorf("mounting %s: %w", m.at, err))
		}
	}
}

// worker is a process that waits in a group. The test reaps it, so that it
// leaves the group when it is killed.
type worker struct {
	cmd  *exec.Cmd
	out  *bufio.Reader
	done chan struct{}
	// once it is done
	signal syscall.Signal
}

// enter starts a process by way of the group's entrances, or outside of any.
func enter(t testing.TB, c *Cgroup, what string) *worker {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	var into []string
	if c != nil {
		folder, tasks, err := c.Entrances()
		if err != nil {
			t.Fatal(err)
		}
		if folder != nil {
			defer folder.Close()
			cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(folder.Fd())
		}
		for i, f := range tasks {
			defer f.Close()
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
			into = append(into, strconv.Itoa(3+i))
		}
	}
	cmd.Env = append(os.Environ(), actAs+"="+what, actInto+"="+strings.Join(into, " "), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &worker{cmd: cmd, out: bufio.NewReader(out), done: make(chan struct{})}
	line, err := w.out.ReadString('\n')
	go func() {
		if st, err := cmd.Process.Wait(); err == nil {
			w.signal = st.Sys().(syscall.WaitStatus).Signal()
		}
		close(w.done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-w.done
		out.Close()
	})
	if line != "in\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return w
}

func (w *worker) pid() int { return w.cmd.Process.Pid }

// killed waits for the end of the process and tells whether SIGKILL ended it.
func (w *worker) killed(t *testing.T) bool {
	t.Helper()
	select {
	case <-w.done:
		return w.signal == syscall.SIGKILL
	case <-time.After(5 * time.Second):
		t.Error("a process of the group still runs")
		return false
	}
}

// needRoot skips a test that makes real groups, or fails it where BENCH_REQUIRE
// says that root is there.
func needRoot(t testing.TB) {
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

func nextName() string { return fmt.Sprintf("%s%d", prefix, groups.Add(1)) }

func itoa(n int) string { return strconv.Itoa(n) }

// make makes a group with a name that no other has.
func (h *Host) make(t *testing.T, r *specs.LinuxResources) *Cgroup {
	t.Helper()
	c, err := h.create(nextName(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Remove(context.Background()) })
	return c
}

// places are the folders where a host would have the group name.
func (h *Host) places(name string) []string {
	var list []string
	for _, c := range base {
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
