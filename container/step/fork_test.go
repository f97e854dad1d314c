package step

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// forking is a program that makes a user and a PID namespace, whose first
// process it goes on as.
func forking(t *testing.T, out *os.File, args ...string) (*Program, *Fork, *Gate) {
	p := New()
	p.Phase("before")
	p.Call("unshare", unix.SYS_UNSHARE, Flag(unix.CLONE_NEWUSER|unix.CLONE_NEWPID, "CLONE_NEWUSER|CLONE_NEWPID"))
	f := p.Fork()
	p.Phase("after")
	g := p.Gate(10 * time.Second)
	p.Call("dup3", unix.SYS_DUP3, Int(out.Fd()), Int(1), Int(0))
	execve(p, nil, args...)
	return p, f, g
}

func TestFork(t *testing.T) {
	needClone(t)
	for range 20 {
		left := nothingLeft(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p, f, g := forking(t, w, path(t, "sh"), "-c", "echo $$ $PPID; exit 7")
		var first, second int
		c, err := p.Clone(t.Context(), Options{Cgroup: -1, Ready: func(pid int) error {
			first = pid
			var err error
			if second, err = f.Await(t.Context()); err != nil {
				return err
			}
			g.Open()
			return nil
		}})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		if c.PID != second || c.PID == first {
			t.Errorf("Clone gave process %d, which was %d, and forked %d", c.PID, first, second)
		}
		out, err := io.ReadAll(r)
		if err != nil || string(out) != "1 0\n" {
			t.Errorf("its number and its parent's inside: %q, %v", out, err)
		}
		if got := wait(t, c); got != 7 {
			t.Errorf("exit status %d", got)
		}
		if m := p.Marks(); len(m) != 2 {
			t.Errorf("marks: %v", m)
		}
		r.Close()
		left()
	}
}

// TestForkFails: whichever call fails, and whenever the parent gives up, neither
// process is left.
func TestForkFails(t *testing.T) {
	needClone(t)
	dev, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	p, _, _ := forking(t, dev, path(t, "true"))
	calls := p.Len()
	for at := 1; at <= calls; at++ {
		left := nothingLeft(t)
		p, _, g := forking(t, dev, path(t, "true"))
		p.FailAt = at
		c, err := p.Clone(t.Context(), Options{Cgroup: -1, Ready: func(int) error { g.Open(); return nil }})
		if e, ok := errors.AsType[*Error](err); !ok || e.Index != at || e.Errno != syscall.EIO {
			t.Errorf("call %d: %v, %v", at, c, err)
		}
		left()
	}
	why := errors.New("the parent's part failed")
	for name, ready := range map[string]func(cancel func(error), f *Fork, pid int) error{
		"Ready fails at once":  func(func(error), *Fork, int) error { return why },
		"cancelled":            func(cancel func(error), _ *Fork, _ int) error { cancel(why); return nil },
		"Ready fails after it": func(_ func(error), f *Fork, _ int) error { f.Await(t.Context()); return why },
		"cancelled after it":   func(cancel func(error), f *Fork, _ int) error { f.Await(t.Context()); cancel(why); return nil },
		"the first is killed":  func(_ func(error), _ *Fork, pid int) error { return unix.Kill(pid, unix.SIGKILL) },
		"the second is killed": func(_ func(error), f *Fork, _ int) error {
			pid, err := f.Await(t.Context())
			if err != nil {
				return err
			}
			return unix.Kill(pid, unix.SIGKILL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			left := nothingLeft(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			p, f, g := forking(t, dev, path(t, "true"))
			begin := time.Now()
			time.AfterFunc(5*time.Second, g.Open) // the first may be killed too late
			c, err := p.Clone(ctx, Options{Cgroup: -1, Ready: func(pid int) error { return ready(cancel, f, pid) }})
			if name == "the first is killed" && err == nil {
				wait(t, c)
			} else if !errors.Is(err, why) && !strings.Contains(err.Error(), "killed") {
				t.Errorf("error %v", err)
			}
			if d := time.Since(begin); d > 8*time.Second {
				t.Errorf("it took %v", d)
			}
			left()
		})
	}
}
