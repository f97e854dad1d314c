package rootfs

import (
	"fmt"
	"os"
	"path"
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
	r.mkdir("dev")
	dev := r.in("dev", unix.O_PATH|unix.O_DIRECTORY, "O_PATH|O_DIRECTORY")
	for _, d := range devices {
		if !r.bind {
			p.Call("mknodat", unix.SYS_MKNODAT, dev.Arg(), p.Str(d.name), step.Flag(unix.S_IFCHR|0o666, "S_IFCHR|0666"), step.Flag(int(unix.Mkdev(d.major, d.minor)), fmt.Sprintf("makedev(%d, %d)", d.major, d.minor)))
			p.Allow(syscall.EEXIST)
			p.Call("fchmodat", unix.SYS_FCHMODAT, dev.Arg(), p.Str(d.name), step.Octal(0o666))
			continue
		}
		from := p.Call("open_tree", unix.SYS_OPEN_TREE, step.Cwd(), p.Str("/dev/"+d.name), step.Flag(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC"))
		on := p.Call("openat", unix.SYS_OPENAT, dev.Arg(), p.Str(d.name), step.Flag(unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, "O_CREAT|O_NOFOLLOW|O_CLOEXEC"), step.Octal(0o666))
		r.move(from, on)
	}
	for _, l := range deviceLinks {
		p.Call("symlinkat", unix.SYS_SYMLINKAT, p.Str(l[0]), dev.Arg(), p.Str(l[1]))
		p.Allow(syscall.EEXIST)
	}
	p.Call("close", unix.SYS_CLOSE, dev.Arg())
}

// CheckDevice tells what of a device this package cannot make.
func CheckDevice(d specs.LinuxDevice) error {
	if _, ok := deviceTypes[d.Type]; !ok {
		return fmt.Errorf("type %q of %s is none of c, b, u and p", d.Type, d.Path)
	}
	if !path.IsAbs(d.Path) || path.Clean(d.Path) == "/" {
		return fmt.Errorf("path %q is not an absolute path below the root", d.Path)
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
	if r.bind {
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
	p.Call("mknodat", unix.SYS_MKNODAT, dir.Arg(), p.Str(base), step.Flag(int(t.mode)|int(mode), fmt.Sprintf("%s|%#o", t.text, mode)), step.Flag(int(unix.Mkdev(uint32(d.Major), uint32(d.Minor))), fmt.Sprintf("makedev(%d, %d)", d.Major, d.Minor)))
	p.Allow(syscall.EEXIST)
	p.Call("fchmodat", unix.SYS_FCHMODAT, dir.Arg(), p.Str(base), step.Octal(uint32(mode)))
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
