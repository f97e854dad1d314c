package step

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func needClone(t *testing.T) {
	t.Helper()
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skipf("clone3 is not written for %s yet", runtime.GOARCH)
	}
}

func path(t *testing.T, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func execve(p *Program, env []string, args ...string) {
	p.Call("execve", unix.SYS_EXECVE, p.Str(args[0]), p.Vector(args, "argv"), p.Vector(env, "envp"))
}

// wait reaps a child, and gives its exit status; -1 for one that was killed.
func wait(t *testing.T, c Child) int {
	t.Helper()
	var ws unix.WaitStatus
	for {
		_, err := unix.Wait4(c.PID, &ws, 0, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
	if err := unix.Close(c.PIDFD); err != nil {
		t.Errorf("closing its pidfd: %v", err)
	}
	return ws.ExitStatus()
}

// descriptors are those of this process.
func descriptors(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		// But not that of the folder itself, which is closed by now.
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			list = append(list, e.Name()+" "+to)
		}
	}
	return list
}

// nothingLeft returns a function that looks for children and descriptors that
// were not there when nothingLeft was called.
func nothingLeft(t *testing.T) func() {
	before := descriptors(t)
	return func() {
		t.Helper()
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
			t.Errorf("child %d was not reaped (%v)", pid, err)
		}
		if diff := cmp.Diff(before, descriptors(t)); diff != "" {
			t.Errorf("descriptors: %s", diff)
		}
	}
}

func TestClone(t *testing.T) {
	needClone(t)
	for _, tt := range []struct {
		program string
		status  int
	}{{"true", 0}, {"false", 1}} {
		left := nothingLeft(t)
		p := New()
		p.Phase("exec")
		execve(p, nil, path(t, tt.program))
		c, err := p.Clone(t.Context(), Options{Cgroup: -1})
		if err != nil {
			t.Fatal(err)
		}
		if pid, err := unix.Getpgid(c.PID); err != nil || pid != unix.Getpgrp() {
			t.Errorf("child %d has the process group %d, %v", c.PID, pid, err)
		}
		if got := wait(t, c); got != tt.status {
			t.Errorf("%s ended with status %d", tt.program, got)
		}
		if got := p.Marks(); len(got) != 1 || got[0].Phase != "exec" {
			t.Errorf("marks %v, want exec", got)
		}
		left()
	}
}

// TestCloneState: what the calls before the execve set, the program has. All
// signals are blocked until the program is let have them.
func TestCloneState(t *testing.T) {
	needClone(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := New()
	p.Call("dup3", unix.SYS_DUP3, Int(w.Fd()), Int(1), Int(0))
	p.Call("chdir", unix.SYS_CHDIR, p.Str("/proc"))
	p.Call("setsid", unix.SYS_SETSID)
	p.Call("rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, Flag(unix.SIG_SETMASK, "SIG_SETMASK"), Struct(p, uint64(1<<(unix.SIGUSR1-1)), "[USR1]"), Null(), Int(8))
	execve(p, []string{"A=1", "B=two words"}, path(t, "sh"), "-c", `echo "$0|$1|$A|$B"; pwd; kill -USR1 $$; echo blocked; kill -TERM $$; echo survived`, "zero", "one")
	c, err := p.Clone(t.Context(), Options{Cgroup: -1})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := wait(t, c); got != -1 {
		t.Errorf("exit status %d, want that of a program that a signal killed", got)
	}
	if got, want := string(out), "zero|one|1|two words\n/proc\nblocked\n"; got != want {
		t.Errorf("it printed %q, want %q", got, want)
	}
}

func TestCloneFails(t *testing.T) {
	needClone(t)
	build := func(last string) *Program {
		p := New()
		p.Phase("look")
		f := openFile(p, "/")
		p.Call("close", unix.SYS_CLOSE, f.Arg())
		p.Phase("exec")
		execve(p, nil, last)
		return p
	}
	for _, tt := range []struct {
		name   string
		last   string
		failAt int
		want   *Error
	}{
		{"the execve fails", missing, 0, &Error{"exec", `execve("/benchtest/missing", argv, envp)`, 5, syscall.ENOENT}},
		{"it is not a program", "/", 0, &Error{"exec", `execve("/", argv, envp)`, 5, syscall.EACCES}},
		{"the first call", path(t, "true"), 1, &Error{"look", `clock_gettime(CLOCK_MONOTONIC, &"look")`, 1, syscall.EIO}},
		{"the second", path(t, "true"), 2, &Error{"look", `openat(AT_FDCWD, "/", O_RDONLY|O_CLOEXEC)`, 2, syscall.EIO}},
		{"the third", path(t, "true"), 3, &Error{"look", "close($2)", 3, syscall.EIO}},
		{"the last", path(t, "true"), 5, &Error{"exec", `execve("` + path(t, "true") + `", argv, envp)`, 5, syscall.EIO}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			left := nothingLeft(t)
			p := build(tt.last)
			p.FailAt = tt.failAt
			c, err := p.Clone(t.Context(), Options{Cgroup: -1})
			var got *Error
			errors.As(err, &got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%v: %s", err, diff)
			}
			if !errors.Is(err, tt.want.Errno) || err.Error() != tt.want.Phase+": "+tt.want.Call+": "+tt.want.Errno.Error() {
				t.Errorf("error %q", err)
			}
			if c != (Child{}) {
				t.Errorf("it gave a child: %v", c)
			}
			left()
		})
	}
}

// TestCloneRefused: clone3 itself fails.
func TestCloneRefused(t *testing.T) {
	needClone(t)
	left := nothingLeft(t)
	build := func() *Program {
		p := New()
		execve(p, nil, path(t, "true"))
		return p
	}
	_, err := build().Clone(t.Context(), Options{Cgroup: 1 << 20, Flags: unix.CLONE_NEWUTS | unix.CLONE_NEWUSER, Ready: func(int) error {
		t.Error("Ready was called without a child")
		return nil
	}})
	if !errors.Is(err, unix.EBADF) || err.Error() != "clone3(NEWUSER|NEWUTS|INTO_CGROUP): bad file descriptor" {
		t.Errorf("error %v", err)
	}
	// A process cannot share the signal handlers that it clears (clone(2)).
	if _, err := build().Clone(t.Context(), Options{Cgroup: -1, Flags: unix.CLONE_SIGHAND}); !errors.Is(err, unix.EINVAL) || err.Error() != "clone3(no namespaces): invalid argument" {
		t.Errorf("error %v", err)
	}
	left()
}

// gated is a program that waits at its gate, and then runs true(1).
func gated(t *testing.T) (*Program, *Gate) {
	p := New()
	g := p.Gate(10 * time.Second)
	p.Phase("past the gate")
	execve(p, nil, path(t, "true"))
	return p, g
}

func TestGate(t *testing.T) {
	needClone(t)
	for _, tt := range []struct {
		name  string
		delay time.Duration // the child is likely to come to the gate before, and after
	}{{"open already", 0}, {"waits", 20 * time.Millisecond}} {
		t.Run(tt.name, func(t *testing.T) {
			left := nothingLeft(t)
			p, g := gated(t)
			var pid int
			var opened unix.Timespec
			c, err := p.Clone(t.Context(), Options{Cgroup: -1, Ready: func(child int) error {
				pid = child
				time.Sleep(tt.delay)
				if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &opened); err != nil {
					return err
				}
				g.Open()
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			if pid != c.PID {
				t.Errorf("Ready got child %d, Clone %d", pid, c.PID)
			}
			if got := wait(t, c); got != 0 {
				t.Errorf("exit status %d", got)
			}
			if got := p.Marks(); len(got) != 1 || got[0].Ns < opened.Nano() {
				t.Errorf("marks %v: the gate was opened at %d", got, opened.Nano())
			}
			left()
		})
	}
}

// TestCheckpointJustBooted: on a machine's clock the first second is 0, and a whole one
// has no nanoseconds.
func TestCheckpointJustBooted(t *testing.T) {
	for _, at := range []unix.Timespec{{Nsec: 5}, {Sec: 1}} {
		p := New()
		c := p.Checkpoint()
		c.at, p.running = at, new(state)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Await(ctx); err != nil {
			t.Errorf("the child came at %v: %v", at, err)
		}
	}
}

// TestGateStaysShut: whatever keeps the parent from opening it, the child ends
// and is reaped.
func TestGateStaysShut(t *testing.T) {
	needClone(t)
	why := errors.New("the parent's part failed")
	for _, tt := range []struct {
		name  string
		ready func(cancel context.CancelCauseFunc) func(pid int) error
		want  string
	}{
		{"Ready fails", func(context.CancelCauseFunc) func(int) error {
			return func(int) error { return why }
		}, why.Error()},
		{"cancelled", func(cancel context.CancelCauseFunc) func(int) error {
			return func(int) error { cancel(why); return nil }
		}, "waiting for the child's execve: " + why.Error()},
		{"cancelled while it waits", func(cancel context.CancelCauseFunc) func(int) error {
			return func(int) error { time.AfterFunc(20*time.Millisecond, func() { cancel(why) }); return nil }
		}, "waiting for the child's execve: " + why.Error()},
		{"cancelled with nothing to do", func(cancel context.CancelCauseFunc) func(int) error {
			time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
			return nil
		}, "waiting for the child's execve: " + why.Error()},
		{"the child is killed", func(context.CancelCauseFunc) func(int) error {
			return func(pid int) error { return unix.Kill(pid, unix.SIGKILL) }
		}, "the child was killed before its execve (call N of 5)"}, // how far it has come, nobody knows
	} {
		t.Run(tt.name, func(t *testing.T) {
			left := nothingLeft(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			p, _ := gated(t)
			begin := time.Now()
			c, err := p.Clone(ctx, Options{Cgroup: -1, Ready: tt.ready(cancel)})
			if err == nil || err.Error() != tt.want && !(regexp.MustCompile(`call [0-3] `).ReplaceAllString(err.Error(), "call N ") == tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if strings.Contains(tt.want, why.Error()) && !errors.Is(err, why) {
				t.Errorf("error %v does not wrap its cause", err)
			}
			if c != (Child{}) {
				t.Errorf("it gave a child: %v", c)
			}
			if d := time.Since(begin); d > 5*time.Second { // the gate's own limit is ten
				t.Errorf("it took %v", d)
			}
			if got := p.Marks(); len(got) != 0 {
				t.Errorf("the child passed the gate: %v", got)
			}
			left()
		})
	}
}

func TestCloneCancelledBefore(t *testing.T) {
	needClone(t)
	left := nothingLeft(t)
	why := errors.New("the run is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	p, _ := gated(t)
	if _, err := p.Clone(ctx, Options{Cgroup: -1, Ready: func(int) error {
		t.Error("a child was made")
		return nil
	}}); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	left()
}

// TestCloneNamespaces: the child is in new namespaces, where it is PID 1 and
// has all capabilities, and Ready gives it its IDs while it waits.
func TestCloneNamespaces(t *testing.T) {
	needClone(t)
	if os.Geteuid() != 0 {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "root") {
			t.Fatal("BENCH_REQUIRE holds root, and this is not root")
		}
		t.Skip("makes namespaces: run as root: sudo scripts/test")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := New()
	g := p.Gate(10 * time.Second)
	p.Call("sethostname", unix.SYS_SETHOSTNAME, p.Str("inside"), Int(6))
	p.Call("dup3", unix.SYS_DUP3, Int(w.Fd()), Int(1), Int(0))
	execve(p, nil, path(t, "sh"), "-c", "echo $$; cat /proc/sys/kernel/hostname; id -u")
	c, err := p.Clone(t.Context(), Options{Cgroup: -1, Flags: unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWUSER, Ready: func(pid int) error {
		defer g.Open()
		return os.WriteFile("/proc/"+strconv.Itoa(pid)+"/uid_map", []byte("7 100000 1"), 0)
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, c)
	if got, want := string(out), "1\ninside\n65534\n"; got != want {
		t.Errorf("it printed %q, want %q", got, want)
	}
	host, err := os.Hostname()
	if err != nil || host == "inside" {
		t.Errorf("the host is called %q, %v", host, err)
	}
}

func TestCloneConcurrently(t *testing.T) {
	needClone(t)
	left := nothingLeft(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 10 {
				p, g := gated(t)
				fails := n%2 == 1
				if fails {
					p.FailAt = p.Len()
				}
				c, err := p.Clone(t.Context(), Options{Cgroup: -1, Ready: func(int) error {
					runtime.GC() // what only the child still uses must not go
					g.Open()
					return nil
				}})
				if fails != errors.Is(err, unix.EIO) {
					t.Error(err)
				}
				if err == nil {
					wait(t, c)
				}
			}
		})
	}
	wg.Wait()
	left()
}

// TestParentThread: all children have one thread as their parent, which is
// nobody else's.
func TestParentThread(t *testing.T) {
	var first, second int
	OnParentThread(func() { first = unix.Gettid() })
	done := make(chan int)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		OnParentThread(func() { second = unix.Gettid() })
		done <- unix.Gettid()
	}()
	if here := <-done; first != second || here == first {
		t.Errorf("the parent threads are %d and %d, and this one is %d", first, second, here)
	}
}

func TestSelf(t *testing.T) {
	fd, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Self()
	if err != nil || fd != again {
		t.Errorf("a second one, %d and %d, %v", fd, again, err)
	}
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		t.Fatal(err)
	}
	if want := "\nPid:\t" + strconv.Itoa(os.Getpid()) + "\n"; !bytes.Contains(b, []byte(want)) {
		t.Errorf("it is not this process's: %s", b)
	}
}
