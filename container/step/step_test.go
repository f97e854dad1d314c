package step

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestString holds the text of a program, with every kind of argument and of
// note.
func TestString(t *testing.T) {
	p := New()
	fd := p.Call("openat", unix.SYS_OPENAT, Cwd(), p.Str("/tmp/\"a\"\n"), Flag(unix.O_RDONLY|unix.O_CLOEXEC, "O_RDONLY|O_CLOEXEC"))
	p.Allow(syscall.ENOENT, syscall.ENOTDIR)
	p.Phase("copy")
	p.If(fd, func() {
		p.Call("read", unix.SYS_READ, fd.Arg(), p.Bytes(make([]byte, 4), "&buffer"), Int(4))
		p.MustBeZero()
	})
	p.Unless(fd, func() {
		p.Call("mkdirat", unix.SYS_MKDIRAT, Cwd(), p.Str(""), Octal(0o755))
		p.Allow(syscall.EEXIST)
	})
	p.Call("mount", unix.SYS_MOUNT, Null(), p.Bytes(nil, "unused"), Int(uint64(1)<<40), Int(-1))
	p.Phase("exec")
	p.Gate(10 * time.Second)
	p.Call("execve", unix.SYS_EXECVE, p.Str("/bin/true"), p.Vector([]string{"true"}, `["true"]`), p.Vector(nil, "[]"))
	want := `$1 = openat(AT_FDCWD, "/tmp/\"a\"\n", O_RDONLY|O_CLOEXEC) (ENOENT allowed) (ENOTDIR allowed)
# copy
$2 = clock_gettime(CLOCK_MONOTONIC, &"copy")
$3 = read($1, &buffer, 4) (if $1)
$4 = mkdirat(AT_FDCWD, "", 0755) (unless $1) (EEXIST allowed)
$5 = mount(NULL, NULL, 1099511627776, -1)
# exec
$6 = clock_gettime(CLOCK_MONOTONIC, &"exec")
$7 = clock_gettime(CLOCK_MONOTONIC, &reached)
$8 = futex(&reached, FUTEX_WAKE, 1)
$9 = futex(&gate, FUTEX_WAIT, 0, 10s) (EAGAIN allowed)
$10 = execve("/bin/true", ["true"], [])
`
	if diff := cmp.Diff(want, p.String()); diff != "" {
		t.Error(diff)
	}
	if p.Len() != 10 {
		t.Errorf("%d calls, want 10", p.Len())
	}
	if got := New().String(); got != "" {
		t.Errorf("an empty program is %q", got)
	}
}

func TestStrRefusesNUL(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(*Program)
	}{
		{"string", func(p *Program) { p.Str("a\x00b") }},
		{"vector", func(p *Program) { p.Vector([]string{"good", "a\x00b"}, "argv") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if r, _ := recover().(string); !strings.Contains(r, `"a\x00b" holds a NUL`) {
					t.Errorf("it panicked with %q", r)
				}
			}()
			tt.make(New())
		})
	}
}

// pointer is an argument as an address. It takes the detour over a pointer to
// it, since vet takes a number for an address that may be good no longer; the
// program keeps these.
func pointer[T any](value uintptr) *T { return *(**T)(unsafe.Pointer(&value)) }

// text is the string at an address, up to its NUL.
func text(value uintptr) string { return unix.BytePtrToString(pointer[byte](value)) }

// TestMemory holds what the kernel will find at the addresses.
func TestMemory(t *testing.T) {
	p := New()
	for _, want := range []string{"path", ""} {
		if got := text(p.Str(want).value); got != want {
			t.Errorf("the string %q is %q", want, got)
		}
	}
	type pair struct {
		a uint32
		b uint64
	}
	v := pair{1, 2}
	s := Struct(p, v, "{1, 2}")
	v.a, v.b = 3, 4 // the program has a copy
	if got := *pointer[pair](s.value); got != (pair{1, 2}) {
		t.Errorf("a struct is %v", got)
	}
	argv := *pointer[[4]uintptr](p.Vector([]string{"sh", "-c", ""}, "argv").value)
	var got []string
	for _, a := range argv[:3] {
		got = append(got, text(a))
	}
	if diff := cmp.Diff([]string{"sh", "-c", ""}, got); diff != "" || argv[3] != 0 {
		t.Errorf("%s, and at its end %#x", diff, argv[3])
	}
	if end := *pointer[uintptr](p.Vector(nil, "envp").value); end != 0 {
		t.Errorf("an empty vector has %#x at its end", end)
	}
}

func TestMarks(t *testing.T) {
	clock := func() int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		return ts.Nano()
	}
	p := New()
	p.Phase("one")
	const pause = 2 * time.Millisecond
	ok := p.Call("nanosleep", unix.SYS_NANOSLEEP, Struct(p, unix.NsecToTimespec(int64(pause)), "2ms"), Null())
	p.Phase("two")
	p.Unless(ok, func() { p.Phase("not reached, by a condition") })
	p.Call("close", unix.SYS_CLOSE, Int(-1))
	p.Phase("not reached, after a failure")
	if got := p.Marks(); len(got) != 0 {
		t.Errorf("marks before it ran: %v", got)
	}
	before := clock()
	err := undisturbed(t, p)
	after := clock()
	if err == nil {
		t.Fatal("close(-1) succeeded")
	}
	got := p.Marks()
	if len(got) != 2 || got[0].Phase != "one" || got[1].Phase != "two" {
		t.Fatalf("marks %v, want one and two", got)
	}
	if got[0].Ns < before || got[1].Ns < got[0].Ns+int64(pause) || got[1].Ns > after {
		t.Errorf("marks %v are not in order between %d and %d", got, before, after)
	}
}

// undisturbed runs a program that sleeps: the runtime's signals (SIGURG, to
// preempt) would cut that short.
func undisturbed(t *testing.T, p *Program) error {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old); err != nil {
		t.Fatal(err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	return p.Run()
}
