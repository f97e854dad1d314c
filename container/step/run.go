package step

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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

// Checkpoint appends calls that say that the child has come here.
func (p *Program) Checkpoint() *Checkpoint {
	c := &Checkpoint{program: p, index: len(p.calls)}
	p.checkpoints = append(p.checkpoints, c)
	// The child cannot write memory, but the kernel can: the time is not 0.
	p.Call("clock_gettime", unix.SYS_CLOCK_GETTIME, Flag(unix.CLOCK_MONOTONIC, "CLOCK_MONOTONIC"), Arg{value: uintptr(unsafe.Pointer(&c.at)), text: "&reached"})
	p.own()
	p.Call("futex", unix.SYS_FUTEX, Arg{value: uintptr(unsafe.Pointer(&c.at)), text: "&reached"}, Flag(1, "FUTEX_WAKE"), Int(1))
	p.own()
	return c
}

// A Checkpoint is a place in a program for which the parent can wait.
type Checkpoint struct {
	program *Program
	index   int
	at      unix.Timespec // when the child came; its seconds are also a futex
}

// Await waits until the child has come to the checkpoint. It is for Clone's
// Ready function. An error says that the child has ended before: Clone will say
// why.
func (c *Checkpoint) Await(ctx context.Context) error {
	word := (*uint32)(unsafe.Pointer(&c.at))
	slice := unix.NsecToTimespec(int64(10 * time.Millisecond))
	for loadUint32(word) == 0 {
		if c.program.running.ended() {
			return errEnded
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the child: %w", context.Cause(ctx))
		}
		syscall.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 0 /* FUTEX_WAIT */, 0, uintptr(unsafe.Pointer(&slice)), 0, 0)
	}
	return nil
}

// Gate appends calls that say that the child has come here, and wait until the
// parent has done its part.
func (p *Program) Gate(patience time.Duration) *Gate {
	g := &Gate{Checkpoint: p.Checkpoint()}
	p.gates = append(p.gates, g)
	// FUTEX_WAIT, not private: EAGAIN says that the gate was open already.
	p.Call("futex", unix.SYS_FUTEX, Arg{value: uintptr(unsafe.Pointer(&g.word)), text: "&gate"}, Flag(0, "FUTEX_WAIT"), Int(0), Struct(p, unix.NsecToTimespec(int64(patience)), patience.String()))
	p.Allow(syscall.EAGAIN)
	return g
}

// A Gate lets the parent hold the child back.
type Gate struct {
	*Checkpoint
	word uint32
}

var errEnded = errors.New("the child has ended")

// Open lets the child pass.
func (g *Gate) Open() {
	g.word = 1
	syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&g.word)), 1 /* FUTEX_WAKE */, 1, 0, 0, 0)
}

// cloneArgs is struct clone_args of clone3(2), version 2.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize uint64
	_                                                               [3]uint64 // tls, set_tid, set_tid_size
	cgroup                                                          uint64
}

// entry is the address of child's code: a function value points to a word that
// holds it.
var entry = func() uintptr {
	f := child
	return **(**uintptr)(unsafe.Pointer(&f))
}()

// Options are how [Program.Clone] makes the child.
type Options struct {
	Flags uint64 // CLONE_NEW*: the new namespaces
	// Cgroup is a descriptor of a cgroup v2 folder in which the child is
	// born (CLONE_INTO_CGROUP, Linux 5.7), or -1.
	Cgroup int
	// Ready is called in the parent once the child exists, while the child
	// waits at its gate; it opens the gate.
	Ready func(pid int) error
	// Until makes Clone return when the child has come there, and not only
	// when it has executed its program. The child then still needs the
	// program's memory: as long as this process lives, the caller keeps the
	// Program.
	Until *Checkpoint
	// Report is a descriptor on which the child says that it has failed (a
	// [Failure]) to whoever listens when its parent is gone; 0 for none.
	Report int
	// Thread is called on the thread that makes the child, before it does:
	// what that thread is when it clones, the child is born with. The thread
	// ends with the child.
	Thread func() error
}

// Child is a process made by [Program.Clone].
type Child struct {
	PID   int // in the caller's PID namespace
	PIDFD int // pidfd of the process; the caller closes it
}

// Clone makes a child process that runs the program, whose last call is an
// execve, and waits until that has happened. The child shares this process's
// memory until then, as posix_spawn's does, so that no page table is copied;
// but unlike vfork's it runs beside its parent, which can write the child's
// user mappings meanwhile, and it does so on a stack of its own, with all
// signals blocked and all handlers gone (CLONE_CLEAR_SIGHAND, Linux 5.5).
//
// If a call fails, the child has ended and has been reaped, and the error is
// an [*Error]. The parent of the child is one thread that lives as long as
// this process: PR_SET_PDEATHSIG, which is about the parent thread, then means
// this process.
func (p *Program) Clone(ctx context.Context, o Options) (Child, error) {
	if runtime.GOARCH != "amd64" {
		return Child{}, fmt.Errorf("containers are not made on %s yet: clone3 needs a few lines of assembly for it", runtime.GOARCH)
	}
	if ctx.Err() != nil {
		return Child{}, context.Cause(ctx)
	}
	s := p.state()
	s.report = int32(o.Report)
	// Kept by p, and so on the heap: a goroutine's stack could move.
	stack := make([]byte, 16<<10)
	p.memory = append(p.memory, stack)
	if p.fork != nil {
		p.fork.prepare(s, stack)
	}
	args := &cloneArgs{
		flags:      o.Flags | unix.CLONE_VM | unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND | unix.CLONE_CHILD_CLEARTID | unix.CLONE_PARENT_SETTID,
		pidfd:      uint64(uintptr(unsafe.Pointer(&s.pidfd))),
		childTID:   uint64(uintptr(unsafe.Pointer(&s.tid))),
		parentTID:  uint64(uintptr(unsafe.Pointer(&s.tid))),
		exitSignal: uint64(unix.SIGCHLD),
		stack:      uint64(uintptr(unsafe.Pointer(&stack[0]))),
		stackSize:  uint64(len(stack)) &^ 15,
	}
	if o.Cgroup >= 0 {
		args.flags |= unix.CLONE_INTO_CGROUP
		args.cgroup = uint64(o.Cgroup)
	}
	var pid, errno uintptr
	clone := func() {
		// The child is born with the mask of its parent, and must not run a
		// handler of ours.
		var all, old unix.Sigset_t
		for i := range all.Val {
			all.Val[i] = ^uint64(0)
		}
		syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
		p.cloned[0] = monotonic(p.traced)
		pid, errno = clone3(args, unsafe.Sizeof(*args), s, entry)
		p.cloned[1] = monotonic(p.traced)
		syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
	}
	if o.Thread == nil {
		onParentThread(clone)
	} else if err := onOwnThread(o.Thread, func() int {
		if clone(); errno != 0 {
			return -1
		}
		return int(s.pidfd)
	}, s); err != nil {
		return Child{}, err
	}
	if errno != 0 {
		return Child{}, fmt.Errorf("clone3(%s): %w", CloneFlags(args.flags), syscall.Errno(errno))
	}
	c := Child{PID: int(pid), PIDFD: int(s.pidfd)}
	var err error
	if o.Ready != nil {
		err = o.Ready(c.PID)
	}
	if err == nil && o.Until != nil {
		if err = o.Until.Await(ctx); err == nil {
			return s.adopt(c)
		}
	}
	if err == nil || errors.Is(err, errEnded) {
		if err = awaitEnd(ctx, &s.tid); err == nil && loadUint32(&s.second.pid) != 0 {
			err = awaitEnd(ctx, &s.second.tid)
		}
		p.executedAt = monotonic(p.traced)
	}
	gaveUp := err != nil
	if err == nil {
		if err = p.outcome(s); err == nil && !p.executed(s) {
			err = fmt.Errorf("the child was killed before its execve (call %d of %d)", s.at, len(p.calls))
		}
	}
	if err != nil {
		// The child is dead, dying, or to die.
		unix.PidfdSendSignal(c.PIDFD, unix.SIGKILL, nil, 0)
		reap(unix.P_PIDFD, c.PIDFD)
		unix.Close(c.PIDFD)
		s.second.kill()
		c = Child{}
		if failure := p.outcome(s); failure != nil && gaveUp { // perhaps since the child had failed
			err = fmt.Errorf("%w (and then: %w)", failure, err)
		}
	} else {
		c, err = s.adopt(c)
	}
	// Until here the child may have read them.
	runtime.KeepAlive(s)
	runtime.KeepAlive(args)
	runtime.KeepAlive(p)
	return c, err
}

// executed tells whether the last call that was made was an execve.
func (p *Program) executed(s *state) bool {
	if s.at == 0 {
		return false
	}
	nr := p.calls[s.at-1].nr
	return nr == unix.SYS_EXECVE || nr == unix.SYS_EXECVEAT
}

// awaitEnd waits until a process no longer shares this memory, after its execve
// or its end: the kernel then clears its word and wakes those who wait on it
// (CLONE_CHILD_CLEARTID).
func awaitEnd(ctx context.Context, word *uint32) error {
	slice := unix.NsecToTimespec(int64(50 * time.Millisecond))
	for {
		tid := loadUint32(word)
		if tid == 0 {
			return nil
		}
		_, _, e := syscall.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 0 /* FUTEX_WAIT */, uintptr(tid), uintptr(unsafe.Pointer(&slice)), 0, 0)
		switch e {
		case 0, syscall.EAGAIN, syscall.EINTR, syscall.ETIMEDOUT:
		default:
			return fmt.Errorf("waiting for the child's execve: futex: %w", e)
		}
		if err := ctx.Err(); err != nil && loadUint32(word) != 0 {
			return fmt.Errorf("waiting for the child's execve: %w", context.Cause(ctx))
		}
	}
}

// reap waits for the end of a child that is dead or dying.
func reap(kind, id int) {
	for unix.Waitid(kind, id, nil, unix.WEXITED, nil) == unix.EINTR {
	}
}

// parentThread is the one thread that makes children.
var parentThread = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread() // and never unlock: see Clone
		for f := range work {
			f()
		}
	}()
	return work
})

func onParentThread(f func()) {
	done := make(chan struct{})
	parentThread() <- func() { f(); close(done) }
	<-done
}

// onOwnThread runs two functions on a thread that ends with the child that the
// second makes, whose pidfd it returns, -1 if it has made none; or with the
// process that this has forked.
func onOwnThread(prepare func() error, clone func() (pidfd int), s *state) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: so the thread ends with the goroutine
		if err := prepare(); err != nil {
			done <- err
			return
		}
		pidfd := clone()
		if pidfd < 0 {
			done <- nil
			return
		}
		own, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 3)
		done <- nil
		if err != nil {
			select {} // better a thread too many than a child that dies with it
		}
		awaitPIDFD(own)
		if pid := loadUint32(&s.second.pid); pid != 0 {
			if next, err := unix.PidfdOpen(int(pid), 0); err == nil { // else it has ended
				awaitPIDFD(next)
			}
		}
	}()
	return <-done
}

// awaitPIDFD waits for the end of a process, and closes its descriptor.
func awaitPIDFD(fd int) {
	defer unix.Close(fd)
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
			return
		}
	}
}

// OnParentThread runs f, which starts a child with PR_SET_PDEATHSIG, on the
// thread that lives as long as this process.
func OnParentThread(f func()) { onParentThread(f) }

// Self is a pidfd of this process, so that a child can see whether its parent
// still lives.
var Self = sync.OnceValues(func() (int, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	return fd, os.NewSyscallError("pidfd_open", err)
})

// CloneFlags names the namespaces among the flags of clone3(2).
func CloneFlags(flags uint64) string {
	var s string
	for _, f := range []struct {
		bit  uint64
		name string
	}{
		{unix.CLONE_NEWUSER, "NEWUSER"}, {unix.CLONE_NEWPID, "NEWPID"}, {unix.CLONE_NEWNS, "NEWNS"},
		{unix.CLONE_NEWNET, "NEWNET"}, {unix.CLONE_NEWUTS, "NEWUTS"}, {unix.CLONE_NEWIPC, "NEWIPC"},
		{unix.CLONE_NEWCGROUP, "NEWCGROUP"}, {unix.CLONE_NEWTIME, "NEWTIME"}, {unix.CLONE_INTO_CGROUP, "INTO_CGROUP"},
	} {
		if flags&f.bit != 0 {
			s += "|" + f.name
		}
	}
	if s == "" {
		return "no namespaces"
	}
	return s[1:]
}
