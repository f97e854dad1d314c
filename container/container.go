package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
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
	// ("rootfs"). Start makes it, and refuses one that exists, since it would
	// be another container's; Remove removes it.
	Dir string
	// Stdin, Stdout and Stderr become the descriptors 0, 1 and 2, and Files
	// those from 3 on. It gets no others.
	Stdin, Stdout, Stderr *os.File
	Files                 []*os.File

	// For tests: the calls that fail, as step.Program.FailAt, when the layers
	// are joined and in the child.
	failOverlayAt, failAt int
}

// A Container is one running container.
type Container struct {
	// Timeline is when each phase of the start began, CLOCK_MONOTONIC.
	Timeline []step.Mark

	cfg    Config
	pid    int
	group  *cgroup.Cgroup
	dir    bool // cfg.Dir was made
	done   chan struct{}
	status Status

	mu    sync.Mutex
	pidfd int // -1 when closed; reap uses it without mu, and Remove waits for reap
}

// Status is how a container's first process ended.
type Status struct {
	Code   int            // exit status, if Signal is 0
	Signal syscall.Signal // the signal that ended it
	// OutOfMemory is set if the kernel killed a process of the container
	// because it was over its memory limit.
	OutOfMemory bool
}

func (s Status) String() string {
	text := fmt.Sprintf("exit status %d", s.Code)
	if s.Signal != 0 {
		text = "killed by signal " + unix.SignalName(s.Signal)
	}
	if s.OutOfMemory {
		text += " (over its memory limit)"
	}
	return text
}

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
	if cfg.Stdin == nil || cfg.Stdout == nil || cfg.Stderr == nil {
		return nil, errors.New("a container needs a standard input, output and error: os.DevNull for none")
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c := &Container{cfg: cfg, pidfd: -1, done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.clean(context.WithoutCancel(ctx)))
		}
	}()
	self, err := step.Self()
	if err != nil {
		return nil, err
	}
	fds := descriptors{root: -1, self: self, uid: os.Geteuid(), gid: os.Getegid()}
	for _, f := range append([]*os.File{cfg.Stdin, cfg.Stdout, cfg.Stderr}, cfg.Files...) {
		fds.files = append(fds.files, int(f.Fd()))
	}

	// The overlay, made by the host's root and given to the child.
	var overlay *step.Program
	if has(s, specs.MountNamespace) {
		if err := c.writableLayer(); err != nil {
			return nil, fmt.Errorf("making the writable layer: %w", err)
		}
		overlay = step.New()
		overlay.FailAt = cfg.failOverlayAt
		m := rootfs.Overlay(overlay, cfg.Layers, cfg.Dir)
		if err := rootfs.Run(overlay); err != nil {
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
	p.FailAt = cfg.failAt
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
		return nil, fmt.Errorf("starting %q: %w", s.Process.Args[0], explain(err, s.Process))
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
func (c *Container) writableLayer() error {
	if err := os.Mkdir(c.cfg.Dir, 0o755); err != nil {
		return err
	}
	c.dir = true
	uid, gid := 0, 0
	if s := c.cfg.Spec; has(s, specs.UserNamespace) {
		uid, _ = hostID(s.Linux.UIDMappings)
		gid, _ = hostID(s.Linux.GIDMappings)
	}
	for _, name := range []string{"upper", "work", "rootfs"} {
		path := filepath.Join(c.cfg.Dir, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		// Whatever our umask is: every user inside has to pass through "/".
		if err := os.Chmod(path, 0o755); err != nil {
			return err
		}
		if name != "rootfs" {
			if err := os.Chown(path, uid, gid); err != nil {
				return err
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
	if c.group != nil {
		kills, _ := c.group.OutOfMemoryKills() // 0 where the kernel does not tell
		c.status.OutOfMemory = kills > 0
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pidfd < 0 {
		return nil // it has ended, and been removed
	}
	err := unix.PidfdSendSignal(c.pidfd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil // it has ended already
	}
	return err
}

// Remove kills the container if it runs, and removes all that it left on the
// host.
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
	c.mu.Lock()
	if c.pidfd >= 0 {
		errs = append(errs, unix.Close(c.pidfd))
		c.pidfd = -1
	}
	c.mu.Unlock()
	if c.dir {
		errs = append(errs, os.RemoveAll(c.cfg.Dir))
		c.dir = false
	}
	return errors.Join(errs...)
}
