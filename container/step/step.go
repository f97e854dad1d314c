// Package step is a list of system calls as data, and the loop that makes them.
//
// Between clone(2) and execve(2) a container runtime has to make about a
// hundred system calls in the child: join a cgroup, mount, pivot, drop
// privileges. A Go program cannot run Go there, since the child has none of
// the runtime's other threads; runc and others therefore execute themselves
// again, or enter through C. Here the child interprets: a [Program] is built
// ahead, in the parent, by ordinary Go code, and is a flat list of calls whose
// arguments are numbers, addresses of prepared memory, or the results of
// earlier calls. One loop that needs no stack to speak of, no memory and no
// runtime makes them in turn (run.go).
//
// One structure serves many needs: it prints like strace, so that a golden
// test can hold it without root; it times its own phases, by a clock_gettime
// call in the list; and since each call is an element, a test can make each
// one fail.
package step

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Program is a list of system calls. Build it with [Program.Call] and its
// siblings, then run it with [Program.Clone] in a new process or with
// [Program.Run] in this one. A Program runs once.
type Program struct {
	calls []call
	names []name
	args  []Arg // of all calls, one after the other
	marks []mark
	// memory keeps alive what the arguments point to. The garbage collector
	// does not move heap objects, so their addresses stay good.
	memory      [][]byte
	free        []byte // what is left of the last piece that keep has taken
	gates       []*Gate
	checkpoints []*Checkpoint
	holds       []*Hold
	running     *state
	fork        *cloneArgs // nil for one that does not
	cond        int16      // of the calls that are appended now

	steps      []namedStep
	traced     bool
	stamps     []unix.Timespec // when it began, and when each call ended
	cloned     [2]int64        // when the parent began to make the child, and had
	executedAt int64           // when the parent saw that it had executed its program

	// FailAt makes the call of this number fail with EIO without making it:
	// for tests. Calls count from 1; 0 is none.
	FailAt int
}

// call is what the loop reads. Its layout is the loop's business alone.
type call struct {
	nr   uintptr
	args [6]uintptr
	// from replaces args[i] by the result of call from[i]-1, where not 0.
	from [6]uint16
	// allow are the errnos that do not end the program. The result of such a
	// call is -errno, and calls that use it are skipped.
	allow [3]uint16
	zero  bool    // the result must be 0
	cond  int16   // n: only if call n-1 succeeded; -n: only if it failed
	ret   uintptr // the result
}

// name is what a call looks like to people. It is put into words only for those
// who ask: most programs just run.
type name struct {
	call  string
	args  int // the first of them in Program.args
	nargs int
	own   bool // it does nothing for the container
}

type mark struct {
	phase string
	call  int
	at    *unix.Timespec
}

// An Arg is an argument of a call.
type Arg struct {
	value uintptr
	text  string
	from  uint16
	kind  kind
}

// kind is how an argument is put into words.
type kind uint8

const (
	named    kind = iota // by its text
	quoted               // by its text, in quotes
	signed               // by its value
	unsigned             // by its value
	octal                // by its value
	result               // by the number of the call that returns it
)

// String is what strace(1) prints.
func (a Arg) String() string {
	switch a.kind {
	case quoted:
		return strconv.Quote(a.text)
	case signed:
		return strconv.FormatInt(int64(a.value), 10)
	case unsigned:
		return strconv.FormatUint(uint64(a.value), 10)
	case octal:
		return fmt.Sprintf("%#o", a.value)
	case result:
		return "$" + strconv.Itoa(int(a.from))
	}
	return a.text
}

// Result is what a call returned, for use as an argument of later calls.
type Result struct{ index int }

// New returns an empty program, with room for a container's.
func New() *Program {
	return &Program{calls: make([]call, 0, 320), names: make([]name, 0, 320), args: make([]Arg, 0, 1280), steps: make([]namedStep, 0, 64)}
}

// MaxLen is how many calls a program may have: they are named by 15 bits.
const MaxLen = 1<<15 - 1

// Len is the number of calls.
func (p *Program) Len() int { return len(p.calls) }

// Call appends the system call nr.
func (p *Program) Call(title string, nr uintptr, args ...Arg) Result {
	c := call{nr: nr, cond: p.cond}
	for i, a := range args {
		c.args[i], c.from[i] = a.value, a.from
	}
	p.calls = append(p.calls, c)
	p.names = append(p.names, name{call: title, args: len(p.args), nargs: len(args)})
	p.args = append(p.args, args...)
	return Result{len(p.calls) - 1}
}

// words is a call without the conditions on it.
func (p *Program) words(i int) string {
	n := p.names[i]
	texts := make([]string, n.nargs)
	for k, a := range p.args[n.args : n.args+n.nargs] {
		texts[k] = a.String()
	}
	return n.call + "(" + strings.Join(texts, ", ") + ")"
}

// note is the conditions on a call.
func (c *call) note() (text string) {
	if c.cond > 0 {
		text = fmt.Sprintf(" (if $%d)", c.cond)
	} else if c.cond < 0 {
		text = fmt.Sprintf(" (unless $%d)", -c.cond)
	}
	for _, e := range c.allow {
		if e != 0 {
			text += " (" + unix.ErrnoName(syscall.Errno(e)) + " allowed)"
		}
	}
	return text
}

// Allow lets the last call fail with one of these errnos, three in all. Later
// calls that use its result are then skipped: so "close the descriptor if there
// is one" needs no branch.
func (p *Program) Allow(errnos ...syscall.Errno) {
	c := &p.calls[len(p.calls)-1]
	for _, e := range errnos {
		c.allow[slices.Index(c.allow[:], 0)] = uint16(e)
	}
}

// If appends the calls that body appends, to be made only if r succeeded.
func (p *Program) If(r Result, body func()) { p.when(int16(r.index+1), body) }

// Unless appends calls that are made only if r failed in a way that it may.
func (p *Program) Unless(r Result, body func()) { p.when(-int16(r.index+1), body) }

func (p *Program) when(cond int16, body func()) {
	before := p.cond
	p.cond = cond
	body()
	p.cond = before
}

// MustBeZero makes a result other than 0 of the last call an error (EIO).
func (p *Program) MustBeZero() { p.calls[len(p.calls)-1].zero = true }

// Phase marks the point in time at which the calls that follow begin.
func (p *Program) Phase(title string) {
	ts := (*unix.Timespec)(unsafe.Pointer(&p.keep(int(unsafe.Sizeof(unix.Timespec{})))[0]))
	p.Call("clock_gettime", unix.SYS_CLOCK_GETTIME, Flag(unix.CLOCK_MONOTONIC, "CLOCK_MONOTONIC"), Arg{value: uintptr(unsafe.Pointer(ts)), text: "&" + strconv.Quote(title)})
	p.own()
	p.marks = append(p.marks, mark{title, len(p.calls) - 1, ts})
}

// A Mark is the start of a phase of a program that ran.
type Mark struct {
	Phase string
	Ns    int64 // CLOCK_MONOTONIC, nanoseconds
}

// Marks gives the phases that were reached, in order.
func (p *Program) Marks() []Mark {
	var ms []Mark
	for _, m := range p.marks {
		if ns := m.at.Nano(); ns != 0 {
			ms = append(ms, Mark{m.phase, ns})
		}
	}
	return ms
}

// Int is a number.
func Int[T ~int | ~int32 | ~uint32 | ~int64 | ~uint64 | ~uintptr](n T) Arg {
	kind := unsigned
	if n < 0 {
		kind = signed
	}
	return Arg{value: uintptr(n), kind: kind}
}

// Octal is a number that people read in base eight: a file mode.
func Octal(n uint32) Arg { return Arg{value: uintptr(n), kind: octal} }

// Flag is a number with the name of its constant.
func Flag(n int, text string) Arg { return Arg{value: uintptr(n), text: text} }

// Cwd is AT_FDCWD: paths are relative to the working directory.
func Cwd() Arg { return Flag(unix.AT_FDCWD, "AT_FDCWD") }

// Null is a null pointer.
func Null() Arg { return Arg{text: "NULL"} }

// Arg is the result of an earlier call as an argument.
func (r Result) Arg() Arg {
	return Arg{from: uint16(r.index + 1), kind: result}
}

// Str is a NUL-terminated string. It panics if s holds a NUL, which no path or
// option of a checked configuration does.
func (p *Program) Str(s string) Arg {
	if strings.IndexByte(s, 0) >= 0 {
		panic(fmt.Sprintf("step: string %q holds a NUL", s))
	}
	b := p.keep(len(s) + 1)
	copy(b, s)
	return Arg{value: uintptr(unsafe.Pointer(&b[0])), text: s, kind: quoted}
}

// keep gives n bytes of zeros that the program keeps, at an address that any
// struct of the kernel may have. Small ones share a piece of memory.
func (p *Program) keep(n int) []byte {
	const piece, align = 16 << 10, 8
	room := (n + align - 1) &^ (align - 1)
	if room > len(p.free) {
		p.free = make([]byte, max(piece, room))
		p.memory = append(p.memory, p.free)
	}
	b := p.free[:n:n]
	p.free = p.free[room:]
	return b
}

// Bytes is the address of b, which the program keeps.
func (p *Program) Bytes(b []byte, text string) Arg {
	if len(b) == 0 {
		return Null()
	}
	p.memory = append(p.memory, b)
	return Arg{value: uintptr(unsafe.Pointer(&b[0])), text: text}
}

// Struct is the address of a value without pointers in it, such as a
// struct open_how, which is copied into memory that the program keeps.
func Struct[T any](p *Program, v T, text string) Arg {
	b := p.keep(int(unsafe.Sizeof(v)))
	if len(b) == 0 {
		return Null()
	}
	copy(b, unsafe.Slice((*byte)(unsafe.Pointer(&v)), len(b)))
	return Arg{value: uintptr(unsafe.Pointer(&b[0])), text: text}
}

// Vector is a NULL-terminated array of strings: an argv or an envp.
func (p *Program) Vector(list []string, text string) Arg {
	b := p.keep(8 * (len(list) + 1))
	for i, s := range list {
		*(*uintptr)(unsafe.Pointer(&b[8*i])) = p.Str(s).value
	}
	return Arg{value: uintptr(unsafe.Pointer(&b[0])), text: text}
}

// String prints the program, one call a line, in the manner of strace(1).
// "$3" is the result of the third call.
func (p *Program) String() string {
	var b strings.Builder
	phases := p.marks
	for i := range p.calls {
		if len(phases) > 0 && phases[0].call == i {
			fmt.Fprintf(&b, "# %s\n", phases[0].phase)
			phases = phases[1:]
		}
		fmt.Fprintf(&b, "$%d = %s%s\n", i+1, p.words(i), p.calls[i].note())
	}
	return b.String()
}

// An Error says which call of a program failed, and in which phase.
type Error struct {
	Phase string
	Call  string // as [Program.String] prints it
	Index int    // counted from 1
	Errno syscall.Errno
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s: %v", e.Phase, e.Call, e.Errno)
}

// Unwrap gives the errno, for [errors.Is].
func (e *Error) Unwrap() error { return e.Errno }

func (p *Program) failure(index int, errno syscall.Errno) *Error {
	phase := "start"
	for _, m := range p.marks {
		if m.call <= index {
			phase = m.phase
		}
	}
	return &Error{Phase: phase, Call: p.words(index), Index: index + 1, Errno: errno}
}
