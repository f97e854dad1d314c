package rootfs

import (
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// devices are those that every container has (runtime-spec config-linux.md,
// "Default Devices"), with their numbers (Documentation/admin-guide/devices.txt).
var devices = []struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

var deviceLinks = [][2]string{
	{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"},
}

// Devices fills /dev.
func (r *Root) Devices() {
	p := r.p
	p.Step("/dev/null and the other devices that every container has", "")
	r.mkdir("dev")
	dev := r.in("dev", unix.O_PATH|unix.O_DIRECTORY, "O_PATH|O_DIRECTORY")
	if !r.bind {
		r.unmasked(func() {
			for _, d := range devices {
				r.mknod(dev, d.name, unix.S_IFCHR|0o666, "S_IFCHR|0666", d.major, d.minor)
			}
		})
	}
	for _, d := range devices {
		if !r.bind {
			break // they are made
		}
		from := p.Call("open_tree", unix.SYS_OPEN_TREE, step.Cwd(), p.Str("/dev/"+d.name), step.Flag(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC"))
		on := p.Call("openat", unix.SYS_OPENAT, dev.Arg(), p.Str(d.name), step.Flag(unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, "O_CREAT|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY|O_CLOEXEC"), step.Octal(0o666))
		r.move(from, on)
	}
	for _, l := range deviceLinks {
		p.Call("symlinkat", unix.SYS_SYMLINKAT, p.Str(l[0]), dev.Arg(), p.Str(l[1]))
		p.Allow(syscall.EEXIST)
	}
	p.Call("close", unix.SYS_CLOSE, dev.Arg())
}

// mknod makes a device file in the place of what the image may have there: a
// link, through which a chmod(2) would reach a file of the host.
func (r *Root) mknod(dir step.Result, name string, mode uint32, text string, major, minor uint32) {
	p := r.p
	p.Call("unlinkat", unix.SYS_UNLINKAT, dir.Arg(), p.Str(name), step.Int(0))
	p.Allow(syscall.ENOENT)
	p.Call("mknodat", unix.SYS_MKNODAT, dir.Arg(), p.Str(name), step.Flag(int(mode), text), step.Flag(int(unix.Mkdev(major, minor)), fmt.Sprintf("makedev(%d, %d)", major, minor)))
}

// unmasked appends calls that no umask has a part in.
func (r *Root) unmasked(calls func()) {
	r.p.Call("umask", unix.SYS_UMASK, step.Octal(0))
	calls()
	r.p.Call("umask", unix.SYS_UMASK, step.Octal(0o022))
}

// CheckDevice tells what of a device this package cannot make.
func CheckDevice(d specs.LinuxDevice) error {
	if _, ok := deviceTypes[d.Type]; !ok {
		return fmt.Errorf("type %q of %s is none of c, b, u and p", d.Type, d.Path)
	}
	if !path.IsAbs(d.Path) || path.Clean(d.Path) == "/" || strings.IndexByte(d.Path, 0) >= 0 {
		return fmt.Errorf("path %q is not an absolute path below the root", d.Path)
	}
	return nil
}

// CheckHostDevice tells whether the host has this device under the same name, as
// a container in a user namespace needs, which is shown the host's.
func CheckHostDevice(d specs.LinuxDevice) error {
	t := deviceTypes[d.Type]
	if t.mode == unix.S_IFIFO { // which everybody may make
		return nil
	}
	var st unix.Stat_t
	if err := unix.Stat(d.Path, &st); err != nil {
		return fmt.Errorf("in a user namespace a device is the host's of the same name: %w", &os.PathError{Op: "stat", Path: d.Path, Err: err})
	}
	if st.Mode&unix.S_IFMT != t.mode || st.Rdev != unix.Mkdev(uint32(d.Major), uint32(d.Minor)) {
		return fmt.Errorf("in a user namespace a device is the host's of the same name, and the host's %s is another (%d:%d)", d.Path, unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	return nil
}

var deviceTypes = map[string]struct {
	mode uint32
	text string
}{"c": {unix.S_IFCHR, "S_IFCHR"}, "u": {unix.S_IFCHR, "S_IFCHR"}, "b": {unix.S_IFBLK, "S_IFBLK"}, "p": {unix.S_IFIFO, "S_IFIFO"}}

// Device makes a device of the configuration (config-linux.md, "Devices"). In a
// user namespace it is the host's that has the same name.
func (r *Root) Device(d specs.LinuxDevice) {
	p := r.p
	name := path.Clean(d.Path)
	r.mkdir(path.Dir(name))
	if r.bind && d.Type != "p" {
		r.move(p.Call("open_tree", unix.SYS_OPEN_TREE, step.Cwd(), p.Str(name), step.Flag(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC")), r.file(name))
		return
	}
	mode := os.FileMode(0o666)
	if d.FileMode != nil {
		mode = d.FileMode.Perm()
	}
	var uid, gid uint32
	if d.UID != nil {
		uid = *d.UID
	}
	if d.GID != nil {
		gid = *d.GID
	}
	t := deviceTypes[d.Type]
	dir := r.in(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY, "O_PATH|O_DIRECTORY")
	base := path.Base(name)
	r.unmasked(func() {
		r.mknod(dir, base, t.mode|uint32(mode), fmt.Sprintf("%s|%#o", t.text, mode), uint32(d.Major), uint32(d.Minor))
	})
	p.Call("fchownat", unix.SYS_FCHOWNAT, dir.Arg(), p.Str(base), step.Int(uid), step.Int(gid), step.Flag(unix.AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"))
	p.Call("close", unix.SYS_CLOSE, dir.Arg())
}

// DefaultDevices are the paths of those that every container has.
func DefaultDevices() []string {
	var paths []string
	for _, d := range devices {
		paths = append(paths, "/dev/"+d.name)
	}
	return paths
}

// Terminal opens the multiplexer of the container's terminals.
func (r *Root) Terminal() step.Result {
	return r.in("dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY, "O_RDWR|O_NOCTTY")
}

// Console puts a terminal on /dev/console.
func (r *Root) Console(tty step.Result) {
	p := r.p
	m := p.Call("open_tree", unix.SYS_OPEN_TREE, tty.Arg(), p.Str(""), step.Flag(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH"))
	r.move(m, r.file("dev/console"))
}
