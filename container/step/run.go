package step

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// state is what parent and child share while the child interprets: they have
// one memory (CLONE_VM) until the child's execve.
type state struct {
	fork   uintptr // the argument of a call that is to be made by clone_amd64.s, which knows where
	forked uintptr // 1 once it was made,
	refuse uintptr // and the errno

	calls  unsafe.Pointer
	next   uintptr // the index of the call to go on with
	n      uintptr
	failAt uintptr
	at     uintptr // 1 + the index of the call that is being made
	failed uintptr // 1 + the index of the call that failed
	errno  uintptr
	tid    uint32         // futex: the kernel clears and wakes it at exec or exit
	pidfd  int32          // CLONE_PIDFD
	report int32          // where a child whose parent is gone says that it failed; 0 for none
	stamps unsafe.Pointer // of a traced program: an array of struct timespec
	second process        // of a program that forks
}

const callSize = unsafe.Sizeof(call{})

// notMade is the result of a call that was skipped: as if it were canceled.
const notMade = ^uintptr(syscall.ECANCELED - 1)

// interpret makes the calls in turn. It returns when one fails or none is
// left. It runs in a process that has no Go runtime of its own: so nothing in
// it may grow the stack, allocate, panic or be preempted.
//
//go:nosplit
//go:norace
//go:nocheckptr
func interpret(s *state) {
	if s.stamps != nil && s.next == 0 {
		stamp(s, 0)
	}
	for i := s.next; i < s.n; i++ {
		c := (*call)(unsafe.Add(s.calls, i*callSize))
		skip := false
		if c.cond != 0 {
			at, failed := c.cond, true
			if at < 0 {
				at, failed = -at, false
			}
			ret := (*call)(unsafe.Add(s.calls, uintptr(at-1)*callSize)).ret
			// A call that was not made has neither succeeded nor failed.
			if (ret > ^uintptr(4095)) == failed || ret == notMade {
				c.ret = notMade
				continue
			}
		}
		for a := uintptr(0); a < 6; a++ {
			from := *(*uint16)(unsafe.Add(unsafe.Pointer(&c.from), a*2))
			if from == 0 {
				continue
			}
			ret := (*call)(unsafe.Add(s.calls, uintptr(from-1)*callSize)).ret
			if ret > ^uintptr(4095) { // an allowed failure, or not made itself
				skip = true
				c.ret = notMade
			}
			*(*uintptr)(unsafe.Add(unsafe.Pointer(&c.args), a*8)) = ret
		}
		if skip {
			continue
		}
		s.at = i + 1
		var r uintptr
		var e syscall.Errno
		if i+1 == s.failAt {
			e = syscall.EIO
		} else if c.nr == forks {
			if s.forked == 0 {
				s.next, s.fork = i, c.args[0]
				return
			}
			e = syscall.Errno(s.refuse)
		} else if c.nr == holding {
			// Of an atomic load the compiler makes an instruction, and no call.
			word := *(**uint32)(unsafe.Pointer(&c.args[0]))
			for atomic.LoadUint32(word) == 0 {
			}
		} else {
			// openat2(2) gives a path with ".." up when something is renamed or
			// mounted meanwhile, anywhere: it cannot know where that leads. That it
			// is tried again has an end, for somebody may want it to have none.
			for tries := 0; ; tries++ {
				r, _, e = syscall.RawSyscall6(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
				if e != syscall.EAGAIN || c.nr != unix.SYS_OPENAT2 || tries == 128 {
					break
				}
			}
		}
		if s.stamps != nil {
			stamp(s, i+1)
		}
		if e == 0 && c.zero && r != 0 {
			e = syscall.EIO
		}
		if e != 0 {
			if uint16(e) != c.allow[0] && uint16(e) != c.allow[1] && uint16(e) != c.allow[2] {
				s.errno = uintptr(e)
				s.failed = i + 1
				return
			}
			r = -uintptr(e)
		}
		c.ret = r
	}
}

// child is where the new process starts, on a stack of its own (clone_amd64.s).
// The last call of its program is an execve, so it only comes back in failure,
// or to fork, and is then called again.
//
//go:nosplit
//go:norace
//go:nocheckptr
func child(s *state) {
	interpret(s)
	if s.fork != 0 {
		return
	}
	if s.report != 0 {
		syscall.RawSyscall(syscall.SYS_WRITE, uintptr(s.report), uintptr(unsafe.Pointer(&s.failed)), unsafe.Sizeof(Failure{}))
	}
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 127, 0, 0)
	}
}

func (p *Program) state() *state {
	s := &state{calls: unsafe.Pointer(unsafe.SliceData(p.calls)), n: uintptr(len(p.calls)), failAt: uintptr(p.FailAt)}
	if p.traced {
		p.stamps = make([]unix.Timespec, len(p.calls)+1)
		s.stamps = unsafe.Pointer(&p.stamps[0])
	}
	p.running = s
	return s
}

func (p *Program) outcome(s *state) error {
	if s.failed != 0 {
		return p.failure(int(s.failed)-1, syscall.Errno(s.errno))
	}
	return nil
}

// Run makes the calls in this process and this thread. Callers whose calls
// change the thread (setns, unshare) lock and discard it themselves. If a call
// fails, the descriptors that the calls before it opened are closed.
func (p *Program) Run() error {
	s := p.state()
	interpret(s)
	runtime.KeepAlive(p)
	if s.failed != 0 {
		p.closeOpened(int(s.failed) - 1)
	}
	return p.outcome(s)
}

// opens are the calls whose result is a new descriptor.
var opens = map[uintptr]bool{
	unix.SYS_OPENAT: true, unix.SYS_OPENAT2: true, unix.SYS_OPEN_TREE: true, unix.SYS_FSOPEN: true, unix.SYS_FSMOUNT: true,
	unix.SYS_SOCKET: true, unix.SYS_PIDFD_OPEN: true,
}

// closeOpened closes what the first n calls opened and did not close again.
func (p *Program) closeOpened(n int) {
	open := map[int]bool{}
	for _, c := range p.calls[:n] {
		if int(c.ret) < 0 {
			continue
		}
		if opens[c.nr] {
			open[int(c.ret)] = true
		} else if c.nr == unix.SYS_CLOSE {
			delete(open, int(c.args[0]))
		}
	}
	for fd := range open {
		unix.Close(fd)
	}
}

// Value is the result of a call of a program that ran; negative if the call
// failed in an allowed way.
func (p *Program) Value(r Result) int { return int(p.calls[r.index].ret) }

// Failure is what a child whose program has failed writes to [Options.Report].
// An index beyond the last call is that of the last: of the execve.
type Failure struct{ Index, Errno uintptr }

// Failed is the error that a child has told of.
func (p *Program) Failed(f Failure) *Error {
	return p.failure(int(min(f.Index, uintptr(len(p.calls))))-1, syscall.Errno(f.Errno))
}

// Rest is what is left of a program after a checkpoint, for whoever has only
// that: the error that each failure is, but for its errno.
func (p *Program) Rest(c *Checkpoint) []Error {
	var rest []Error
	for i := c.index; i < len(p.calls); i++ {
		rest = append(rest, *p.failure(i, 0))
	}
	return rest
}
