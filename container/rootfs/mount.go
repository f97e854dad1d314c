package rootfs

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// CheckMount tells what of a mount this package cannot do.
func CheckMount(m specs.Mount) error {
	if !path.IsAbs(m.Destination) || path.Clean(m.Destination) == "/" {
		return fmt.Errorf("destination %q is not an absolute path below the root", m.Destination)
	}
	for _, s := range append([]string{m.Destination, m.Source, m.Type}, m.Options...) {
		if strings.IndexByte(s, 0) >= 0 {
			return fmt.Errorf("%q holds a NUL", s)
		}
	}
	o, dest := parseOptions(m.Options), path.Clean(m.Destination)
	switch {
	case dest == "/proc" && m.Type != "proc" && !o.remount && !(o.bind && path.Clean(m.Source) == "/proc"):
		return fmt.Errorf("/proc can be a mount of the type proc, or the host's bound, and nothing else: programs and runtimes trust what it says")
	case strings.HasPrefix(dest, "/proc/") && !slices.Contains(procFiles, dest[len("/proc/"):]):
		return fmt.Errorf("%s is inside /proc, where only these may be mounted: %s", m.Destination, strings.Join(procFiles, ", "))
	case !IsBind(m) && !o.remount && m.Type == "":
		return fmt.Errorf("%s has no type, and none of the options bind, rbind and remount", m.Destination)
	case IsBind(m) && m.Source == "":
		return fmt.Errorf("%s binds nothing: source is empty", m.Destination)
	case o.copyUp && m.Type != "tmpfs":
		return fmt.Errorf("%s: tmpcopyup is for mounts of the type tmpfs", m.Destination)
	case o.mapped && !IsBind(m):
		return fmt.Errorf("%s: only a bind mount can be ID-mapped", m.Destination)
	case (len(m.UIDMappings) > 0) != (len(m.GIDMappings) > 0):
		return fmt.Errorf("%s: uidMappings and gidMappings belong together", m.Destination)
	case len(m.UIDMappings) > 0 && !IsBind(m):
		return fmt.Errorf("%s: only a bind mount can have mappings", m.Destination)
	}
	return nil
}

// procFiles are the files of /proc that lxcfs(1) and the like show in the place
// of the kernel's: of figures about the machine, for programs that look there for
// what their container has. Whoever could mount anything else there could hide or
// redirect what the kernel tells and is told (CVE-2019-16884, CVE-2019-19921).
// runc has the same list (libcontainer/rootfs_linux.go, checkProcMount).
var procFiles = []string{"cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled"}

// IsBind tells whether a mount shows a part of the host's tree. The type is
// then "bind" or "none", by custom, and has no meaning.
func IsBind(m specs.Mount) bool {
	o := parseOptions(m.Options)
	return o.bind && !o.remount
}

// IsMapped tells whether a bind mount is ID-mapped, and whether with all mounts
// below it.
func IsMapped(m specs.Mount) (mapped, recursive bool) {
	o := parseOptions(m.Options)
	return o.mapped || len(m.UIDMappings) > 0, o.rmapped
}

// A Source is a part of the host's tree, as a detached mount.
type Source struct {
	Mount step.Arg // its descriptor
	Dir   bool     // a folder, and not a file
}

// OpenSource appends the calls that make a detached mount of the host's folder
// or file at source: in the parent, since the container may not be allowed to
// look there. It neither gives mounts to the host nor, unless it is asked to,
// takes any.
func OpenSource(p *step.Program, source string, recursive bool) step.Result {
	fl, text := unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC"
	if recursive {
		fl, text = fl|unix.AT_RECURSIVE, text+"|AT_RECURSIVE"
	}
	return p.Call("open_tree", unix.SYS_OPEN_TREE, step.Cwd(), p.Str(source), step.Flag(fl, text))
}

// OpenRoot is OpenSource for the folder that becomes the root. Where the host's
// mounts are shared, as systemd makes them, so is the copy: pivot_root(2)
// refuses that, and so it becomes a slave.
func OpenRoot(p *step.Program, path string) step.Result {
	root := OpenSource(p, path, true)
	setattr(p, root.Arg(), unix.MountAttr{Propagation: unix.MS_SLAVE}, propagationNames[unix.MS_SLAVE], true)
	return root
}

// OpenMount is OpenSource for a bind mount of the configuration.
func OpenMount(p *step.Program, source string, m specs.Mount) step.Result {
	o := parseOptions(m.Options)
	return OpenSource(p, source, o.recursive)
}

// setattr appends a mount_setattr(2) on the mount that fd is.
func setattr(p *step.Program, fd step.Arg, attr unix.MountAttr, text string, recursive bool) {
	fl, name := unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"
	if recursive {
		fl, name = fl|unix.AT_RECURSIVE, name+"|AT_RECURSIVE"
	}
	p.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, fd, p.Str(""), step.Flag(fl, name), step.Struct(p, attr, "{"+text+"}"), step.Int(unsafe.Sizeof(attr)))
}

var propagationNames = map[uint64]string{unix.MS_PRIVATE: "MS_PRIVATE", unix.MS_SLAVE: "MS_SLAVE", unix.MS_SHARED: "MS_SHARED", unix.MS_UNBINDABLE: "MS_UNBINDABLE"}

// Mount appends the calls for one mount of the configuration. source is for a
// bind mount.
func (r *Root) Mount(m specs.Mount, source Source) {
	o := parseOptions(m.Options)
	switch {
	case o.remount:
		r.p.Step("change the options of", m.Destination)
		at := r.in(m.Destination, unix.O_PATH, "O_PATH")
		r.adjust(at.Arg(), o)
		r.p.Call("close", unix.SYS_CLOSE, at.Arg())
	case o.bind:
		r.p.Step("show a part of the host at", m.Destination)
		r.bindMount(m, o, source)
	case o.copyUp:
		r.p.Step("mount, with what the image has there,", m.Destination)
		r.copyUp(m, o)
	case m.Type == "cgroup" || m.Type == "cgroup2":
		r.p.Step("mount the control groups at", m.Destination)
		r.cgroups(m, o)
	default:
		r.p.Step("mount", m.Destination)
		r.mkdir(m.Destination)
		r.mountOn(r.newMount(m.Type, m.Source, o), m.Destination, o, kernelFS[m.Type])
	}
}

// kernelFS are the file systems by which the kernel tells and is told things.
// One that is mounted elsewhere than asked for, since an image has a symbolic
// link in its place, would be out of reach of what hides parts of it
// (CVE-2019-16884, CVE-2023-27561).
var kernelFS = map[string]bool{"proc": true, "sysfs": true}

// newMount makes a detached mount of a new file system.
func (r *Root) newMount(fstype, source string, o options) step.Result {
	p := r.p
	fs := p.Call("fsopen", unix.SYS_FSOPEN, p.Str(fstype), step.Flag(unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC"))
	set := func(key, value string) {
		p.Call("fsconfig", unix.SYS_FSCONFIG, fs.Arg(), step.Flag(unix.FSCONFIG_SET_STRING, "FSCONFIG_SET_STRING"), p.Str(key), p.Str(value), step.Int(0))
	}
	if source != "" {
		set("source", source)
	}
	for _, d := range o.data {
		set(d[0], d[1])
	}
	r.label(fs, fstype)
	for _, f := range o.flags {
		p.Call("fsconfig", unix.SYS_FSCONFIG, fs.Arg(), step.Flag(unix.FSCONFIG_SET_FLAG, "FSCONFIG_SET_FLAG"), p.Str(f), step.Null(), step.Int(0))
	}
	p.Call("fsconfig", unix.SYS_FSCONFIG, fs.Arg(), step.Flag(unix.FSCONFIG_CMD_CREATE, "FSCONFIG_CMD_CREATE"), step.Null(), step.Null(), step.Int(0))
	// On a new mount nothing is set, so there is nothing to clear.
	var names []string
	for _, t := range o.texts {
		if !strings.HasPrefix(t, "-") && t != "MOUNT_ATTR_RELATIME" {
			names = append(names, t)
		}
	}
	m := p.Call("fsmount", unix.SYS_FSMOUNT, fs.Arg(), step.Flag(unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"), step.Flag(int(o.attr.Attr_set), text(names)))
	p.Call("close", unix.SYS_CLOSE, fs.Arg())
	return m
}

// label gives a new file system the container's SELinux context, as runc does:
// the kernel labels its own ones by other rules.
func (r *Root) label(fs step.Result, fstype string) {
	if r.Label == "" || kernelFS[fstype] || fstype == "mqueue" || fstype == "cgroup" || fstype == "cgroup2" {
		return
	}
	r.p.Call("fsconfig", unix.SYS_FSCONFIG, fs.Arg(), step.Flag(unix.FSCONFIG_SET_STRING, "FSCONFIG_SET_STRING"), r.p.Str("context"), r.p.Str(r.Label), step.Int(0))
}

// mountOn puts a detached mount in its place, with the options that are left.
func (r *Root) mountOn(m step.Result, dest string, o options, ordinary bool) {
	o.attr, o.texts = unix.MountAttr{}, nil
	r.adjust(m.Arg(), o)
	if ordinary {
		r.move(m, r.ordinary(dest))
		return
	}
	r.put(m, dest)
}

// adjust changes attributes and propagation of a mount.
func (r *Root) adjust(m step.Arg, o options) {
	if len(o.texts) > 0 {
		setattr(r.p, m, o.attr, text(o.texts), false)
	}
	if len(o.rtexts) > 0 {
		setattr(r.p, m, o.rattr, text(o.rtexts), true)
	}
	if o.propagation != 0 {
		setattr(r.p, m, unix.MountAttr{Propagation: o.propagation}, propagationNames[o.propagation], false)
	}
	if o.rpropagation != 0 {
		setattr(r.p, m, unix.MountAttr{Propagation: o.rpropagation}, propagationNames[o.rpropagation], true)
	}
}

func (r *Root) bindMount(m specs.Mount, o options, source Source) {
	fd := source.Mount
	// What the host mounts there later is shown, and nothing is given to it,
	// unless the options say otherwise: as with a slave of the host's tree.
	if o.propagation == 0 && o.rpropagation == 0 {
		o.rpropagation = unix.MS_SLAVE
	}
	r.adjust(fd, o)
	if source.Dir {
		r.mkdir(m.Destination)
		r.attach(fd, r.in(m.Destination, unix.O_PATH, "O_PATH"))
	} else {
		r.mkdir(path.Dir(path.Clean(m.Destination)))
		r.attach(fd, r.file(m.Destination))
	}
}

// file opens a file to mount upon, and makes it where it is missing.
func (r *Root) file(dest string) step.Result {
	how := unix.OpenHow{Flags: unix.O_CREAT | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY, Mode: 0o644, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	return r.p.Call("openat2", unix.SYS_OPENAT2, r.fd, r.p.Str(path.Clean(dest)),
		step.Struct(r.p, how, "{O_CREAT|O_CLOEXEC|O_NONBLOCK|O_NOCTTY, 0644, RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS}"), step.Int(unsafe.Sizeof(how)))
}

// ordinary opens a folder to which no symbolic link leads.
func (r *Root) ordinary(dest string) step.Result {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS}
	return r.p.Call("openat2", unix.SYS_OPENAT2, r.fd, r.p.Str(path.Clean(dest)),
		step.Struct(r.p, how, "{O_PATH|O_DIRECTORY|O_CLOEXEC, RESOLVE_IN_ROOT|RESOLVE_NO_SYMLINKS}"), step.Int(unsafe.Sizeof(how)))
}

// A Hierarchy is one that the host mounts for cgroups, as a container sees it.
type Hierarchy struct {
	Name    string   // of its folder: "cpu,cpuacct", "unified"
	Type    string   // "cgroup" or "cgroup2"
	Options []string // of a v1 hierarchy: its controllers
	Links   []string // other names of it: "cpu", "cpuacct"
	// Group is a detached mount of the container's own cgroup there, for one
	// without a cgroup namespace, to which the hierarchy would show the host's
	// groups. 0 for none.
	Group int
}

// group appends the calls that show a container its own cgroup.
func (r *Root) group(h Hierarchy, o options, at string) {
	group := step.Flag(h.Group, "cgroup of "+strconv.Quote(h.Name))
	// Private: what the container mounts there must not come to lie on the
	// host's folder of its cgroup.
	r.adjust(group, options{attr: o.attr, texts: o.texts, propagation: unix.MS_PRIVATE})
	r.attach(group, r.in(at, unix.O_PATH, "O_PATH"))
}

// cgroups appends the calls for a mount of the type cgroup (config-linux.md,
// "Control groups" tells the file system; cgroup_namespaces(7) what it shows):
// on version 2 that hierarchy itself; with version 1 a folder with each of
// them. In a cgroup namespace the container's own cgroup is the root of each;
// without one, of version 1 only its folder is shown.
func (r *Root) cgroups(m specs.Mount, o options) {
	o.data, o.flags = nil, nil
	if len(r.Cgroups) == 1 && r.Cgroups[0].Type == "cgroup2" {
		r.mkdir(m.Destination)
		if h := r.Cgroups[0]; h.Group != 0 {
			r.group(h, o, m.Destination)
			return
		}
		r.mountOn(r.newMount("cgroup2", "cgroup", o), m.Destination, o, false)
		return
	}
	r.mkdir(m.Destination)
	dir := options{attr: unix.MountAttr{Attr_set: o.attr.Attr_set &^ unix.MOUNT_ATTR_RDONLY}, data: [][2]string{{"mode", "755"}}, texts: without(o.texts, "MOUNT_ATTR_RDONLY")}
	r.mountOn(r.newMount("tmpfs", "tmpfs", dir), m.Destination, dir, false)
	for _, h := range r.Cgroups {
		at := path.Join(m.Destination, h.Name)
		r.mkdir(at)
		if h.Group != 0 {
			r.group(h, o, at)
			r.link(m.Destination, h)
			continue
		}
		one := o
		for _, opt := range h.Options {
			if key, value, ok := strings.Cut(opt, "="); ok {
				one.data = append(one.data, [2]string{key, value})
			} else {
				one.flags = append(one.flags, opt)
			}
		}
		r.mountOn(r.newMount(h.Type, "cgroup", one), at, one, false)
		r.link(m.Destination, h)
	}
	if o.attr.Attr_set&unix.MOUNT_ATTR_RDONLY != 0 {
		at := r.in(m.Destination, unix.O_PATH, "O_PATH")
		setattr(r.p, at.Arg(), unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, "MOUNT_ATTR_RDONLY", false)
		r.p.Call("close", unix.SYS_CLOSE, at.Arg())
	}
}

// link gives a hierarchy its other names.
func (r *Root) link(dir string, h Hierarchy) {
	for _, l := range h.Links {
		on := r.in(dir, unix.O_PATH|unix.O_DIRECTORY, "O_PATH|O_DIRECTORY")
		r.p.Call("symlinkat", unix.SYS_SYMLINKAT, r.p.Str(h.Name), on.Arg(), r.p.Str(l))
		r.p.Call("close", unix.SYS_CLOSE, on.Arg())
	}
}

func without(list []string, s string) []string {
	var out []string
	for _, t := range list {
		if t != s {
			out = append(out, t)
		}
	}
	return out
}

// IsPropagation tells whether a word says how mounts spread.
func IsPropagation(name string) bool {
	return has(propagations, name) || has(propagations, strings.TrimPrefix(name, "r"))
}

// Propagate appends the call that says how mounts spread between the
// container's root, which the process is in, and the host's tree
// (config-linux.md, "Rootfs Mount Propagation").
func Propagate(p *step.Program, name string) {
	n, recursive := strings.CutPrefix(name, "r")
	fl, text := propagations[n], propagationNames[propagations[n]]
	if recursive {
		fl, text = fl|unix.MS_REC, "MS_REC|"+text
	}
	p.Call("mount", unix.SYS_MOUNT, step.Null(), p.Str("/"), step.Null(), step.Flag(int(fl), text), step.Null())
}
