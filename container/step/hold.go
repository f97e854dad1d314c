package step

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Hold is a place where the child stands still without a system call, until
// the parent lets it go on. It turns in a loop meanwhile, so it is for short
// waits, and where a Gate is not possible: behind a system call filter that may
// refuse every call, or have somebody decide on it who does not know of it yet.
type Hold struct {
	program *Program
	index   int
	word    uint32
}

// holding is the number of no system call.
const holding = ^uintptr(0)

// Hold appends one.
func (p *Program) Hold() *Hold {
	h := &Hold{program: p, index: len(p.calls)}
	p.holds = append(p.holds, h)
	p.Call("hold", holding, Arg{value: uintptr(unsafe.Pointer(&h.word)), text: "&word"})
	return h
}

// Await waits until the child has come to the hold. Then the results of the
// calls before it can be asked for ([Program.Value]). As with
// [Checkpoint.Await], an error can say that the child has ended, and Clone will
// say why.
func (h *Hold) Await(ctx context.Context) error {
	s := h.program.running
	for atomic.LoadUintptr(&s.at) != uintptr(h.index+1) {
		if s.ended() {
			return errEnded
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the child: %w", context.Cause(ctx))
		}
		time.Sleep(50 * time.Microsecond)
	}
	return nil
}

// Take gives a copy of a descriptor that call r of the child, process pid, has
// opened (pidfd_getfd(2)). It is for Clone's Ready function, while the child
// waits. The caller closes it.
func (p *Program) Take(pid int, r Result) (int, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, p.Value(r), 0)
	if err == unix.ESRCH || err != nil && loadUint32(&p.running.tid) == 0 {
		return -1, errEnded // and Clone says why
	}
	return fd, os.NewSyscallError("pidfd_getfd", err)
}

// Release lets the child go on.
func (h *Hold) Release() { atomic.StoreUint32(&h.word, 1) }
