package step

import (
	"context"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A process cannot change its PID namespace, nor, while it shares its memory,
// its time namespace: what it joins or makes (setns(2), unshare(2)) is for its
// children. So a program can fork: a new process makes the calls that are left,
// and the one before it ends. The new one is a child of the same parent
// (CLONE_PARENT) and shares its memory like the first, so that gates, errors and
// the end work as ever.

// forks is the number of the call that forks, which the loop leaves to
// clone_amd64.s: it is none of the kernel's.
const forks = ^uintptr(1)

// process is the second process of a program that forks.
type process struct {
	pid uint32 // CLONE_PARENT_SETTID: in the first one's PID namespace
	tid uint32 // not 0 until the kernel clears it (CLONE_CHILD_CLEARTID)
}

// Fork is the place in a program where it has forked.
type Fork struct{ *Checkpoint }

// Fork appends a call after which a new process makes the calls that follow. It
// inherits all of the first but PR_SET_PDEATHSIG. A program forks once, and only
// in [Program.Clone].
func (p *Program) Fork() *Fork {
	p.fork = &cloneArgs{flags: unix.CLONE_VM | unix.CLONE_PARENT | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID}
	p.Call("clone3", forks, Arg{value: uintptr(unsafe.Pointer(p.fork)), text: "CLONE_VM|CLONE_PARENT"})
	return &Fork{p.Checkpoint()}
}

// Await waits until the program has forked, and gives the PID of the process
// that goes on. It is for Clone's Ready function.
func (f *Fork) Await(ctx context.Context) (pid int, err error) {
	if err := f.Checkpoint.Await(ctx); err != nil {
		return 0, err
	}
	return int(loadUint32(&f.program.running.second.pid)), nil
}

// prepare fills in what is known only when the program runs.
func (a *cloneArgs) prepare(s *state, stack []byte) {
	s.second.tid = 1
	a.parentTID = uint64(uintptr(unsafe.Pointer(&s.second.pid)))
	a.childTID = uint64(uintptr(unsafe.Pointer(&s.second.tid)))
	a.stack, a.stackSize = uint64(uintptr(unsafe.Pointer(&stack[0]))), uint64(len(stack))&^15
}

// ended tells whether nobody makes calls any more.
func (s *state) ended() bool {
	return loadUint32(&s.tid) == 0 && (loadUint32(&s.second.pid) == 0 || loadUint32(&s.second.tid) == 0)
}

// adopt gives the process that a program has become: c, or the one that c has
// forked, after which it ended.
func (s *state) adopt(c Child) (Child, error) {
	pid := int(loadUint32(&s.second.pid))
	if pid == 0 {
		return c, nil
	}
	reap(unix.P_PIDFD, c.PIDFD)
	unix.Close(c.PIDFD)
	// The number is its own until we reap it.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		s.second.kill()
		return Child{}, os.NewSyscallError("pidfd_open", err)
	}
	return Child{PID: pid, PIDFD: fd}, nil
}

// kill ends and reaps the second process, if there is one.
func (q *process) kill() {
	if pid := int(loadUint32(&q.pid)); pid != 0 {
		unix.Kill(pid, unix.SIGKILL)
		reap(unix.P_PID, pid)
	}
}
