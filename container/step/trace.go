package step

import (
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A traced program writes down when each of its calls ended, for people who want
// to see what is done and how long it takes. That costs a clock_gettime(2) each,
// some 50 ns, and nothing where it is not asked for.

// Trace asks for it. It is to be called before the program runs.
func (p *Program) Trace() { p.traced = true }

// Step names what the calls that follow do together, and with what, for a trace.
func (p *Program) Step(what, object string) {
	p.steps = append(p.steps, namedStep{what, object, len(p.calls)})
}

type namedStep struct {
	what, object string
	call         int // the first
}

// own marks the last call as one that a program makes for its own sake.
func (p *Program) own() { p.names[len(p.names)-1].own = true }

// monotonic is the time if it is asked for.
func monotonic(asked bool) int64 {
	if !asked {
		return 0
	}
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// Cloned tells when the parent of a traced program began to make the child, and
// had it.
func (p *Program) Cloned() (begin, end int64) { return p.cloned[0], p.cloned[1] }

// stamp writes the time into place i.
//
//go:nosplit
//go:norace
//go:nocheckptr
func stamp(s *state, i uintptr) {
	syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Add(s.stamps, i*unsafe.Sizeof(unix.Timespec{}))), 0)
}

// A Made is a call that a traced program made.
type Made struct {
	Phase, Step string
	Call        string // as strace(1) prints it, with the results of earlier calls in their places
	Result      string // what it returned, if that says something: "fd 7", "ENOENT"
	Failed      bool   // it ended the program
	Waits       bool   // it waited until the parent had done its part
	// CLOCK_MONOTONIC, nanoseconds. From an execve that succeeds nobody comes
	// back: its end is when the parent saw that it had happened.
	Begin, End int64
}

// Made gives the calls that were made, in order, without those that a program
// makes for its own sake: to write times down, and to tell the parent.
func (p *Program) Made() []Made {
	if len(p.stamps) == 0 {
		return nil
	}
	var made []Made
	last := p.stamps[0].Nano()
	phase, title := "start", ""
	marks, steps := p.marks, p.steps
	for i, n := range p.names {
		for len(marks) > 0 && marks[0].call <= i {
			phase, title = marks[0].phase, ""
			marks = marks[1:]
		}
		for len(steps) > 0 && steps[0].call <= i {
			title = strings.TrimSpace(steps[0].what + " " + steps[0].object)
			steps = steps[1:]
		}
		c := &p.calls[i]
		end := p.stamps[i+1].Nano()
		executes := c.nr == unix.SYS_EXECVE || c.nr == unix.SYS_EXECVEAT
		if end == 0 && !(executes && p.running != nil && p.running.at == uintptr(i+1)) {
			continue // it was skipped, or never reached
		}
		m := Made{Phase: phase, Step: title, Begin: last, End: end, Call: p.values(p.words(i))}
		if end == 0 {
			m.End = p.executedAt
		}
		last = m.End
		switch failed := p.running != nil && p.running.failed == uintptr(i+1); {
		case failed:
			m.Failed, m.Result = true, errnoName(syscall.Errno(p.running.errno))
		case end == 0:
		case c.ret > ^uintptr(4095):
			m.Result = errnoName(syscall.Errno(-c.ret))
		case makesDescriptor(c):
			m.Result = "fd " + strconv.Itoa(int(c.ret))
		case c.nr == unix.SYS_UMASK:
			m.Result = "0" + strconv.FormatInt(int64(c.ret), 8)
		case c.nr == unix.SYS_WRITE || c.nr == unix.SYS_SENDTO || c.nr == unix.SYS_SENDMSG: // all of it
		case c.ret != 0:
			m.Result = strconv.Itoa(int(c.ret))
		}
		if n.own && !m.Failed {
			continue
		}
		if m.Waits = c.nr == holding || c.nr == unix.SYS_FUTEX; m.Waits {
			m.Call = "futex(&gate, FUTEX_WAIT)"
			if m.Result == "EAGAIN" { // it was open already
				m.Result = ""
			}
		}
		made = append(made, m)
	}
	return made
}

func errnoName(e syscall.Errno) string {
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return e.Error()
}

// makesDescriptor tells whether the result of a call is a new descriptor.
func makesDescriptor(c *call) bool {
	switch c.nr {
	case unix.SYS_FCNTL:
		return c.args[1] == unix.F_DUPFD_CLOEXEC || c.args[1] == unix.F_DUPFD
	case unix.SYS_IOCTL:
		return c.args[1] == unix.TIOCGPTPEER
	case unix.SYS_FSMOUNT, unix.SYS_DUP3:
		return true
	}
	return opens[c.nr]
}

// values puts results in the places of "$3", but in strings.
func (p *Program) values(args string) string {
	if !strings.Contains(args, "$") {
		return args
	}
	var b strings.Builder
	quoted := false
	for i := 0; i < len(args); i++ {
		switch c := args[i]; {
		case quoted && c == '\\' && i+1 < len(args):
			b.WriteByte(c)
			i++
			b.WriteByte(args[i])
		case c == '"':
			quoted = !quoted
			b.WriteByte(c)
		case c == '$' && !quoted:
			end := i + 1
			for end < len(args) && args[end] >= '0' && args[end] <= '9' {
				end++
			}
			n, err := strconv.Atoi(args[i+1 : end])
			if err != nil || n < 1 || n > len(p.calls) {
				b.WriteByte(c)
				continue
			}
			b.WriteString("fd " + strconv.Itoa(int(p.calls[n-1].ret)))
			i = end - 1
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
