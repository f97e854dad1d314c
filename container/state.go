package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

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
//	start        a FIFO: the created process waits for a byte from it; whoever
//	             starts the container removes it, so that it is "created" as long
//	             as this is there
//	failed       a FIFO: it says there, as its last act, that it could not
//	             execute the program; when it could, nobody writes any more
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
	Keyring   string `json:"keyring,omitempty"`
	Cgroup    string `json:"cgroup,omitempty"` // linux.cgroupsPath, as it was resolved
	// Steps are what the created process still has to do, so that its failure
	// can be told.
	Steps []step.Error `json:"steps,omitempty"`
}

// The states of a container (runtime.md, "State") and, beyond the
// specification, "paused".
const statePaused specs.ContainerState = "paused"

// startGate is how a created container waits for its start.
type startGate struct {
	start, failed *os.File
	// born is called once there is a process, which meanwhile makes its tree. It
	// is given what the process will still have to do when it is created.
	born func(pid int, rest []step.Error) error
}

// A Handle is a container in a state folder.
type Handle struct {
	Record
	dir       string
	inode     uint64 // of dir: another may have its name by now
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
		h.Status = specs.StateStopped
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
	if cfg.Endpoint != nil {
		return nil, errors.New("a container that others delete cannot have an endpoint, which this process holds: its engine connects it")
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
	h := &Handle{dir: dir, spec: cfg.Spec}
	if h.inode, err = inode(dir); err != nil {
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
	// While the process works, what it is is written down.
	gate.born = func(pid int, rest []step.Error) error {
		h.Record = Record{State: state(&cfg, specs.StateCreated, pid), Created: time.Now().UTC(), Cgroup: cfg.Spec.Linux.CgroupsPath, Steps: rest}
		if !cfg.KeepKeyring {
			h.Keyring = keyring(cfg.ID)
		}
		config, err := json.Marshal(cfg.Spec)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
			return err
		}
		if h.StartTime, err = startTime(pid); err != nil {
			return err
		}
		return h.save()
	}
	if h.container, err = launch(ctx, cfg, &gate); err != nil {
		return nil, err
	}
	return h, nil
}

// inode is a file's number.
func inode(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}

// defaultCgroup gives a container that names no cgroup one by its ID, as other
// runtimes do; that of an ordinary user only where they have one to make it in.
func defaultCgroup(s *specs.Spec, id string) {
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	if s.Linux.CgroupsPath != "" {
		return
	}
	if !powerless() {
		s.Linux.CgroupsPath = "/" + id
	} else if d, err := cgroup.Delegated(); err == nil && d != nil {
		s.Linux.CgroupsPath = path.Join(d.Name, "bench-oci-"+id)
	}
}

// Load finds a container.
func Load(root, id string) (*Handle, error) {
	dir, err := stateDir(root, id)
	if err != nil {
		return nil, err
	}
	h := &Handle{dir: dir}
	h.inode, _ = inode(dir) // if there is none, that shows right below
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
	case h.waits():
		h.Status = specs.StateCreated
	default:
		h.Status = specs.StateRunning
		if g, err := h.group(); err == nil {
			if frozen, err := g.Frozen(); err == nil && frozen {
				h.Status = statePaused
			}
		}
	}
}

// waits tells whether nobody has started the container yet.
func (h *Handle) waits() bool {
	_, err := os.Lstat(filepath.Join(h.dir, "start"))
	return err == nil
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
		return nil, errors.New("the container has no cgroup (an ordinary user's has one only where they may make one: " + ownCgroup + ")")
	}
	return cgroup.Load(h.Cgroup)
}

// Spec is the container's configuration.
func (h *Handle) Spec() *specs.Spec { return h.spec }

// state is the container's, as hooks and `state` tell it.
func state(cfg *Config, status specs.ContainerState, pid int) specs.State {
	return specs.State{Version: specs.Version, ID: cfg.ID, Status: status, Pid: pid, Bundle: cfg.Bundle, Annotations: cfg.Spec.Annotations}
}

// OCIState is what the command `state` prints. A stopped container has no PID.
func (h *Handle) OCIState() specs.State {
	s := h.State
	if s.Status == specs.StateStopped {
		s.Pid = 0
	}
	return s
}
