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
	"vmctr/container/network"
	"vmctr/container/rootfs"
	"vmctr/container/seccomp"
	"vmctr/container/step"
)

// Config is what a container is started from.
type Config struct {
	// ID names the container; "" for one that is known to this process alone.
	ID string
	// Spec is the configuration, as in a bundle's config.json.
	Spec *specs.Spec
	// Bundle is the folder that relative paths of Spec start from.
	Bundle string
	// Layers are the image, for a container with a mount namespace. Without
	// them the container's root is the folder Spec.Root.Path as it is.
	Layers *rootfs.Layers
	// Filter is Spec.Linux.Seccomp, compiled ahead by whoever starts many
	// containers with it; nil leaves that to each start.
	Filter *seccomp.Filter
	// Dir is a folder for what belongs to this container alone: with layers the
	// writable one ("upper", "work") and the place where the root is mounted
	// ("rootfs"). Start makes it, and refuses one that exists, since it would
	// be another container's; Remove removes it.
	Dir string
	// Stdin, Stdout and Stderr become the descriptors 0, 1 and 2, and Files
	// those from 3 on. It gets no others. With a terminal it gets that instead.
	Stdin, Stdout, Stderr *os.File
	Files                 []*os.File
	// Console is a connected UNIX socket to which the terminal's master is
	// sent, if Spec.Process.Terminal asks for one.
	Console *os.File
	// Endpoint is the container's place in a network, for one with a new network
	// namespace; nil leaves it with loopback alone. It is the container's from
	// then on: a start that fails gives it back, and so does Remove.
	Endpoint *network.Endpoint
	// NoPivot changes the root by MS_MOVE and chroot(2), for a host whose root
	// pivot_root(2) refuses, as an initramfs is. The host's tree then stays in
	// the mount namespace, below the container's.
	NoPivot bool
	// KeepKeyring leaves the container the session keyring of its parent
	// (session-keyring(7)), where one with an ID otherwise gets its own.
	KeepKeyring bool
	// Init makes the first process a small one that starts the program, sends
	// its signals on to it and reaps orphans (docker run --init).
	Init bool
	// Hold, if it is not nil, is called when all is done but to execute the program: that
	// is executed once it has returned, and not if it returns an error. The child waits
	// in a system call meanwhile, so it cannot have a filter of these (linux.seccomp).
	Hold func() error

	// Trace, if there is one, is filled in with what is done and how long it
	// takes.
	Trace *Trace

	// For tests: the calls that fail, as step.Program.FailAt, when the root is
	// made and in the child.
	failOverlayAt, failAt int
	straight              bool // no detour
}

// A Container is one running container.
type Container struct {
	// Timeline is when each phase of the start began, CLOCK_MONOTONIC.
	Timeline []step.Mark

	cfg     Config
	pid     int
	group   *cgroup.Cgroup
	dir     bool // cfg.Dir was made
	done    chan struct{}
	status  Status
	program *step.Program     // kept while a created child needs its memory
	devices []*network.Device // lent to it, while it starts
	rdt     []string          // folders of resctrl that a start has made
	hooked  bool              // hooks were run, and so poststop's have to be

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

// ExitCode is the status as a shell tells it: 128 and the number of the signal.
func (s Status) ExitCode() int {
	if s.Signal != 0 {
		return 128 + int(s.Signal)
	}
	return s.Code
}

// Start starts a container and returns once its program has been executed
// (execve(2) has succeeded). When it fails, nothing is left: no process, no
// cgroup, no mount, no folder.
//
// Cancelling ctx aborts a start, and does not end a container that runs.
func Start(ctx context.Context, cfg Config) (*Container, error) {
	var hooks specs.Hooks
	if cfg.Spec != nil && cfg.Spec.Hooks != nil {
		hooks = *cfg.Spec.Hooks
	}
	if len(hooks.StartContainer) > 0 {
		return nil, errors.New("config.json: hooks.startContainer: a container that starts at once is never created and not started: Create makes one that is")
	}
	c, err := create(ctx, cfg, nil)
	if err != nil {
		return nil, err
	}
	if err := runHooks(ctx, "poststart", hooks.Poststart, state(&cfg, specs.StateRunning, c.pid), outside); err != nil {
		return nil, errors.Join(err, c.Remove(ctx))
	}
	return c, nil
}

func now() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// openNamespaces opens the files of the namespaces that are joined, and adds
// them to opened.
func openNamespaces(s *specs.Spec, opened *[]int) ([]int, error) {
	if s.Linux == nil {
		return nil, nil
	}
	fds := make([]int, len(s.Linux.Namespaces))
	for i, n := range s.Linux.Namespaces {
		fds[i] = -1
		if n.Path == "" {
			continue
		}
		fd, err := unix.Open(n.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("config.json: linux.namespaces[%d].path: %w", i, &os.PathError{Op: "open", Path: n.Path, Err: err})
		}
		*opened = append(*opened, fd)
		fds[i] = fd
		// NS_GET_NSTYPE (ioctl_ns(2)) tells a file that is of no namespace, or of
		// another kind, from one that is meant.
		if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || uint64(kind) != namespaceFlags[n.Type] {
			return nil, fmt.Errorf("config.json: linux.namespaces[%d].path: %s is no %s namespace", i, n.Path, n.Type)
		}
		if err := checkJoined(s, n.Type, fd); err != nil {
			return nil, err
		}
	}
	return fds, nil
}

// path is a path of the configuration, which may start from the bundle.
func (c *Container) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.cfg.Bundle, name)
}

// writableLayer makes the container's own folders. The upper one will be the
// container's "/": so it belongs to its root.
func (c *Container) writableLayer() error {
	if err := os.Mkdir(c.cfg.Dir, 0o755); err != nil {
		return err
	}
	c.dir = true
	uid, gid := 0, 0
	if s := c.cfg.Spec; isNew(s, specs.UserNamespace) {
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
		if name != "rootfs" && !rootless() { // an ordinary user's are their own
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
	c.status, _ = reapChild(c.pidfd)
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
// host. A Warning says that a poststop hook has failed.
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
	err := errors.Join(c.clean(ctx), endRdt(c.cfg.Spec, c.cfg.ID))
	if c.hooked {
		c.hooked = false
		err = errors.Join(err, poststop(ctx, c.cfg.Spec, state(&c.cfg, specs.StateStopped, 0)))
	}
	return err
}

// clean removes what is not a process. With the first process of a PID
// namespace the kernel has killed all others in it, and with the last process
// of a mount namespace its mounts go.
func (c *Container) clean(ctx context.Context) error {
	var errs []error
	if c.group != nil {
		errs = append(errs, c.group.Remove(ctx))
	}
	if e := c.cfg.Endpoint; e != nil {
		// An interface goes with the last process of its namespace. Are all of
		// the container's dead? With its PID namespace or its cgroup they are.
		if c.pid == 0 || c.group != nil || isNew(c.cfg.Spec, specs.PIDNamespace) {
			errs = append(errs, e.Release())
		} else {
			errs = append(errs, e.Close())
		}
		c.cfg.Endpoint = nil
	}
	c.mu.Lock()
	if c.pidfd >= 0 {
		errs = append(errs, unix.Close(c.pidfd))
		c.pidfd = -1
	}
	c.mu.Unlock()
	if c.dir {
		errs = append(errs, removeAll(c.cfg.Dir, c.cfg.Spec))
		c.dir = false
	}
	return errors.Join(errs...)
}
