package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/step"
)

// A container that is created, started and deleted by different processes, as
// an engine does through an OCI runtime's command line (runtime.md), is known to
// them by a folder ROOT/ID:
//
//	state.json   what the container is (Record)
//	config.json  its configuration, as it was when it was created
//	start        a FIFO: the created process waits for a byte from it
//	failed       a FIFO: it says there, as its last act, that it could not
//	             execute the program; when it could, nobody writes any more
//	lock         held by who changes the container
//
// No process of ours stays: the created one waits in a system call until it
// becomes the program.

// Record is what is kept of a container.
type Record struct {
	specs.State
	Created time.Time `json:"created"`
	// StartTime is when the first process was started (proc_pid_stat(5), field
	// 22), in clock ticks since the boot: with it a PID that was given anew is
	// not taken for the container's.
	StartTime uint64 `json:"startTime"`
	Cgroup    string `json:"cgroup,omitempty"` // linux.cgroupsPath, as it was resolved
	// Steps are what the created process still has to do, so that its failure
	// can be told.
	Steps []step.Error `json:"steps,omitempty"`
}

// The states of a container (runtime.md, "State") and, beyond the
// specification, "paused".
const statePaused specs.ContainerState = "paused"

// startGate is how a created container waits for its start.
type startGate struct{ start, failed *os.File }

// A Handle is a container in a state folder.
type Handle struct {
	Record
	dir       string
	spec      *specs.Spec
	container *Container // in the process that created it
}

// Wait waits until the first process has ended, in the process that created the
// container, whose child it is.
func (h *Handle) Wait(ctx context.Context) (Status, error) {
	if h.container == nil {
		return Status{}, errors.New("only the process that created a container can wait for it")
	}
	select {
	case <-h.container.Done():
		return h.container.Status(), nil
	case <-ctx.Done():
		return Status{}, context.Cause(ctx)
	}
}

// ErrNotExist is matched by the error for a container that there is not.
var ErrNotExist = errors.New("container does not exist")

var validID = regexp.MustCompile(`^[A-Za-z0-9_+.-]+$`)

// stateDir checks an ID, which becomes the name of a folder.
func stateDir(root, id string) (string, error) {
	if !validID.MatchString(id) || id == "." || id == ".." || len(id) > 1024 {
		return "", fmt.Errorf("container ID %q: it may have letters, digits, and the characters _ + - . only", id)
	}
	return filepath.Join(root, id), nil
}

// Create makes a container that waits to be started, in the folder root/cfg.ID.
// Spec is then read from there by those who come after.
func Create(ctx context.Context, root string, cfg Config) (_ *Handle, err error) {
	dir, err := stateDir(root, cfg.ID)
	if err != nil {
		return nil, err
	}
	if cfg.Spec == nil {
		return nil, errors.New("config.json: missing")
	}
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	if err := os.Mkdir(dir, 0o711); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("container %q exists already (%s)", cfg.ID, dir)
		}
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	defaultCgroup(cfg.Spec, cfg.ID)
	config, err := json.Marshal(cfg.Spec)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		return nil, err
	}
	var gate startGate
	for name, f := range map[string]**os.File{"start": &gate.start, "failed": &gate.failed} {
		path := filepath.Join(dir, name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return nil, &os.PathError{Op: "mkfifo", Path: path, Err: err}
		}
		// For both ways, so that opening it does not wait for somebody.
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		*f = os.NewFile(uintptr(fd), path)
		defer (*f).Close()
	}
	c, err := launch(ctx, cfg, &gate)
	if err != nil {
		return nil, err
	}
	h := &Handle{dir: dir, spec: cfg.Spec, container: c, Record: Record{State: c.state(specs.StateCreated, c.pid), Created: time.Now().UTC(), Steps: c.rest}}
	h.Cgroup = cfg.Spec.Linux.CgroupsPath
	if h.StartTime, err = startTime(c.pid); err == nil {
		err = h.save()
	}
	if err != nil {
		return nil, errors.Join(err, c.Remove(ctx))
	}
	return h, nil
}

// defaultCgroup gives a container that names no cgroup one by its ID, as other
// runtimes do.
func defaultCgroup(s *specs.Spec, id string) {
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	if s.Linux.CgroupsPath == "" {
		s.Linux.CgroupsPath = "/" + id
	}
}

// Load finds a container.
func Load(root, id string) (*Handle, error) {
	dir, err := stateDir(root, id)
	if err != nil {
		return nil, err
	}
	h := &Handle{dir: dir}
	for name, v := range map[string]any{"state.json": &h.Record, "config.json": &h.spec} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("%w: %q (there is no %s)", ErrNotExist, id, dir)
			}
			return nil, fmt.Errorf("%w: %q is being made, or its making was cut off: delete --force removes it", ErrNotExist, id)
		}
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			return nil, fmt.Errorf("container %q: %s: %w", id, name, err)
		}
	}
	h.refresh()
	return h, nil
}

// List finds all containers. One whose folder cannot be read is left out.
func List(root string) ([]*Handle, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*Handle
	for _, e := range entries {
		if h, err := Load(root, e.Name()); err == nil {
			all = append(all, h)
		}
	}
	return all, nil
}

// save replaces the record as a whole.
func (h *Handle) save() error {
	b, err := json.Marshal(h.Record)
	if err != nil {
		return err
	}
	path := filepath.Join(h.dir, "state.json")
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// refresh finds out what has become of the first process.
func (h *Handle) refresh() {
	switch at, err := startTime(h.Pid); {
	case err != nil || at != h.StartTime:
		h.Status = specs.StateStopped
	case h.Status == specs.StateCreated:
	default:
		h.Status = specs.StateRunning
		if g, err := h.group(); err == nil {
			if frozen, err := g.Frozen(); err == nil && frozen {
				h.Status = statePaused
			}
		}
	}
}

// startTime is field 22 of /proc/PID/stat. A zombie counts as gone.
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in brackets, and can hold anything.
	_, after, ok := strings.Cut(string(b[max(0, strings.LastIndexByte(string(b), ')')):]), ") ")
	f := strings.Fields(after)
	if !ok || len(f) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat: %q is short", pid, b)
	}
	if f[0] == "Z" || f[0] == "X" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return strconv.ParseUint(f[19], 10, 64)
}

func (h *Handle) group() (*cgroup.Cgroup, error) {
	if h.Cgroup == "" {
		return nil, errors.New("the container has no cgroup")
	}
	return cgroup.Load(h.Cgroup)
}

// Spec is the container's configuration.
func (h *Handle) Spec() *specs.Spec { return h.spec }

// state is the container's, as hooks and `state` tell it.
func (c *Container) state(status specs.ContainerState, pid int) specs.State {
	return specs.State{Version: specs.Version, ID: c.cfg.ID, Status: status, Pid: pid, Bundle: c.cfg.Bundle, Annotations: c.cfg.Spec.Annotations}
}

// OCIState is what the command `state` prints. A stopped container has no PID.
func (h *Handle) OCIState() specs.State {
	s := h.State
	if s.Status == specs.StateStopped {
		s.Pid = 0
	}
	return s
}

// Start lets a created container execute its program.
func (h *Handle) Start(ctx context.Context) error {
	if h.Status != specs.StateCreated {
		return fmt.Errorf("container %q cannot be started: it is %s", h.ID, h.Status)
	}
	if h.spec.Hooks != nil {
		if err := runHooks(ctx, "startContainer", h.spec.Hooks.StartContainer, h.State, true); err != nil {
			return err
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
	if _, err := start.Write([]byte{1}); err != nil {
		return err
	}
	h.Status = specs.StateRunning
	if err := h.save(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		failed.SetReadDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { failed.SetReadDeadline(time.Now()) })
	defer stop()
	// The end comes when the last who could write is gone: at the execve.
	var f step.Failure
	if err := readFailure(failed, &f); err != nil {
		return err
	}
	if f.Index != 0 {
		return fmt.Errorf("starting %q: %w", h.spec.Process.Args[0], explain(h.failure(f), h.spec.Process))
	}
	if h.spec.Hooks != nil {
		return runHooks(ctx, "poststart", h.spec.Hooks.Poststart, h.State, false)
	}
	return nil
}

// failure is the error of a created process that could not go on.
func (h *Handle) failure(f step.Failure) error {
	for _, e := range h.Steps {
		if e.Index == int(f.Index) {
			e.Errno = syscall.Errno(f.Errno)
			return &e
		}
	}
	return fmt.Errorf("call %d of its process: %w", f.Index, syscall.Errno(f.Errno))
}

// readFailure reads what the created process says when it fails, or nothing.
func readFailure(r io.Reader, f *step.Failure) error {
	b := unsafe.Slice((*byte)(unsafe.Pointer(f)), unsafe.Sizeof(*f))
	_, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) {
		return nil // it has executed its program
	}
	if err != nil {
		return fmt.Errorf("waiting for the container's program to be executed: %w", err)
	}
	return nil
}

// Kill sends a signal to the first process, or to all of the container.
func (h *Handle) Kill(sig syscall.Signal, all bool) error {
	if all {
		g, err := h.group()
		if err != nil {
			return err
		}
		pids, err := g.Processes()
		if err != nil {
			return err
		}
		var errs []error
		for _, pid := range pids {
			if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("process %d: %w", pid, err))
			}
		}
		return errors.Join(errs...)
	}
	if h.Status == specs.StateStopped {
		return fmt.Errorf("container %q is not running", h.ID)
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
		return -1, fmt.Errorf("container %q is not running", h.ID)
	}
	return fd, nil
}

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
// the making of one left that was cut off.
func (h *Handle) Delete(ctx context.Context, force bool) error {
	if h.Status != specs.StateStopped && !force && h.Status != specs.StateCreated {
		return fmt.Errorf("container %q cannot be deleted: it is %s (kill it first, or use --force)", h.ID, h.Status)
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
	if err := errors.Join(errs...); err != nil {
		return err // with the folder there, it can be tried again
	}
	if err := os.RemoveAll(h.dir); err != nil {
		return err
	}
	if h.spec.Hooks != nil {
		h.Status = specs.StateStopped
		return runHooks(ctx, "poststop", h.spec.Hooks.Poststop, h.OCIState(), false)
	}
	return nil
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
	g, err := h.group()
	if err != nil {
		return nil, err
	}
	return g.Processes()
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
