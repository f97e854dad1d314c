package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
)

// Attempts to change what is mounted, or to get at the host's files by mounting.
var mount = []Probe{
	{
		Name:  "mount-tmpfs",
		Plant: marker,
		Attempt: func(word string) Attempt {
			dir, err := scratch()
			if err != nil {
				return Attempt{Call: "making a folder to mount on", Errno: errno.Name(err)}
			}
			if err := unix.Mount(word, dir, "tmpfs", 0, "size=4k"); err != nil {
				os.Remove(dir)
				return refused("mount(2)", err)
			}
			return did("mount(2)", "")
		},
		Reached: inHostMounts,
	},
	{
		Name:    "mount-new-api",
		Plant:   marker,
		Attempt: newMount,
		Reached: inHostMounts,
	},
	{
		Name:  "mount-remount",
		Plant: knob(another, "/proc/sys/fs/lease-break-time"),
		Attempt: func(canary string) Attempt {
			return writeOrRemount(canary, "mount(2), MS_REMOUNT of /proc/sys", func() error {
				return unix.Mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND, "")
			})
		},
		Reached: turned,
	},
	{
		Name:  "mount-setattr",
		Plant: knob(another, "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs"),
		Attempt: func(canary string) Attempt {
			return writeOrRemount(canary, "mount_setattr(2) of /sys", func() error {
				return unix.MountSetattr(unix.AT_FDCWD, "/sys", 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
			})
		},
		Reached: turned,
	},
	{
		Name:  "mount-sysfs",
		Plant: knob(another, "/sys/kernel/mm/transparent_hugepage/khugepaged/alloc_sleep_millisecs"),
		Attempt: func(canary string) Attempt {
			path, value, _ := strings.Cut(canary, " ")
			return fresh("sysfs", "", func(dir string) Attempt {
				if err := writeKnob(dir+strings.TrimPrefix(path, "/sys"), value); err != nil {
					return refused("writing to the new sysfs", err)
				}
				return did("writing to the new sysfs", "")
			})
		},
		Reached: turned,
	},
	{
		Name:  "mount-proc",
		Plant: plantKey,
		Attempt: func(string) Attempt {
			return fresh("proc", "", func(dir string) Attempt {
				a := canariesIn(dir + "/keys")
				a.Call = "reading keys in the new mount"
				return a
			})
		},
	},
	{
		Name:  "mount-unmask",
		Plant: plantKey,
		Attempt: func(string) Attempt {
			for range 3 { // one mask may lie on another
				err := unix.Unmount("/proc/keys", unix.MNT_DETACH)
				if err == unix.EINVAL && !isMount("/proc/keys") { // nothing is on it
					break
				}
				if err != nil {
					return refused("umount2(2) of what lies on /proc/keys", err)
				}
			}
			return canariesIn("/proc/keys")
		},
	},
	{
		Name: "mount-cgroup",
		Plant: func(h *Host) (string, error) {
			_, err := h.group()
			return "", err
		},
		Attempt: func(string) Attempt {
			return fresh("cgroup2", "", func(dir string) Attempt { return namesIn(dir) })
		},
		Reached: func(h *Host, _ string, a Attempt) (bool, string) {
			return found(strings.Contains(a.Saw, h.groupName()), "it has", "the host's control group")
		},
	},
	{
		Name: "mount-tracefs",
		Plant: func(h *Host) (string, error) {
			dir, err := h.view("tracefs")
			if err != nil {
				return "", err
			}
			return "", h.folder(dir+"/instances", h.groupName())
		},
		Attempt: func(string) Attempt {
			return fresh("tracefs", "", func(dir string) Attempt { return namesIn(dir + "/instances") })
		},
		Reached: func(h *Host, _ string, a Attempt) (bool, string) {
			return found(strings.Contains(a.Saw, h.groupName()), "it has", "the host's instance of the tracer")
		},
	},
	{
		Name:    "mount-chroot",
		Plant:   (*Host).secret,
		Attempt: func(path string) Attempt { return apart(path, &syscall.SysProcAttr{}, "mount-chroot")[0] },
	},
	{
		Name: "mount-setns",
		Plant: func(h *Host) (string, error) {
			tid, err := h.thread(func() error {
				if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
					return fmt.Errorf("unshare(2) of the mounts: %w", err)
				}
				if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
					return fmt.Errorf("making the mounts private: %w", err)
				}
				if err := unix.Mount("none", h.Dir, "tmpfs", 0, "size=64k"); err != nil {
					return fmt.Errorf("mounting what only the namespace has: %w", err)
				}
				_, err := h.secret()
				return err
			})
			return fmt.Sprintf("%d %s", tid, h.file("secret")), err
		},
		Attempt: func(canary string) Attempt {
			tid, path, _ := strings.Cut(canary, " ")
			if err := joinNamespace(tid, "mnt"); err != nil {
				return refused("setns(2) to a mount namespace", err)
			}
			return canariesIn(path)
		},
	},
	{
		Name: "mount-open-tree",
		Plant: func(h *Host) (string, error) {
			path, err := h.secret()
			return fmt.Sprintf("/proc/%d/root%s", os.Getpid(), path), err
		},
		Attempt: func(path string) Attempt {
			fd, err := unix.OpenTree(unix.AT_FDCWD, filepath.Dir(path), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
			if err != nil {
				return refused("open_tree(2)", err)
			}
			defer unix.Close(fd)
			return canariesIn(fmt.Sprintf("/proc/self/fd/%d/%s", fd, filepath.Base(path)))
		},
	},
}

// inHostMounts looks for a mount by its source, and unmounts it.
func inHostMounts(_ *Host, word string, _ Attempt) (bool, string) {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	at := mountPoints(string(b), word)
	for _, dir := range at {
		unix.Unmount(dir, unix.MNT_DETACH)
		os.Remove(dir)
	}
	if len(at) == 0 {
		return false, "it is not in the host's table of mounts"
	}
	return true, "it is in the host's table of mounts"
}

// mountPoints are where a source is mounted (proc_pid_mountinfo(5)).
func mountPoints(mountinfo, source string) (dirs []string) {
	for line := range strings.Lines(mountinfo) {
		mount, fs, ok := strings.Cut(line, " - ")
		if f := strings.Fields(fs); !ok || len(f) < 2 || f[1] != source {
			continue
		}
		if f := strings.Fields(mount); len(f) > 4 {
			dirs = append(dirs, f[4])
		}
	}
	return dirs
}

func isMount(dir string) bool {
	b, _ := os.ReadFile("/proc/thread-self/mountinfo")
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == dir {
			return true
		}
	}
	return false
}

// newMount mounts with the system calls of Linux 5.2, of which older filters know nothing.
func newMount(word string) Attempt {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return refused("fsopen(2)", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "source", word); err != nil {
		return refused("fsconfig(2)", err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return refused("fsconfig(2)", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return refused("fsmount(2)", err)
	}
	defer unix.Close(fd)
	dir, err := scratch()
	if err != nil {
		return Attempt{Call: "making a folder to mount on", Errno: errno.Name(err)}
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		os.Remove(dir)
		return refused("move_mount(2)", err)
	}
	return did("move_mount(2)", "")
}

// writeOrRemount turns a knob; where the file system is read-only, it is made writable first.
func writeOrRemount(canary, call string, remount func() error) Attempt {
	path, value, _ := strings.Cut(canary, " ")
	err := writeKnob(path, value)
	if err == nil {
		return did("writing to "+path, "")
	}
	if errno.Name(err) != "EROFS" {
		return refused("writing to "+path, err)
	}
	if err := remount(); err != nil {
		return refused(call, err)
	}
	if err := writeKnob(path, value); err != nil {
		return refused("writing to "+path+" after "+call, err)
	}
	return did(call, "")
}

// leaveChroot is the way out of a chroot(2) for who may call it: enter another one below,
// while still being in a folder outside of it; from there ".." is not held up by it.
func leaveChroot(path string) Attempt {
	dir, err := scratch()
	if err != nil {
		return Attempt{Call: "making a folder for it", Errno: errno.Name(err)}
	}
	defer os.Remove(dir) // in vain if it came out
	if err := unix.Chdir("/"); err != nil {
		return refused("chdir(2)", err)
	}
	if err := unix.Chroot(dir); err != nil {
		return refused("chroot(2)", err)
	}
	for range 64 {
		if err := unix.Chdir(".."); err != nil {
			return refused("chdir(2)", err)
		}
	}
	if err := unix.Chroot("."); err != nil {
		return refused("chroot(2)", err)
	}
	return canariesIn(path)
}

// joinNamespace brings this thread into a namespace of another one.
func joinNamespace(tid, name string) error {
	fd, err := unix.Open("/proc/"+tid+"/ns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setns(fd, 0)
}

// canariesIn gives the lines of a file that have a canary in them.
func canariesIn(path string) Attempt {
	b, err := os.ReadFile(path)
	if err != nil {
		return refused("reading "+path, err)
	}
	var found []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "canary-") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return did("reading "+path, strings.Join(found, " "))
}

// namesIn gives the names in a folder that are the host's canaries.
func namesIn(dir string) Attempt {
	found, _ := filepath.Glob(dir + "/" + groupPrefix + "*")
	if _, err := os.ReadDir(dir); err != nil {
		return refused("reading "+filepath.Base(dir), err)
	}
	return did("reading the new mount", strings.Join(found, " "))
}

// plantKey adds a key to the keyring of the host's root. Any process of the host's root sees
// in /proc/keys what it is called.
func plantKey(h *Host) (string, error) {
	id, err := h.key(h.Word(), "of no use")
	return strconv.Itoa(id), err
}

// key adds a key to the keyring of the user. It is gone within two minutes in any case.
func (h *Host) key(name, payload string) (id int, err error) {
	id, err = unix.AddKey("user", name, []byte(payload), unix.KEY_SPEC_USER_KEYRING)
	if err != nil {
		return 0, fmt.Errorf("add_key(2): %w", err)
	}
	unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, id, 120, 0, 0)
	h.Later(func() error {
		_, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_USER_KEYRING, 0, 0)
		return err
	})
	return id, nil
}

// groupPrefix begins the names of the folders that the host makes in file systems of the
// kernel. What follows is the PID of whoever has made it, and a part of the word.
const groupPrefix = "bench-probe-"

func (h *Host) groupName() string {
	return fmt.Sprintf("%s%d-%s", groupPrefix, os.Getpid(), h.hex())
}

// group makes a control group (cgroup v2) on the host, and gives a path to it.
func (h *Host) group() (dir string, err error) {
	root, err := h.view("cgroup2")
	if err != nil {
		return "", err
	}
	return root + "/" + h.groupName(), h.folder(root, h.groupName())
}

// folder makes a folder in a file system of the kernel.
func (h *Host) folder(in, name string) error {
	dir := filepath.Join(in, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	h.Later(func() error { return unix.Rmdir(dir) })
	return nil
}
