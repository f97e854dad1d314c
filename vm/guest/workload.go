package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vmctr/container"
	"vmctr/vm/guest/wire"
)

// startWorkload starts the program as the host would: who it is, its groups, its
// limits, its folder and where it is looked for come from the same configuration
// through the same code. There is only no namespace to be made: in a machine of
// its own, a process needs no other walls.
func (g *guest) startWorkload() error {
	// The folder that it begins in is made, as in a container.
	if err := os.MkdirAll(g.spec.Process.Cwd, 0o755); err != nil {
		return fmt.Errorf("making the folder to begin in: %w", err)
	}
	s := &g.streams
	start := func(cfg container.Config) (*container.Container, error) {
		return container.Start(context.Background(), cfg)
	}
	if g.contained() {
		start = g.startContainer
	}
	program, err := start(container.Config{
		Spec: &g.spec, Stdin: s.theirs[0], Stdout: s.theirs[1], Stderr: s.theirs[2], Console: g.tty.socket(), Hold: g.hold(),
	})
	if err != nil {
		return err
	}
	if err := g.tty.attach(); err != nil {
		return err
	}
	// A port can be open only once. With this copy closed, it is the workload's,
	// and closes with it.
	s.started()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.program = program
	return nil
}

// reap waits for the workload, and meanwhile for whatever else ends. It does not
// return.
func (g *guest) reap() {
	go g.reapOthers()
	g.ended()
}

// reapOthers waits for what is not the workload. A process whose parent has ended
// becomes a child of PID 1, which has to wait for it, or it stays in the process table
// for ever. Package container may reap the workload before it is seen here, and others
// may live on: so this cannot tell that it has ended.
func (g *guest) reapOthers() {
	for {
		// Only a look: the workload itself is for package container to reap.
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		pid := pidOf(&info)
		if err != nil || pid == g.program.PID() { // ECHILD: the workload has been reaped, and was the last
			return
		}
		select {
		case <-g.program.Done():
			return
		default:
			unix.Wait4(pid, nil, 0, nil)
		}
	}
}

// pidOf is si_pid of a SIGCHLD siginfo_t (sigaction(2)), which x/sys/unix keeps to
// itself: it follows si_signo, si_errno and si_code, and padding.
func pidOf(info *unix.Siginfo) int { return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), 16))) }

// ended reports how the workload has ended, and does not return.
func (g *guest) ended() {
	<-g.program.Done()
	status := g.program.Status()
	g.streams.finish()
	g.report(wire.Report{Event: wire.EventExited, Code: status.Code, Signal: int(status.Signal), OutOfMemory: status.OutOfMemory})
	g.powerOff()
}

// running is the workload, nil until it runs.
func (g *guest) running() *container.Container {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.program
}

func (g *guest) signal(sig unix.Signal) {
	if p := g.running(); p != nil {
		p.Signal(sig)
	}
}

// stop ends the workload; reap then powers off. A workload that ignores SIGTERM
// gets SIGKILL.
func (g *guest) stop() {
	if g.running() == nil {
		g.powerOff()
	}
	g.signal(unix.SIGTERM)
	time.AfterFunc(time.Second, func() { g.signal(unix.SIGKILL) })
}
