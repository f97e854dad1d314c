package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// What may be done with a container that is known by its folder (runtime.md,
// "Operations"). state.go is how it is known.

// Start lets a created container execute its program.
func (h *Handle) Start(ctx context.Context) error {
	if h.Status != specs.StateCreated {
		return fmt.Errorf("container %q cannot be started: it is %s", h.ID, h.Status)
	}
	if h.spec.Hooks != nil {
		if err := runHooks(ctx, "startContainer", h.spec.Hooks.StartContainer, h.State, h.startHook); err != nil {
			return errors.Join(err, h.Kill(unix.SIGKILL, false))
		}
	}
	open := func(name string, flags int) (*os.File, error) {
		return os.OpenFile(filepath.Join(h.dir, name), flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	}
	failed, err := open("failed", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer failed.Close()
	start, err := open("start", unix.O_WRONLY)
	if err != nil {
		return fmt.Errorf("container %q: its process does not wait: %w", h.ID, err)
	}
	defer start.Close()
	// Of two who start it, one removes this.
	if err := os.Remove(filepath.Join(h.dir, "start")); err != nil {
		return fmt.Errorf("container %q is being started already: %w", h.ID, err)
	}
	if _, err := start.Write([]byte{1}); err != nil {
		return err
	}
	h.Status = specs.StateRunning
	f, err := readFailure(ctx, failed)
	if err != nil {
		return err
	}
	if f.Index != 0 {
		// It is at its end; who asks next is to find it stopped.
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		h.AwaitEnd(ctx)
		return fmt.Errorf("starting %q: %w", h.spec.Process.Args[0], explain(h.failure(f), h.spec.Process))
	}
	if h.spec.Hooks != nil {
		if err := runHooks(ctx, "poststart", h.spec.Hooks.Poststart, h.State, outside); err != nil {
			return errors.Join(err, h.Kill(unix.SIGKILL, false))
		}
	}
	return nil
}

// failure is the error of a created process that could not go on.
func (h *Handle) failure(f step.Failure) error {
	if len(h.Steps) == 0 {
		return syscall.Errno(f.Errno)
	}
	e := h.Steps[len(h.Steps)-1]
	for _, s := range h.Steps {
		if uintptr(s.Index) == f.Index {
			e = s
		}
	}
	e.Errno = syscall.Errno(f.Errno)
	return &e
}

// readFailure waits for what a process says when it fails, or for the end: that
// comes when the last who could write is gone, at the execve.
func readFailure(ctx context.Context, r *os.File) (f step.Failure, err error) {
	if deadline, ok := ctx.Deadline(); ok {
		r.SetReadDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Now()) })
	defer stop()
	b := unsafe.Slice((*byte)(unsafe.Pointer(&f)), unsafe.Sizeof(f))
	if _, err := io.ReadFull(r, b); err != nil && !errors.Is(err, io.EOF) {
		return f, fmt.Errorf("waiting for the container's program to be executed: %w", err)
	}
	return f, nil
}

// Kill sends a signal to the first process, or to all of the container.
func (h *Handle) Kill(sig syscall.Signal, all bool) error {
	if all && h.Cgroup == "" && h.Status != specs.StateStopped {
		return h.signalMembers(sig)
	}
	if all {
		g, err := h.group()
		if err != nil {
			return err
		}
		return g.Signal(sig)
	}
	if h.Status == specs.StateStopped {
		return h.notRunning()
	}
	pidfd, err := h.pidfd()
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	if err := unix.PidfdSendSignal(pidfd, sig, nil, 0); err != nil {
		return fmt.Errorf("container %q: sending %s: %w", h.ID, unix.SignalName(sig), err)
	}
	if h.Status == statePaused && sig == unix.SIGKILL {
		// Frozen by version 1, it would not die.
		return h.Resume(context.Background())
	}
	return nil
}

// pidfd is a descriptor of the first process, and of no other that got its PID.
func (h *Handle) pidfd() (int, error) {
	fd, err := unix.PidfdOpen(h.Pid, 0)
	if err != nil {
		return -1, fmt.Errorf("container %q: process %d: %w", h.ID, h.Pid, err)
	}
	if at, err := startTime(h.Pid); err != nil || at != h.StartTime {
		unix.Close(fd)
		return -1, h.notRunning()
	}
	return fd, nil
}

// notRunning has the words of runc's error, by which engines know it.
func (h *Handle) notRunning() error { return fmt.Errorf("container not running: %q", h.ID) }

// Pause stops all processes of the container, as one (cgroup freezer).
func (h *Handle) Pause(ctx context.Context) error {
	if h.Status != specs.StateRunning {
		return fmt.Errorf("container %q cannot be paused: it is %s", h.ID, h.Status)
	}
	g, err := h.group()
	if err != nil {
		return err
	}
	return g.Freeze(ctx)
}

// Resume undoes Pause.
func (h *Handle) Resume(ctx context.Context) error {
	if h.Status != statePaused {
		return fmt.Errorf("container %q cannot be resumed: it is %s", h.ID, h.Status)
	}
	g, err := h.group()
	if err != nil {
		return err
	}
	return g.Thaw(ctx)
}

// Delete removes a stopped container, with force also one that runs, and what
// the making of one left that was cut off. A Warning says that a poststop hook
// has failed.
func (h *Handle) Delete(ctx context.Context, force bool) error {
	if h.Status != specs.StateStopped && !force && h.Status != specs.StateCreated {
		return fmt.Errorf("container %q cannot be deleted: it is %s (kill it first, or use --force)", h.ID, h.Status)
	}
	if now, err := inode(h.dir); err != nil || now != h.inode {
		return fmt.Errorf("%w any more: %q", ErrNotExist, h.ID)
	}
	var errs []error
	if h.Status != specs.StateStopped {
		if pidfd, err := h.pidfd(); err == nil {
			unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
			if h.Status == statePaused {
				errs = append(errs, h.Resume(ctx))
			}
			// Its parent reaps it; that it is dead can be told without.
			if err := awaitEnd(ctx, pidfd); err != nil {
				errs = append(errs, fmt.Errorf("container %q: process %d: %w", h.ID, h.Pid, err))
			}
			unix.Close(pidfd)
		}
	}
	if h.Cgroup != "" {
		g, err := h.group()
		if err == nil {
			err = g.Remove(ctx)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, endRdt(h.spec, h.ID))
	if err := errors.Join(errs...); err != nil {
		return err // with the folder there, it can be tried again
	}
	if err := os.RemoveAll(h.dir); err != nil {
		return err
	}
	h.Status = specs.StateStopped
	return poststop(ctx, h.spec, h.OCIState())
}

// awaitEnd waits until a process has ended, whose child it is or not
// (pidfd_open(2): its descriptor becomes readable).
func awaitEnd(ctx context.Context, pidfd int) error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 100)
		switch {
		case n > 0:
			return nil
		case err != nil && err != unix.EINTR:
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("it does not end: %w", context.Cause(ctx))
		}
	}
}

// Processes are the PIDs of all processes of the container.
func (h *Handle) Processes() ([]int, error) {
	if h.Cgroup == "" {
		if h.Status == specs.StateStopped {
			return nil, nil
		}
		return members(h.Pid)
	}
	g, err := h.group()
	if err != nil {
		return nil, err
	}
	return g.Processes()
}

// signalMembers sends a signal to all processes of a container that has no
// cgroup, by its PID namespace.
func (h *Handle) signalMembers(sig syscall.Signal) error {
	if !has(h.spec, specs.PIDNamespace) {
		return fmt.Errorf("container %q: it has neither a cgroup nor a PID namespace, so that its processes cannot be told from others", h.ID)
	}
	pids, err := members(h.Pid)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
			return fmt.Errorf("container %q: sending %s to process %d: %w", h.ID, unix.SignalName(sig), pid, err)
		}
	}
	return nil
}

// RemoveRest removes what is left of a container whose making was cut off: its
// folder. It is no error if there is none.
func RemoveRest(root, id string) error {
	dir, err := stateDir(root, id)
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
