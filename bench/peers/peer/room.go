package peer

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Room is a mount namespace that one thread of this process has for itself
// (mount_namespaces(7)). A program that is started from that thread is born
// into it.
type Room struct {
	dir    string // the room's folder
	at     string // where the room sees it: a place that any user can reach
	work   chan func()
	lowers []string // the layers' mounts, the uppermost first
}

// NewRoom makes a room with a folder of this run, which exists.
//
// A runtime puts a container's root together as the user that is root in the
// container's user namespace, who has to reach the bundle, while the folder of
// a run is closed to others. So inside the room the folder is shown in the place
// of the first one on its way that others cannot pass.
//
// Without unified, a host that mounts both versions of cgroups (hybrid) shows
// only version 1 there: crun before 1.9 takes such a host for one with version 2
// alone otherwise, and fails.
func NewRoom(dir string, unified bool) (*Room, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	at, err := reachable(dir)
	if err != nil {
		return nil, err
	}
	r := &Room{dir: dir, at: at, work: make(chan func())}
	ready := make(chan error)
	go r.open(unified, ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("a mount namespace for other runtimes: %w", err)
	}
	return r, nil
}

// reachable is dir, or the first folder on the way to it that others cannot
// pass.
func reachable(dir string) (string, error) {
	for at := "/"; ; {
		if st, err := os.Stat(at); err != nil {
			return "", err
		} else if st.Mode()&1 == 0 || at == dir {
			return at, nil
		}
		rest, _ := filepath.Rel(at, dir)
		first, _, _ := strings.Cut(rest, "/")
		at = filepath.Join(at, first)
	}
}

func (r *Room) open(unified bool, ready chan<- error) {
	runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
	if unix.Gettid() == os.Getpid() {
		// Not the first thread, which does not end. While this goroutine holds
		// it, the next gets another.
		done := make(chan struct{})
		go func() { r.open(unified, ready); close(done) }()
		<-done
		runtime.UnlockOSThread()
		return
	}
	err := r.furnish(unified)
	ready <- err
	if err != nil {
		return
	}
	for f := range r.work {
		f()
	}
}

func (r *Room) furnish(unified bool) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	if !unified {
		at, err := unifiedMount()
		if err != nil {
			return err
		}
		if at != "" {
			if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
				return &os.PathError{Op: "umount", Path: at, Err: err}
			}
		}
	}
	if r.at != r.dir {
		if err := unix.Mount(r.dir, r.at, "", unix.MS_BIND, ""); err != nil {
			return &os.PathError{Op: "mount", Path: r.at, Err: err}
		}
	}
	return nil
}

// unifiedMount is where a hybrid host mounts version 2 of cgroups beside
// version 1; "" on any other.
func unifiedMount() (string, error) {
	f, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	var at string
	v1 := false
	s := bufio.NewScanner(f)
	for s.Scan() { // proc_pid_mountinfo(5)
		before, after, _ := strings.Cut(s.Text(), " - ")
		switch f := strings.Fields(before); {
		case strings.HasPrefix(after, "cgroup2 ") && len(f) > 4:
			at = f[4]
		case strings.HasPrefix(after, "cgroup "):
			v1 = true
		}
	}
	if !v1 {
		at = ""
	}
	return at, s.Err()
}

// Hybrid tells whether this host mounts both versions of cgroups.
func Hybrid() bool {
	at, err := unifiedMount()
	return err == nil && at != ""
}

// Do runs f in the room.
func (r *Room) Do(f func() error) (err error) {
	done := make(chan struct{})
	r.work <- func() { err = f(); close(done) }
	<-done
	return err
}

// Close ends the room; what is mounted in it goes with the last process in it.
func (r *Room) Close() error {
	close(r.work)
	return errors.Join(os.RemoveAll(filepath.Join(r.dir, "layers")), os.RemoveAll(filepath.Join(r.dir, "null")), os.RemoveAll(filepath.Join(r.dir, "state")))
}

// state is where runtimes keep what they know of their containers.
func (r *Room) state() string { return filepath.Join(r.at, "state") }

// Layers mounts the layers of an image, the lowest first, ID-mapped into a user
// namespace as rootfs.OpenLayers does, for all bundles of the room: a runtime
// that knows nothing of ID-mapped layers then finds them owned by the users of
// its container.
func (r *Room) Layers(dirs []string, userns *os.File) error {
	for i, dir := range dirs {
		name := filepath.Join("layers", strconv.Itoa(i))
		if err := os.MkdirAll(filepath.Join(r.dir, name), 0o755); err != nil {
			return err
		}
		// Not in the room, which may hide it.
		fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return &os.PathError{Op: "open_tree", Path: dir, Err: err}
		}
		at := filepath.Join(r.at, name)
		err = r.Do(func() error { return attach(fd, at, userns) })
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("layer %s: %w", dir, err)
		}
		r.lowers = append([]string{at}, r.lowers...)
	}
	return nil
}

// attach puts a detached mount in its place, read-only and ID-mapped.
func attach(fd int, at string, userns *os.File) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns.Fd())}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return os.NewSyscallError("mount_setattr", err)
	}
	return os.NewSyscallError("move_mount", unix.MoveMount(fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// Null gives the room a null device of its own. Where a container's standard streams are
// /dev/null, crun 1.8 gives that to the container's user; so it is not the host's.
func (r *Room) Null() error {
	const name = "null"
	if err := os.Mkdir(filepath.Join(r.dir, name), 0o755); errors.Is(err, fs.ErrExist) {
		return nil // it has one
	} else if err != nil {
		return err
	}
	at := filepath.Join(r.at, name)
	device := filepath.Join(at, name)
	return r.Do(func() error {
		// A mount of its own: that of the folder may allow no devices (mount(8), nodev).
		if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "size=64k,mode=755"); err != nil {
			return &os.PathError{Op: "mount", Path: at, Err: err}
		}
		if err := unix.Mknod(device, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil { // null(4)
			return &os.PathError{Op: "mknod", Path: device, Err: err}
		}
		if err := os.Chmod(device, 0o666); err != nil { // whatever the umask is
			return err
		}
		if err := unix.Mount(device, os.DevNull, "", unix.MS_BIND, ""); err != nil {
			return &os.PathError{Op: "mount", Path: os.DevNull, Err: err}
		}
		return nil
	})
}

// Lowerdir is the layers' mounts, as the option of an overlay.
func (r *Room) Lowerdir() string { return strings.Join(r.lowers, ":") }

// At is where the room sees its folder.
func (r *Room) At() string { return r.at }
