package step

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Checkpoint appends calls that say that the child has come here.
func (p *Program) Checkpoint() *Checkpoint {
	c := &Checkpoint{program: p, index: len(p.calls)}
	p.checkpoints = append(p.checkpoints, c)
	// The child cannot write memory, but the kernel can: the time is not 0. Its seconds
	// may be, in a machine that has just booted.
	p.Call("clock_gettime", unix.SYS_CLOCK_GETTIME, Flag(unix.CLOCK_MONOTONIC, "CLOCK_MONOTONIC"), Arg{value: uintptr(unsafe.Pointer(&c.at)), text: "&reached"})
	p.own()
	p.Call("futex", unix.SYS_FUTEX, Arg{value: uintptr(unsafe.Pointer(&c.at.Nsec)), text: "&reached"}, Flag(1, "FUTEX_WAKE"), Int(1))
	p.own()
	return c
}

// A Checkpoint is a place in a program for which the parent can wait.
type Checkpoint struct {
	program *Program
	index   int
	at      unix.Timespec // when the child came; its nanoseconds, which are below 2^32, are also a futex
}

// Await waits until the child has come to the checkpoint. It is for Clone's
// Ready function. An error says that the child has ended before: Clone will say
// why.
func (c *Checkpoint) Await(ctx context.Context) error {
	seconds, word := (*uint32)(unsafe.Pointer(&c.at.Sec)), (*uint32)(unsafe.Pointer(&c.at.Nsec))
	slice := unix.NsecToTimespec(int64(10 * time.Millisecond))
	for loadUint32(seconds) == 0 && loadUint32(word) == 0 {
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
