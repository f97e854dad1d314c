// Package harness is how things are measured: the run and its clean-up, the
// one clock, the schedule of rounds, and the progress that is shown.
//
// It does not know what a platform is. A trial is a function that measures
// once; the harness decides when it runs and writes down what it gave, at once.
package harness

import (
	"bufio"
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

	"vmctr/container/cgroup"
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

// NewRun sweeps what dead runs left, and starts a run.
func NewRun(ctx context.Context) (*Run, []string, error) {
	swept, err := Sweep(ctx)
	if err != nil {
		return nil, swept, fmt.Errorf("sweeping what an earlier run left: %w", err)
	}
	id := prefix + strings.ToLower(rand.Text()[:8])
	dir := filepath.Join(base(), id)
	unlock, err := lockBase()
	if err != nil {
		return nil, swept, err
	}
	defer unlock()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, swept, fmt.Errorf("making the folder of the run: %w", err)
	}
	lock, err := flock(filepath.Join(dir, "lock"), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		os.RemoveAll(dir)
		return nil, swept, err
	}
	return &Run{ID: id, Dir: dir, lock: lock}, swept, nil
}

// lockBase makes the folder of runs and holds the lock on it, so that a run
// that is just being made is not taken for a dead one.
func lockBase() (func(), error) {
	if err := os.MkdirAll(base(), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of runs: %w", err)
	}
	f, err := flock(filepath.Join(base(), "lock"), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
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
	_, err := sweepRun(ctx, r.ID)
	r.lock.Close()
	return err
}

// Sweep removes what runs left whose lock nobody holds, and says what it
// removed.
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
		if e.IsDir() && strings.HasPrefix(e.Name(), prefix) {
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
			return isRunID(name) && !slices.Contains(alive, name)
		})
		swept = append(swept, groups...)
		errs = append(errs, err)
	}
	return swept, errors.Join(errs...)
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
	if _, err := os.Lstat(dir); err == nil && len(mounts) == 0 || errors.Join(errs...) == nil {
		if err := os.RemoveAll(dir); err != nil {
			errs = append(errs, err)
		} else {
			swept = append(swept, dir)
		}
	}
	return swept, errors.Join(errs...)
}

// mountsBelow lists the mounts at and below dir, the deepest first.
func mountsBelow(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		// The fifth field is the mount point, with blanks as octal escapes,
		// which names of ours do not have (proc_pid_mountinfo(5)).
		if f := strings.Fields(s.Text()); len(f) > 4 && (f[4] == dir || strings.HasPrefix(f[4], dir+"/")) {
			list = append(list, f[4])
		}
	}
	slices.Reverse(list)
	return list, s.Err()
}
