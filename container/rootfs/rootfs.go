// Package rootfs gives a container a file system of its own.
//
// An image is a stack of layers, each a read-only tree. The kernel's overlay
// file system joins them with one writable folder on top, in which every
// change of the container lands (Documentation/filesystems/overlayfs.rst), so
// that a thousand containers share one copy of the layers. Into the joined
// tree go the kernel's own file systems: /proc, /sys, /dev. At last
// pivot_root(2) makes it the root, and the host's tree is unmounted: what has
// no name cannot be opened.
//
// Everything here is built as steps (package step) with the mount interface of
// Linux 5.2: a file system is made (fsopen, fsconfig, fsmount) as a detached
// mount, held by a descriptor, and then put in its place (move_mount). Places
// inside the container are opened by openat2(2) with RESOLVE_IN_ROOT: a
// symbolic link in a hostile image then ends inside the image, whatever it
// says.
package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// Layers are the unpacked layers of an image, as mounts which any number of
// containers share.
type Layers struct {
	at []string // where they are mounted on the shelf, the lowest first
	// dirs are the folders of layers that are not mounted yet: an ordinary user
	// may mount in a container's user namespace alone, so each container does.
	dirs []string
	// marks is set if the overlay is mounted in a user namespace: it then keeps
	// its marks in user.overlay attributes (Linux 5.11), those of
	// trusted.overlay being for the host's root.
	marks bool
}

// layers counts all that were mounted, so that each has a name of its own.
var layers int

// OpenLayers mounts each folder, the lowest layer first, where only this
// process sees it (workshop.go).
//
// The files of a layer belong to the host's root, who does not exist in a
// container's user namespace. With a user namespace given, the mounts are
// ID-mapped (mount_setattr(2), MOUNT_ATTR_IDMAP, Linux 5.12; as a layer of an
// overlay 5.19): in them a file of UID 0 belongs to whoever is UID 0 in that
// namespace, with nothing changed on disk.
//
// An ordinary user cannot do that: their layers are their own files, and belong
// to root in the containers' user namespaces, in which they are then mounted.
func OpenLayers(dirs []string, userns *os.File) (*Layers, error) {
	if len(dirs) == 0 {
		return nil, errors.New("the image has no layers")
	}
	l := &Layers{marks: Nested()}
	if _, err := workshop(); errors.Is(err, unix.EPERM) {
		if userns != nil {
			return nil, errors.New("ID-mapped layers need the host's root (mount_setattr(2)): as an ordinary user open them without a user namespace")
		}
		return l, l.keep(dirs)
	}
	err := inWorkshop(func() error {
		for _, dir := range dirs {
			if err := l.open(dir, userns); err != nil {
				return fmt.Errorf("layer %s: %w", dir, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// keep checks that layers can be mounted later.
func (l *Layers) keep(dirs []string) error {
	l.marks = true
	for _, dir := range dirs {
		at, err := filepath.Abs(dir)
		if err == nil {
			_, err = os.ReadDir(at)
		}
		if err != nil {
			return fmt.Errorf("layer %s: %w", dir, err)
		}
		l.dirs = append(l.dirs, at)
	}
	return nil
}

func (l *Layers) open(dir string, userns *os.File) error {
	at := layerAt(layers)
	layers++
	p := step.New()
	p.Phase("layer")
	attr, text := unix.MountAttr{}, ""
	if userns != nil {
		attr = unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns.Fd())}
		text = "|MOUNT_ATTR_IDMAP"
	}
	shelve(p, dir, at, attr, text)
	err := p.Run()
	if e, ok := errors.AsType[*step.Error](err); ok && e.Errno == unix.EINVAL && userns != nil && strings.HasPrefix(e.Call, "mount_setattr") {
		err = fmt.Errorf("%w (its file system, or this kernel, has no ID-mapped mounts: ext4, xfs and btrfs on Linux 5.19 or newer do)", err)
	}
	if err != nil {
		os.Remove(at) // if it was made
		return err
	}
	l.at = append(l.at, at)
	return nil
}

func layerAt(n int) string { return path.Join(shelf, strconv.FormatInt(int64(n), 36)) }

// shelve appends the calls that mount a layer on the shelf.
func shelve(p *step.Program, dir, at string, attr unix.MountAttr, text string) {
	attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	m := OpenSource(p, dir, false)
	setattr(p, m.Arg(), attr, "MOUNT_ATTR_RDONLY"+text, false)
	p.Call("mkdirat", unix.SYS_MKDIRAT, step.Cwd(), p.Str(at), step.Octal(0o700)) // arm64 has no mkdir
	p.Call("move_mount", unix.SYS_MOVE_MOUNT, m.Arg(), p.Str(""), step.Cwd(), p.Str(at), step.Flag(unix.MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH"))
	p.Call("close", unix.SYS_CLOSE, m.Arg())
}

// shelve appends the calls that mount the layers, in the mount namespace of a
// child, on a shelf of its own.
func (l *Layers) shelve(p *step.Program) (at []string) {
	p.Call("mount", unix.SYS_MOUNT, p.Str("layers"), p.Str(shelf), p.Str("tmpfs"), step.Int(0), p.Str("mode=700"))
	for i, dir := range l.dirs {
		at = append(at, layerAt(i))
		shelve(p, dir, at[i], unix.MountAttr{}, "")
	}
	return at
}

// Nested tells whether this process is in a user namespace that is not the
// host's (the kernel's include/linux/proc_ns.h, PROC_USER_INIT_INO). With its
// threads it cannot change that.
var Nested = sync.OnceValue(func() bool {
	var st unix.Stat_t
	err := unix.Stat("/proc/self/ns/user", &st)
	return err == nil && st.Ino != 0xEFFFFFFD
})

// Close lets go of the layers. Containers that use them keep them.
func (l *Layers) Close() error {
	if len(l.at) == 0 {
		return nil
	}
	return inWorkshop(func() error {
		var errs []error
		for _, at := range l.at {
			if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
				errs = append(errs, &os.PathError{Op: "umount", Path: at, Err: err})
				continue
			}
			errs = append(errs, os.Remove(at))
		}
		l.at = nil
		return errors.Join(errs...)
	})
}

// layerByLayer is the option of an overlay that adds one layer (Linux 6.5).
const layerByLayer = "lowerdir+"

const overlayPhase = "overlay"

// A Root is the root of a container while it is put together.
type Root struct {
	p  *step.Program
	fd step.Arg // the mount that will be "/"
	// bind makes devices by binding the host's: in a user namespace mknod(2)
	// is not allowed.
	bind bool
	// Cgroups are the hierarchies of a mount of the type cgroup.
	Cgroups []Hierarchy
	// Label is the SELinux context of new file systems, "" for the default
	// (config-linux.md, "Mount Label").
	Label string
	// Copies are what the parent has to fill while the child waits.
	Copies []Copy
}

// Overlay appends the calls that join layers with the writable folder dir/upper
// into a detached mount. The parent makes them ([Run]), with the host's
// privileges, so that the overlay keeps its marks in trusted.overlay
// attributes, which any file system has for root and no container can write; or
// for an ordinary user the child, in its user namespace. label is its SELinux
// context, "" for none.
func Overlay(p *step.Program, l *Layers, dir, label string) step.Result {
	p.Phase(overlayPhase)
	lower := slices.Clone(l.at)
	if l.dirs != nil {
		p.Step("a place for the image's layers, in this mount namespace alone", "")
		lower = l.shelve(p)
	}
	p.Step("the image's layers below it, as one tree", "")
	// Names are then short, and without the commas that Linux before 6.5 refuses.
	p.Call("chdir", unix.SYS_CHDIR, p.Str(dir))
	fs := p.Call("fsopen", unix.SYS_FSOPEN, p.Str("overlay"), step.Flag(unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC"))
	set := func(key, value string) {
		p.Call("fsconfig", unix.SYS_FSCONFIG, fs.Arg(), step.Flag(unix.FSCONFIG_SET_STRING, "FSCONFIG_SET_STRING"), p.Str(key), p.Str(value), step.Int(0))
	}
	// The uppermost layer comes first.
	slices.Reverse(lower)
	if joined := strings.Join(lower, ":"); len(joined) < 256 {
		set("lowerdir", joined)
	} else {
		// A value holds 255 bytes at most. Since Linux 6.5 layers can be
		// added one by one.
		for _, at := range lower {
			set(layerByLayer, at)
		}
	}
	set("source", "overlay")
	set("upperdir", "upper")
	set("workdir", "work")
	if l.marks {
		p.Call("fsconfig", unix.SYS_FSCONFIG, fs.Arg(), step.Flag(unix.FSCONFIG_SET_FLAG, "FSCONFIG_SET_FLAG"), p.Str("userxattr"), step.Null(), step.Int(0))
	}
	if label != "" {
		set("context", label)
	}
	p.Call("fsconfig", unix.SYS_FSCONFIG, fs.Arg(), step.Flag(unix.FSCONFIG_CMD_CREATE, "FSCONFIG_CMD_CREATE"), step.Null(), step.Null(), step.Int(0))
	m := p.Call("fsmount", unix.SYS_FSMOUNT, fs.Arg(), step.Flag(unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"), step.Int(0))
	p.Call("close", unix.SYS_CLOSE, fs.Arg())
	return m
}

// Attach appends the calls that put the detached mount root on the folder at,
// in the mount namespace of the child, and cut the propagation of mounts to
// and from the host.
func Attach(p *step.Program, root step.Arg, at string, userns bool) *Root {
	p.Call("mount", unix.SYS_MOUNT, step.Null(), p.Str("/"), step.Null(), step.Flag(unix.MS_REC|unix.MS_SLAVE, "MS_REC|MS_SLAVE"), step.Null())
	r := &Root{p: p, fd: root, bind: userns}
	// A part of a shared tree (as systemd makes the host's) is shared with it.
	setattr(p, r.fd, unix.MountAttr{Propagation: unix.MS_SLAVE}, "MS_SLAVE", true)
	p.Call("move_mount", unix.SYS_MOVE_MOUNT, r.fd, p.Str(""), step.Cwd(), p.Str(at), step.Flag(unix.MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH"))
	return r
}

// in opens a place inside the container, and gives its descriptor.
func (r *Root) in(dest string, flags int, text string) step.Result {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	return r.p.Call("openat2", unix.SYS_OPENAT2, r.fd, r.p.Str(path.Clean(dest)),
		step.Struct(r.p, how, "{"+text+"|O_CLOEXEC, RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS}"), step.Int(unsafe.Sizeof(how)))
}

// Folder makes a folder, for a process to begin in.
func (r *Root) Folder(name string) {
	if path.Clean(name) != "/" {
		r.mkdir(name)
	}
}

// mkdir makes the folder dest and those above it, where they are missing.
func (r *Root) mkdir(dest string) {
	parent, at := r.fd, ""
	var opened []step.Result
	parts := strings.Split(strings.Trim(path.Clean("/"+dest), "/"), "/")
	for i, part := range parts {
		at = path.Join(at, part)
		r.p.Call("mkdirat", unix.SYS_MKDIRAT, parent, r.p.Str(part), step.Octal(0o755))
		r.p.Allow(syscall.EEXIST)
		if i < len(parts)-1 {
			o := r.in(at, unix.O_PATH|unix.O_DIRECTORY, "O_PATH|O_DIRECTORY")
			opened = append(opened, o)
			parent = o.Arg()
		}
	}
	for _, o := range opened {
		r.p.Call("close", unix.SYS_CLOSE, o.Arg())
	}
}

// put moves a detached mount to its place, a folder or, for a bound file, a file.
func (r *Root) put(m step.Result, dest string) {
	r.move(m, r.in(dest, unix.O_PATH, "O_PATH"))
}

// move moves a detached mount onto an opened place, and closes both.
func (r *Root) move(m, to step.Result) {
	r.attach(m.Arg(), to)
	r.p.Call("close", unix.SYS_CLOSE, m.Arg())
}

// attach moves a detached mount onto an opened place, and closes that.
func (r *Root) attach(m step.Arg, to step.Result) {
	r.p.Call("move_mount", unix.SYS_MOVE_MOUNT, m, r.p.Str(""), to.Arg(), r.p.Str(""),
		step.Flag(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH"))
	r.p.Call("close", unix.SYS_CLOSE, to.Arg())
}

// Mask hides paths: a folder below an empty read-only tmpfs, a file below
// /dev/null (config-linux.md, "Masked Paths"). A path that is missing needs no
// hiding. Which of the three it is shows when it is opened.
func (r *Root) Mask(paths []string) {
	p := r.p
	for _, masked := range paths {
		p.Step("hide", masked)
		dir := r.in(masked, unix.O_PATH|unix.O_DIRECTORY, "O_PATH|O_DIRECTORY")
		p.Allow(syscall.ENOENT, syscall.ENOTDIR)
		p.If(dir, func() {
			fs := p.Call("fsopen", unix.SYS_FSOPEN, p.Str("tmpfs"), step.Flag(unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC"))
			r.label(fs, "tmpfs")
			p.Call("fsconfig", unix.SYS_FSCONFIG, fs.Arg(), step.Flag(unix.FSCONFIG_CMD_CREATE, "FSCONFIG_CMD_CREATE"), step.Null(), step.Null(), step.Int(0))
			m := p.Call("fsmount", unix.SYS_FSMOUNT, fs.Arg(), step.Flag(unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"), step.Flag(unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, "MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC"))
			p.Call("close", unix.SYS_CLOSE, fs.Arg())
			r.move(m, dir)
		})
		p.Unless(dir, func() {
			file := r.in(masked, unix.O_PATH, "O_PATH")
			p.Allow(syscall.ENOENT, syscall.ENOTDIR)
			p.If(file, func() {
				r.move(p.Call("open_tree", unix.SYS_OPEN_TREE, step.Cwd(), p.Str("/dev/null"), step.Flag(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC")), file)
			})
		})
	}
}

// Protect makes paths read-only, by mounting each on itself
// (config-linux.md, "Readonly Paths").
func (r *Root) Protect(paths []string) {
	p := r.p
	for _, path := range paths {
		p.Step("make read-only", path)
		to := r.in(path, unix.O_PATH, "O_PATH")
		p.Allow(syscall.ENOENT, syscall.ENOTDIR)
		m := p.Call("open_tree", unix.SYS_OPEN_TREE, to.Arg(), p.Str(""), step.Flag(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH|AT_RECURSIVE"))
		p.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, m.Arg(), p.Str(""), step.Flag(unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, "AT_EMPTY_PATH|AT_RECURSIVE"),
			step.Struct(p, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, "{MOUNT_ATTR_RDONLY}"), step.Int(unsafe.Sizeof(unix.MountAttr{})))
		r.move(m, to)
	}
}

// Pivot makes the mount the root and lets the host's go (pivot_root(2),
// "pivot_root(".", ".")"): the old root is stacked upon the new and unmounted.
// It refuses where the host's root is the kernel's first, rootfs, as in an
// initramfs: move then lays the mount over it (MS_MOVE, chroot(2)), so that no
// path leads to the host's tree, which is still there.
func (r *Root) Pivot(readonly, move bool) {
	p := r.p
	p.Step("the tree becomes the root, and the host's is let go", "")
	if readonly {
		p.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, r.fd, p.Str(""), step.Flag(unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"),
			step.Struct(p, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, "{MOUNT_ATTR_RDONLY}"), step.Int(unsafe.Sizeof(unix.MountAttr{})))
	}
	p.Call("fchdir", unix.SYS_FCHDIR, r.fd)
	if move {
		p.Call("mount", unix.SYS_MOUNT, p.Str("."), p.Str("/"), step.Null(), step.Flag(unix.MS_MOVE, "MS_MOVE"), step.Null())
		p.Call("chroot", unix.SYS_CHROOT, p.Str("."))
	} else {
		p.Call("pivot_root", unix.SYS_PIVOT_ROOT, p.Str("."), p.Str("."))
		p.Call("umount2", unix.SYS_UMOUNT2, p.Str("."), step.Flag(unix.MNT_DETACH, "MNT_DETACH"))
	}
	p.Call("chdir", unix.SYS_CHDIR, p.Str("/"))
}
