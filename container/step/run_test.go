package step

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// openFile appends an openat.
func openFile(p *Program, path string) Result {
	return p.Call("openat", unix.SYS_OPENAT, Cwd(), p.Str(path), Flag(unix.O_RDONLY|unix.O_CLOEXEC, "O_RDONLY|O_CLOEXEC"))
}

// isOpen tells whether fd is a descriptor of this process.
func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

const missing = "/benchtest/missing"

// TestConditions runs small programs in this process, and says for each call
// what its result is: "ok", an errno, or "-" if it was not made.
func TestConditions(t *testing.T) {
	pid := func(p *Program) { p.Call("getpid", unix.SYS_GETPID) }
	for _, tt := range []struct {
		name  string
		build func(*Program)
		want  string
		err   string // of Run; "" is none
	}{
		{"nothing", func(*Program) {}, "", ""},
		{"all succeed", func(p *Program) { pid(p); pid(p) }, "ok ok", ""},
		{"a failure ends it", func(p *Program) { pid(p); openFile(p, missing); pid(p) }, "ok - -",
			`start: openat(AT_FDCWD, "/benchtest/missing", O_RDONLY|O_CLOEXEC): no such file or directory`},
		{"an allowed failure", func(p *Program) { openFile(p, missing); p.Allow(syscall.EACCES, syscall.ENOENT); pid(p) }, "ENOENT ok", ""},
		{"three may be allowed", func(p *Program) { openFile(p, missing); p.Allow(syscall.EACCES, syscall.EPERM, syscall.ENOENT) }, "ENOENT", ""},
		{"allowed in two steps", func(p *Program) { openFile(p, missing); p.Allow(syscall.ENOENT); p.Allow(syscall.EACCES) }, "ENOENT", ""},
		{"another failure than is allowed", func(p *Program) { openFile(p, missing); p.Allow(syscall.EACCES); pid(p) }, "- -",
			"no such file or directory"},
		{"what uses a failed result is skipped", func(p *Program) {
			f := openFile(p, missing)
			p.Allow(syscall.ENOENT)
			dup := p.Call("dup", unix.SYS_DUP, f.Arg())
			p.Call("close", unix.SYS_CLOSE, dup.Arg()) // and what uses that, in turn
			p.Call("close", unix.SYS_CLOSE, f.Arg())
			pid(p)
		}, "ENOENT - - - ok", ""},
		{"if it succeeds", func(p *Program) {
			f := openFile(p, "/")
			p.If(f, func() { pid(p); p.Call("close", unix.SYS_CLOSE, f.Arg()) })
			p.Unless(f, func() { openFile(p, missing) })
			pid(p)
		}, "ok ok ok - ok", ""},
		{"if it fails", func(p *Program) {
			f := openFile(p, missing)
			p.Allow(syscall.ENOENT)
			p.If(f, func() { pid(p) })
			p.Unless(f, func() { pid(p) })
			pid(p)
		}, "ENOENT - ok ok", ""},
		{"neither succeeded nor failed", func(p *Program) {
			f := openFile(p, missing)
			p.Allow(syscall.ENOENT)
			var inner Result
			p.If(f, func() { inner = openFile(p, missing) })
			p.If(inner, func() { pid(p) })
			p.Unless(inner, func() { pid(p) })
		}, "ENOENT - - -", ""},
		{"within each other", func(p *Program) {
			f := openFile(p, missing)
			p.Allow(syscall.ENOENT)
			p.Unless(f, func() {
				g := openFile(p, missing)
				p.Allow(syscall.ENOENT)
				p.If(g, func() { pid(p) })
				p.Unless(g, func() { pid(p) })
				pid(p) // of the outer again
			})
			p.If(f, func() { pid(p) })
		}, "ENOENT ENOENT - ok ok -", ""},
		{"must be zero, and is", func(p *Program) {
			p.Call("umask", unix.SYS_UMASK, Octal(0))
			p.Call("umask", unix.SYS_UMASK, Octal(0o022))
			p.MustBeZero()
		}, "ok ok", ""},
		{"must be zero, and is not", func(p *Program) { pid(p); p.MustBeZero(); pid(p) }, "- -", "start: getpid(): input/output error"},
		{"the phase", func(p *Program) { p.Phase("a"); p.Phase("b"); openFile(p, missing); p.Phase("c") }, "ok ok - -", "b: openat("},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old := syscall.Umask(0o022)
			defer syscall.Umask(old)
			p := New()
			tt.build(p)
			for i := range p.calls {
				p.calls[i].ret = notMade
			}
			err := p.Run()
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			var got []string
			for i := range p.calls {
				switch v := p.Value(Result{i}); {
				case v >= 0:
					got = append(got, "ok")
				case p.calls[i].ret == notMade:
					got = append(got, "-")
				default:
					got = append(got, unix.ErrnoName(syscall.Errno(-v)))
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("results %s\nwant    %s\n%s", got, tt.want, p)
			}
		})
	}
}

// TestResults: the result of a call is an argument of others, and Value gives
// it afterwards.
func TestResults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := New()
	f := openFile(p, file)
	buffer := make([]byte, 16)
	n := p.Call("pread64", unix.SYS_PREAD64, f.Arg(), p.Bytes(buffer, "&buffer"), Int(len(buffer)), Int(3))
	none := openFile(p, missing)
	p.Allow(syscall.ENOENT)
	p.Call("close", unix.SYS_CLOSE, f.Arg())
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	if got := string(buffer[:p.Value(n)]); got != "tent" {
		t.Errorf("read %q", got)
	}
	if got := p.Value(none); got != -int(syscall.ENOENT) {
		t.Errorf("the value of an allowed failure is %d", got)
	}
	if isOpen(p.Value(f)) {
		t.Error("the file is still open")
	}
}

func TestFailAt(t *testing.T) {
	build := func(at int) *Program {
		p := New()
		p.Phase("first")
		openFile(p, missing)
		p.Allow(syscall.ENOENT)
		p.Phase("second")
		p.Call("getpid", unix.SYS_GETPID)
		p.FailAt = at
		return p
	}
	for at, want := range []*Error{
		nil,
		{"first", `clock_gettime(CLOCK_MONOTONIC, &"first")`, 1, syscall.EIO},
		{"first", `openat(AT_FDCWD, "/benchtest/missing", O_RDONLY|O_CLOEXEC)`, 2, syscall.EIO},
		{"second", `clock_gettime(CLOCK_MONOTONIC, &"second")`, 3, syscall.EIO},
		{"second", "getpid()", 4, syscall.EIO},
		nil,
	} {
		err := build(at).Run()
		var got *Error
		errors.As(err, &got)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want == nil) {
			t.Errorf("call %d fails: %v %s", at, err, diff)
		}
		if want != nil && !errors.Is(err, unix.EIO) {
			t.Errorf("call %d fails: %v is not EIO", at, err)
		}
	}
}

// TestRunCloses: what the calls before a failure opened does not stay open; what
// they closed again may be somebody else's by now.
func TestRunCloses(t *testing.T) {
	p := New()
	kept := openFile(p, "/")
	closed := openFile(p, "/")
	p.Call("close", unix.SYS_CLOSE, closed.Arg())
	// Takes the number that has just become free, and is not one of the calls
	// that open.
	again := p.Call("fcntl", unix.SYS_FCNTL, kept.Arg(), Flag(unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"), closed.Arg())
	socket := p.Call("socket", unix.SYS_SOCKET, Flag(unix.AF_UNIX, "AF_UNIX"), Flag(unix.SOCK_STREAM, "SOCK_STREAM"), Int(0))
	none := openFile(p, missing)
	p.Allow(syscall.ENOENT)
	p.Call("close", unix.SYS_CLOSE, none.Arg()) // skipped
	p.Call("close", unix.SYS_CLOSE, Int(-1))
	later := openFile(p, "/")
	for i := range p.calls {
		p.calls[i].ret = notMade
	}
	if err := p.Run(); !errors.Is(err, unix.EBADF) {
		t.Fatalf("error %v", err)
	}
	defer unix.Close(p.Value(again))
	if p.Value(again) != p.Value(closed) {
		t.Fatalf("descriptor %d was not given again, but %d: another test runs beside this one", p.Value(closed), p.Value(again))
	}
	for _, r := range []Result{kept, socket} {
		if isOpen(p.Value(r)) {
			t.Errorf("descriptor %d of call %d stays open", p.Value(r), r.index+1)
		}
	}
	if !isOpen(p.Value(again)) {
		t.Error("a descriptor was closed that the program had closed already")
	}
	if p.Value(later) >= 0 {
		t.Error("a call after the failure was made")
	}
}

// TestRunKeeps: without a failure, what is open is the caller's.
func TestRunKeeps(t *testing.T) {
	p := New()
	f := openFile(p, "/")
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	if !isOpen(p.Value(f)) {
		t.Error("it was closed")
	}
	unix.Close(p.Value(f))
}
