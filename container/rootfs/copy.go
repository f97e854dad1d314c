package rootfs

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// A tmpfs with the option tmpcopyup shows at first what the image has in its
// place (config.md, "Linux mount options"). The parent copies that, since the
// child can do nothing that depends on what it reads: it opens the image's folder
// and the new mount, and waits at a gate.

// A Copy is one such mount.
type Copy struct {
	dest     string
	options  []string
	program  *step.Program
	gate     *step.Gate
	from, to step.Result
}

const copyPatience = 5 * time.Minute

// copyUp makes a mount with the content of the image's folder.
func (r *Root) copyUp(m specs.Mount, o options) {
	p := r.p
	r.mkdir(m.Destination)
	from := r.in(m.Destination, unix.O_RDONLY|unix.O_DIRECTORY, "O_RDONLY|O_DIRECTORY")
	first := o // it is written to before it can be read-only
	first.attr.Attr_set &^= unix.MOUNT_ATTR_RDONLY
	first.texts = without(o.texts, "MOUNT_ATTR_RDONLY")
	made := r.newMount(m.Type, m.Source, first)
	// A mount's descriptor is one for paths alone (O_PATH).
	to := p.Call("openat", unix.SYS_OPENAT, made.Arg(), p.Str("."), step.Flag(unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, "O_RDONLY|O_DIRECTORY|O_CLOEXEC"))
	r.Copies = append(r.Copies, Copy{m.Destination, m.Options, p, p.Gate(copyPatience), from, to})
	p.Call("close", unix.SYS_CLOSE, from.Arg())
	p.Call("close", unix.SYS_CLOSE, to.Arg())
	if o.attr.Attr_set&unix.MOUNT_ATTR_RDONLY != 0 {
		setattr(p, made.Arg(), unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, "MOUNT_ATTR_RDONLY", false)
	}
	r.mountOn(made, m.Destination, o, false)
}

// Do is the parent's part, for step.Options.Ready: it waits until the process
// pid has come there, copies, and lets it go on.
func (c Copy) Do(ctx context.Context, pid int) error {
	if err := c.gate.Await(ctx); err != nil {
		return err
	}
	var roots [2]*os.Root
	for i, r := range []step.Result{c.from, c.to} {
		fd, err := c.program.Take(pid, r)
		if err != nil {
			return fmt.Errorf("tmpcopyup of %s: %w", c.dest, err)
		}
		defer unix.Close(fd)
		if roots[i], err = os.OpenRoot("/proc/self/fd/" + strconv.Itoa(fd)); err != nil {
			return fmt.Errorf("tmpcopyup of %s: %w", c.dest, err)
		}
		defer roots[i].Close()
	}
	if err := asOwner(roots[1], func() error { return c.tree(ctx, roots[0], roots[1]) }); err != nil {
		return fmt.Errorf("tmpcopyup of %s: %w", c.dest, err)
	}
	c.gate.Open()
	return nil
}

// asOwner calls f on a thread that makes files as the owner of a folder, the
// container's root: in a file system of its user namespace others, such as the
// host's root, cannot. The thread keeps its privileges (SECBIT_NO_SETUID_FIXUP,
// capabilities(7)), and ends afterwards.
func asOwner(dir *os.Root, f func() error) error {
	info, err := dir.Stat(".")
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	if int(st.Uid) == os.Geteuid() {
		return f()
	}
	done := make(chan error)
	go func() {
		done <- onOwnThread(func() error {
			if err := unix.Prctl(unix.PR_SET_SECUREBITS, 1<<2, 0, 0, 0); err != nil {
				return fmt.Errorf("prctl(PR_SET_SECUREBITS): %w", err)
			}
			unix.SetfsgidRetGid(int(st.Gid))
			unix.SetfsuidRetUid(int(st.Uid))
			return f()
		})
	}()
	return <-done
}

// onOwnThread calls f on a thread that ends with the goroutine of the caller.
func onOwnThread(f func() error) error {
	runtime.LockOSThread() // and never unlock
	if unix.Gettid() != os.Getpid() {
		return f()
	}
	// The first thread does not end, and /proc/self shows what it is. While this
	// goroutine holds it, the next gets another.
	defer runtime.UnlockOSThread()
	done := make(chan error)
	go func() { done <- onOwnThread(f) }()
	return <-done
}

// tree copies folders, files, links and devices, with owners and permissions.
// What else has the image's folder open can change it meanwhile, and a Root is
// not left.
func (c Copy) tree(ctx context.Context, from, to *os.Root) error {
	return fs.WalkDir(from.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		switch {
		case name == ".":
			return c.root(to, st)
		case info.IsDir():
			err = to.Mkdir(name, 0o700)
		case info.Mode()&fs.ModeSymlink != 0:
			var target string
			if target, err = from.Readlink(name); err == nil {
				err = to.Symlink(target, name)
			}
		case info.Mode().IsRegular():
			err = copyFile(from, to, name)
		default:
			err = mknod(to, name, st)
		}
		if err == nil {
			err = to.Lchown(name, int(st.Uid), int(st.Gid))
		}
		if err == nil && info.Mode()&fs.ModeSymlink == 0 {
			err = to.Chmod(name, info.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky))
		}
		if err == nil && info.Mode().IsRegular() {
			err = to.Chtimes(name, time.Time{}, info.ModTime())
		}
		return err
	})
}

// root gives the mount's own folder the image's owner and permissions, unless
// its options say which.
func (c Copy) root(to *os.Root, st *syscall.Stat_t) error {
	uid, gid, mode := int(st.Uid), int(st.Gid), true
	for _, o := range c.options {
		switch key, _, _ := strings.Cut(o, "="); key {
		case "mode":
			mode = false
		case "uid":
			uid = -1
		case "gid":
			gid = -1
		}
	}
	if err := to.Lchown(".", uid, gid); err != nil || !mode {
		return err
	}
	dir, err := to.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Fchmod(int(dir.Fd()), st.Mode&0o7777)
}

func copyFile(from, to *os.Root, name string) error {
	in, err := from.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if e := out.Close(); err == nil {
		err = e
	}
	return err
}

func mknod(to *os.Root, name string, st *syscall.Stat_t) error {
	dir, err := to.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	// Nobody else has the new mount yet: no link is in the way.
	if err := unix.Mknodat(int(dir.Fd()), name, st.Mode&(unix.S_IFMT|0o777), int(st.Rdev)); err != nil {
		return &os.PathError{Op: "mknodat", Path: name, Err: err}
	}
	return nil
}
