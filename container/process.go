package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// enter appends the call that joins namespaces of a process (setns(2) with a
// pidfd, Linux 5.8).
func enter(p *step.Program, pidfd int, flags int) {
	p.Call("setns", unix.SYS_SETNS, step.Flag(pidfd, "container"), step.Flag(flags, strings.ReplaceAll("CLONE_"+step.CloneFlags(uint64(flags)), "|", "|CLONE_")))
}

// wait reaps a child, or kills it when ctx ends.
func wait(ctx context.Context, pidfd int) (Status, error) {
	stop := context.AfterFunc(ctx, func() { unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) })
	status, err := reapChild(pidfd)
	if !stop() && ctx.Err() != nil && status.Signal == unix.SIGKILL {
		return status, context.Cause(ctx)
	}
	return status, err
}

// reapChild waits for the end of a child.
func reapChild(pidfd int) (Status, error) {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PIDFD, pidfd, &info, unix.WEXITED, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return Status{Code: -1}, fmt.Errorf("waitid: %w", err)
		}
	}
	code, status := siginfoStatus(&info)
	if code == cldExited {
		return Status{Code: status}, nil
	}
	return Status{Signal: syscall.Signal(status)}, nil
}

// memfd is a file in memory with this content.
func memfd(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(content)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
