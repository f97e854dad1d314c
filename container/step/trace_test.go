package step

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTrace: what a program has made, in this process and in a child.
func TestTrace(t *testing.T) {
	build := func() (*Program, Result) {
		p := New()
		p.Trace()
		p.Phase("one")
		p.Step("open", "null")
		fd := p.Call("openat", unix.SYS_OPENAT, Cwd(), p.Str("/dev/null"), Flag(unix.O_RDONLY|unix.O_CLOEXEC, "O_RDONLY"))
		missing := p.Call("openat", unix.SYS_OPENAT, Cwd(), p.Str("/$1"), Int(0))
		p.Allow(unix.ENOENT)
		p.Call("close", unix.SYS_CLOSE, missing.Arg()) // is skipped
		p.Phase("two")
		p.Call("close", unix.SYS_CLOSE, fd.Arg())
		p.Call("nanosleep", unix.SYS_NANOSLEEP, Struct(p, unix.NsecToTimespec(int64(3*time.Millisecond)), "3ms"), Null())
		return p, fd
	}
	check := func(t *testing.T, made []Made, fd string) {
		t.Helper()
		want := [][4]string{
			{"one", "open null", `openat(AT_FDCWD, "/dev/null", O_RDONLY)`, "fd " + fd},
			{"one", "open null", `openat(AT_FDCWD, "/$1", 0)`, "ENOENT"},
			{"two", "", "close(fd " + fd + ")", ""},
			{"two", "", "nanosleep(3ms, NULL)", ""},
		}
		if len(made) < len(want) {
			t.Fatalf("%d calls: %+v", len(made), made)
		}
		for i, w := range want {
			if m := made[i]; m.Phase != w[0] || m.Step != w[1] || m.Call != w[2] || m.Result != w[3] || m.Failed || m.Waits {
				t.Errorf("call %d is %+v, want %q", i, m, w)
			}
			if m := made[i]; m.End < m.Begin || i > 0 && m.Begin < made[i-1].End {
				t.Errorf("call %d took from %d to %d, after %d", i, m.Begin, m.End, made[max(i-1, 0)].End)
			}
		}
		if took := made[3].End - made[3].Begin; took < int64(3*time.Millisecond) {
			t.Errorf("a sleep of 3 ms took %d ns", took)
		}
	}
	t.Run("here", func(t *testing.T) {
		p, fd := build()
		if err := undisturbed(t, p); err != nil {
			t.Fatal(err)
		}
		check(t, p.Made(), strconv.Itoa(p.Value(fd)))
		if begin, end := p.Cloned(); begin != 0 || end != 0 {
			t.Error("it made no child")
		}
	})
	t.Run("in a child", func(t *testing.T) {
		p, fd := build()
		gate := p.Gate(10 * time.Second)
		p.Call("execve", unix.SYS_EXECVE, p.Str("/bin/true"), p.Vector([]string{"true"}, "argv"), p.Vector(os.Environ(), "envp"))
		before := monotonic(true)
		child, err := p.Clone(context.Background(), Options{Cgroup: -1, Ready: func(int) error {
			time.Sleep(5 * time.Millisecond)
			gate.Open()
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		unix.Waitid(unix.P_PIDFD, child.PIDFD, nil, unix.WEXITED, nil)
		unix.Close(child.PIDFD)
		made := p.Made()
		check(t, made, strconv.Itoa(p.Value(fd)))
		if len(made) != 6 || !made[4].Waits || made[5].Call != `execve("/bin/true", argv, envp)` || made[5].End <= made[5].Begin {
			t.Errorf("the end is %+v", made[4:])
		}
		if begin, end := p.Cloned(); begin < before || end <= begin || made[0].Begin < begin {
			t.Errorf("cloned from %d to %d, begun after %d; the child's first call began at %d", begin, end, before, made[0].Begin)
		}
	})
	t.Run("that fails", func(t *testing.T) {
		p, _ := build()
		p.FailAt = 6 // close, the first of phase two
		if err := p.Run(); err == nil {
			t.Fatal("it did not fail")
		}
		made := p.Made()
		if last := made[len(made)-1]; !last.Failed || last.Result != "EIO" || !strings.HasPrefix(last.Call, "close(fd ") {
			t.Errorf("the last call is %+v", last)
		}
	})
	t.Run("not asked for", func(t *testing.T) {
		p := New()
		p.Call("getpid", unix.SYS_GETPID)
		if err := p.Run(); err != nil || p.Made() != nil {
			t.Errorf("%v, %v", err, p.Made())
		}
	})
}
