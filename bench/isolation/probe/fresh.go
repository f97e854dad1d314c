package probe

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
)

// scratch makes an empty folder, wherever that can be done: the image may be read-only, and
// have no /tmp.
func scratch() (dir string, err error) {
	for _, in := range []string{"/dev/shm", "/tmp", "/run", "/"} {
		if dir, err = os.MkdirTemp(in, "probe-"); err == nil {
			return dir, nil
		}
	}
	return "", err
}

// fresh mounts a file system that the kernel makes up, such as proc, has a look at it, and
// unmounts it again.
func fresh(fstype, options string, look func(dir string) Attempt) Attempt {
	dir, err := scratch()
	if err != nil {
		return Attempt{Call: "making a folder to mount on", Errno: errno.Name(err)}
	}
	defer os.Remove(dir)
	if err := unix.Mount("none", dir, fstype, 0, options); err != nil {
		return refused("mount(2) of "+fstype, err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	return look(dir)
}

// view gives the host a path to a file system that the kernel makes up. It is mounted
// nowhere: so it goes with this process, whatever ends that.
//
// Options are "name=value" or "name".
func (h *Host) view(fstype string, options ...string) (dir string, err error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("the host has no file system %s: fsopen: %w", fstype, err)
	}
	defer unix.Close(fs)
	for _, o := range options {
		if name, value, ok := strings.Cut(o, "="); ok {
			err = unix.FsconfigSetString(fs, name, value)
		} else {
			err = unix.FsconfigSetFlag(fs, name)
		}
		if err != nil {
			return "", fmt.Errorf("making a file system %s: fsconfig of %s: %w", fstype, o, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return "", fmt.Errorf("making a file system %s: fsconfig: %w", fstype, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("making a mount of %s: fsmount: %w", fstype, err)
	}
	h.Later(func() error { return unix.Close(fd) })
	return fmt.Sprintf("/proc/self/fd/%d", fd), nil
}

// thread runs f on a thread of the host's that stays as f has made it, in namespaces of its
// own for instance, until the session ends. Its ID is good for what is in /proc.
func (h *Host) thread(f func() error) (tid int, err error) {
	begun, end := make(chan error), make(chan struct{})
	var run func()
	run = func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the function
		if tid = unix.Gettid(); tid == os.Getpid() {
			// The first thread is the process, for whoever looks.
			go run()
			<-end
			runtime.UnlockOSThread()
			return
		}
		err := f()
		begun <- err
		if err == nil {
			<-end
		}
	}
	go run()
	if err = <-begun; err != nil {
		close(end)
		return 0, err
	}
	h.Later(func() error { close(end); return nil })
	return tid, nil
}

// note gives a function that notes what has come to the host, where its judge finds it.
func (h *Host) note() (heard func(what string)) {
	name := h.file("heard")
	return func(what string) {
		if f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
			f.WriteString(what + "\n")
			f.Close()
		}
	}
}

// noted is all that was noted for the probe at hand.
func (h *Host) noted() string {
	b, _ := os.ReadFile(h.file("heard"))
	return string(b)
}

// bystander is a process of the host's for several probes, none of which harms it.
func (h *Host) bystander() (pid int, err error) {
	if h.stander == 0 {
		h.stander, err = h.process("bystander")
	}
	return h.stander, err
}

// found says who has found what, or has not.
func found(yes bool, who, what string) (bool, string) {
	if !yes {
		who += " not"
	}
	return yes, who + " found " + what
}

// secret makes a file of the host's that has the secret word in it.
func (h *Host) secret() (path string, err error) {
	path = h.file("secret")
	return path, os.WriteFile(path, []byte(h.Word()), 0o644)
}

// marker is a plant that only tells the word: to leave it where the host can see it.
func marker(h *Host) (string, error) { return h.Word(), nil }

// another gives a number that is not the one in old, nor far from it.
func another(_ *Host, old string) string {
	n, _ := strconv.Atoi(old)
	return strconv.Itoa(n + 1 + rand.IntN(1000))
}

// hex is the part of the word that is random: for names that may not be longer.
func (h *Host) hex() string { return strings.TrimPrefix(h.Word(), "canary-") }
