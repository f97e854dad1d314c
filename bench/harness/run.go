// Package harness is how things are measured: the run and its clean-up, the
// one clock, the schedule of rounds, and the progress that is shown.
//
// It does not know what a platform is. A trial is a function that measures
// once; the harness decides when it runs and writes down what it gave, at once.
//
// An experiment is a [Plan] of trials, and runs in rounds. In each round every trial has
// its turn, in an order that the seed decides (order.go). A trial whose main value is
// known well enough has no more turns (series.go), and when all are, or the time is spent,
// the experiment has ended. A round is also a block: it has a record of what the host was
// like, and each sample says whether others disturbed it, which is judged while nothing of
// ours runs (meter.go). A run that was stopped, wherever it was, goes on from what its
// journal holds: the same rounds in the same order, without those samples (past.go).
package harness

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/engine"
	"vmctr/bench/isolation/ftrace"
	"vmctr/bench/isolation/probe"
	"vmctr/container/cgroup"
	"vmctr/container/network"
)

// Now is the host's CLOCK_MONOTONIC in nanoseconds (clock_gettime(2)): the one
// clock of every figure.
func Now() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// A Run is one execution of bench that makes things on the host. All of them
// carry its ID in their names, and it holds the lock on its folder: so another
// bench can tell what a dead one left.
type Run struct {
	ID  string // "bench-" and eight characters
	Dir string // /run/bench/ID

	lock *os.File
}

// base is the folder of all runs of this user.
func base() string {
	if os.Geteuid() == 0 {
		return "/run/bench"
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "bench")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("bench-%d", os.Geteuid()))
}

const prefix = "bench-"

// Reachable is a folder of a run, by the run's ID, outside of [Run.Dir] and for what others
// than its user are to be able to reach: Dir itself they cannot enter. Who needs it makes
// and removes it; it goes with the run at the latest.
func Reachable(id string) string { return filepath.Join(os.TempDir(), id+"-reachable") }

// NetworkID is the run's ID as the name of an interface can hold it (network.Open).
func (r *Run) NetworkID() string { return networkID(r.ID) }

func networkID(id string) string { return strings.TrimPrefix(id, prefix) }

// NewRun starts a run. Sweep what dead ones left before it.
func NewRun() (*Run, error) {
	id := prefix + strings.ToLower(rand.Text()[:8])
	dir := filepath.Join(base(), id)
	unlock, err := lockBase()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the run: %w", err)
	}
	lock, err := flock(filepath.Join(dir, "lock"), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return &Run{ID: id, Dir: dir, lock: lock}, nil
}

// lockBase makes the folder of runs and holds the lock on it, so that a run
// that is just being made is not taken for a dead one.
func lockBase() (func(), error) {
	if err := os.MkdirAll(base(), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of runs: %w", err)
	}
	// Where the folder is in /tmp, somebody else can have made it first.
	if err := owned(base()); err != nil {
		return nil, err
	}
	f, err := flock(filepath.Join(base(), "lock"), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// owned tells whether a folder is one that only this user can change.
func owned(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("the folder of runs %s is not a folder that belongs to user %d and that only they can write; remove it", dir, os.Geteuid())
	}
	return nil
}

func flock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "flock", Path: path, Err: err}
	}
	return f, nil
}

// Close removes all that the run made.
func (r *Run) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	// Another bench that sweeps must not find the folder while it goes.
	unlock, err := lockBase()
	if err == nil {
		defer unlock()
	}
	_, swept := sweepRun(ctx, r.ID)
	r.lock.Close()
	return errors.Join(err, swept, sweepNames())
}

// Sweep removes what runs left whose lock nobody holds, in container engines too, and
// says what it removed.
func Sweep(ctx context.Context) ([]string, error) {
	unlock, err := lockBase()
	if err != nil {
		return nil, err
	}
	defer unlock()
	// A run can have left a cgroup and no folder: /run is empty after a boot,
	// but then so are the cgroups; so folders tell all that is to know, and
	// cgroups without a folder are swept too.
	var ids []string
	entries, err := os.ReadDir(base())
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() && isRunID(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	var swept []string
	var errs []error
	var alive []string
	for _, id := range ids {
		lock, err := flock(filepath.Join(base(), id, "lock"), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			alive = append(alive, id)
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		s, err := sweepRun(ctx, id)
		swept = append(swept, s...)
		errs = append(errs, err)
		if lock != nil {
			lock.Close()
		}
	}
	if os.Geteuid() == 0 {
		groups, err := cgroup.Sweep(ctx, func(name string) bool {
			if !isRunID(name) || slices.Contains(alive, name) {
				return false
			}
			// One without a folder can belong to a bench with another /run, in a
			// container: as long as it runs, there are processes in it now and then,
			// and when it has none, its group is made again.
			return slices.Contains(ids, name) || empty(name)
		})
		swept = append(swept, groups...)
		errs = append(errs, err)
	}
	left, err := probe.Sweep()
	swept = append(swept, left...)
	errs = append(errs, err, sweepNames())
	return swept, errors.Join(errs...)
}

// empty tells whether no process is in a cgroup.
func empty(name string) bool {
	g, err := cgroup.Load("/" + name)
	if err != nil {
		return false
	}
	pids, err := g.Processes()
	return err == nil && len(pids) == 0
}

// isRunID tells a name that NewRun gave from others that only begin like one.
func isRunID(name string) bool {
	tail, ok := strings.CutPrefix(name, prefix)
	return ok && len(tail) == 8 && strings.Trim(tail, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// sweepRun removes what carries the ID of one run, its processes first.
func sweepRun(ctx context.Context, id string) ([]string, error) {
	dir := filepath.Join(base(), id)
	var swept []string
	var errs []error
	if os.Geteuid() == 0 {
		groups, err := cgroup.Sweep(ctx, func(name string) bool { return name == id })
		swept = append(swept, groups...)
		errs = append(errs, err)
		interfaces, err := network.Sweep(ctx, func(name string) bool { return name == networkID(id) })
		swept = append(swept, interfaces...)
		if err != nil { // only the folder tells of them: it stays, for the next to try again
			return swept, errors.Join(append(errs, err)...)
		}
	}
	held, err := engine.Sweep(ctx, dir)
	swept = append(swept, held...)
	if err != nil { // again, only the folder tells
		return swept, errors.Join(append(errs, err)...)
	}
	if err := RestoreKSM(dir); err != nil { // only the folder tells how it was
		return swept, errors.Join(append(errs, err)...)
	}
	if err := ftrace.Sweep(id, dir); err != nil { // likewise, that it has traced
		return swept, errors.Join(append(errs, err)...)
	}
	mounts, err := mountsBelow(dir)
	errs = append(errs, err)
	for _, m := range mounts {
		if err := unix.Unmount(m, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			errs = append(errs, &os.PathError{Op: "umount", Path: m, Err: err})
			continue
		}
		swept = append(swept, "mount "+m)
	}
	// Removing the folder with something still mounted in it would remove what
	// the mount shows, which can be anybody's. So look again.
	if left, err := mountsBelow(dir); err != nil || len(left) > 0 {
		for _, m := range left {
			errs = append(errs, fmt.Errorf("%s stays: %s is still mounted", dir, m))
		}
		return swept, errors.Join(append(errs, err)...)
	}
	if _, err := os.Lstat(Reachable(id)); err == nil {
		if err := os.RemoveAll(Reachable(id)); err != nil {
			errs = append(errs, err)
		} else {
			swept = append(swept, Reachable(id))
		}
	}
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return swept, errors.Join(errs...)
	}
	if err := os.RemoveAll(dir); err != nil {
		errs = append(errs, err)
	} else {
		swept = append(swept, dir)
	}
	return swept, errors.Join(errs...)
}

// mountsBelow lists the mounts at and below dir, the last mounted first.
func mountsBelow(dir string) ([]string, error) {
	// The kernel has resolved the links in the names of mounts. One in the
	// place of dir itself is not followed: its target is not ours.
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(parent, filepath.Base(dir))
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var list []string
	for line := range strings.Lines(string(b)) {
		// The fifth field is the mount point (proc_pid_mountinfo(5)).
		if f := strings.Fields(line); len(f) > 4 {
			if point := unescape.Replace(f[4]); point == dir || strings.HasPrefix(point, dir+"/") {
				list = append(list, point)
			}
		}
	}
	slices.Reverse(list)
	return list, nil
}

// unescape undoes what mountinfo does to white space and backslashes.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
