package step

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

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
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
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
