package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/rootfs"
	"vmctr/container/step"
)

// Config is what a container is started from.
type Config struct {
	// Spec is the configuration, as in a bundle's config.json.
	Spec *specs.Spec
	// Layers are the image, for a container with a mount namespace.
	Layers *rootfs.Layers
	// Dir is a folder for what belongs to this container alone: the writable
	// layer ("upper", "work") and the place where the root is mounted
	// ("rootfs"). Start makes it, Remove removes it.
	Dir string
	// Stdin, Stdout and Stderr become the descriptors 0, 1 and 2.
	Stdin, Stdout, Stderr *os.File
}

// A Container is one running container.
type Container struct {
	// Timeline is when each phase of the start began, CLOCK_MONOTONIC.
	Timeline []step.Mark

	cfg    Config
	pid    int
	pidfd  int
	group  *cgroup.Cgroup
	done   chan struct{}
	status Status
}

// Status is how a container's first process ended.
type Status struct {
	Code   int            // exit status, if Signal is 0
	Signal syscall.Signal // the signal that ended it
}

func (s Status) String() string {
	if s.Signal != 0 {
		return "killed by signal " + unix.SignalName(s.Signal)
	}
	return fmt.Sprintf("exit status %d", s.Code)
}

// ErrUnsupported marks what this host's kernel lacks.
var ErrUnsupported = errors.New("not supported by this host")

// Start starts a container and returns once its program has been executed
// (execve(2) has succeeded). When it fails, nothing is left: no process, no
// cgroup, no mount, no folder.
//
// Cancelling ctx aborts a start, and does not end a container that runs.
func Start(ctx context.Context, cfg Config) (_ *Container, err error) {
	begin := now()
	s := cfg.Spec
	if err := check(s, cfg.Layers != nil); err != nil {
		return nil, err
	}
	c := &Container{cfg: cfg, pidfd: -1, done: make(chan struct{})}
	defer func() {
		if err != nil {
			c.clean(context.WithoutCancel(ctx))
		}
	}()
	self, err := step.Self()
	if err != nil {
		return nil, err
	}
	fds := descriptors{root: -1, self: self, stdio: [3]int{int(cfg.Stdin.Fd()), int(cfg.Stdout.Fd()), int(cfg.Stderr.Fd())}}

	// The overlay, made by the host's root and given to the child.
	var overlay *step.Program
	if has(s, specs.MountNamespace) {
		if err := writableLayer(cfg.Dir, s); err != nil {
			return nil, err
		}
		overlay = step.New()
		m := rootfs.Overlay(overlay, cfg.Layers, cfg.Dir)
		if err := overlay.Run(); err != nil {
			return nil, fmt.Errorf("joining the layers: %w", err)
		}
		fds.root, fds.at = overlay.Value(m), filepath.Join(cfg.Dir, "rootfs")
		defer unix.Close(fds.root)
	}

	// The cgroup, ready before the child is born.
	born := -1
	groupAt := now()
	if s.Linux != nil && s.Linux.CgroupsPath != "" {
		if c.group, err = cgroup.Create(s.Linux.CgroupsPath, s.Linux.Resources); err != nil {
			return nil, err
		}
		folder, tasks, err := c.group.Entrances()
		if err != nil {
			return nil, err
		}
		if folder != nil {
			defer folder.Close()
			born = int(folder.Fd())
		}
		for _, t := range tasks {
			defer t.Close()
			fds.tasks = append(fds.tasks, int(t.Fd()))
		}
	}

	cloneAt := now()
	p, gate := compile(s, fds)
	child, err := p.Clone(ctx, step.Options{Flags: cloneFlags(s), Cgroup: born, Ready: func(pid int) error {
		if has(s, specs.UserNamespace) {
			if err := mapIDs(pid, s.Linux); err != nil {
				return err
			}
		}
		gate.Open()
		return nil
	}})
	if err != nil {
		return nil, fmt.Errorf("starting %q: %w", s.Process.Args[0], err)
	}
	c.pid, c.pidfd = child.PID, child.PIDFD
	c.Timeline = append(c.Timeline, step.Mark{Phase: "start", Ns: begin})
	if overlay != nil {
		c.Timeline = append(c.Timeline, overlay.Marks()...)
	}
	c.Timeline = append(c.Timeline, step.Mark{Phase: "make cgroup", Ns: groupAt}, step.Mark{Phase: "clone", Ns: cloneAt})
	c.Timeline = append(c.Timeline, p.Marks()...)
	go c.reap()
	return c, nil
}

func now() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// writableLayer makes the container's own folders. The upper one will be the
// container's "/": so it belongs to its root.
func writableLayer(dir string, s *specs.Spec) error {
	for _, name := range []string{"upper", "work", "rootfs"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return fmt.Errorf("making the writable layer: %w", err)
		}
	}
	if has(s, specs.UserNamespace) {
		uid, _ := hostID(s.Linux.UIDMappings)
		gid, _ := hostID(s.Linux.GIDMappings)
		for _, name := range []string{"upper", "work"} {
			if err := os.Chown(filepath.Join(dir, name), uid, gid); err != nil {
				return fmt.Errorf("making the writable layer: %w", err)
			}
		}
	}
	return nil
}

// reap waits for the first process: it ends when that ends, and Remove sees to
// it that it does.
func (c *Container) reap() {
	defer close(c.done)
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PIDFD, c.pidfd, &info, unix.WEXITED, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			c.status = Status{Code: -1}
			return
		}
	}
	code, status := siginfoStatus(&info)
	if code == cldExited {
		c.status = Status{Code: status}
	} else {
		c.status = Status{Signal: syscall.Signal(status)}
	}
}

// PID is the first process, in the host's PID namespace.
func (c *Container) PID() int { return c.pid }

// Cgroup is the container's control group, nil without one.
func (c *Container) Cgroup() *cgroup.Cgroup { return c.group }

// Done is closed when the first process has ended.
func (c *Container) Done() <-chan struct{} { return c.done }

// Status is how the first process ended, once Done is closed.
func (c *Container) Status() Status { return c.status }

// Signal sends a signal to the first process. As PID 1 of its PID namespace it
// gets only signals that it handles, and SIGKILL and SIGSTOP
// (pid_namespaces(7)).
func (c *Container) Signal(sig syscall.Signal) error {
	err := unix.PidfdSendSignal(c.pidfd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil // it has ended already
	}
	return err
}

// Remove kills the container if it runs, and removes all that it left on the
// host. It may be called once.
func (c *Container) Remove(ctx context.Context) error {
	if err := c.Signal(unix.SIGKILL); err != nil {
		return fmt.Errorf("killing process %d: %w", c.pid, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	select {
	case <-c.done:
	case <-ctx.Done():
		return fmt.Errorf("process %d does not end after SIGKILL", c.pid)
	}
	return c.clean(ctx)
}

// clean removes what is not a process. With the first process of a PID
// namespace the kernel has killed all others in it, and with the last process
// of a mount namespace its mounts go.
func (c *Container) clean(ctx context.Context) error {
	var errs []error
	if c.group != nil {
		errs = append(errs, c.group.Remove(ctx))
	}
	if c.pidfd >= 0 {
		errs = append(errs, unix.Close(c.pidfd))
	}
	if has(c.cfg.Spec, specs.MountNamespace) {
		for _, name := range []string{"upper", "work", "rootfs"} {
			errs = append(errs, os.RemoveAll(filepath.Join(c.cfg.Dir, name)))
		}
		if err := os.Remove(c.cfg.Dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
