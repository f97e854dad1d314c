package container

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/network"
	"vmctr/container/rootfs"
	"vmctr/container/step"
)

// descriptors are what the parent opens for the child, numbers in the parent's
// table, which the child is born with a copy of; and who the parent is.
type descriptors struct {
	root  int    // detached mount of the root file system, -1 without one
	at    string // the folder to attach it to
	tasks []int  // the tasks file of each cgroup v1 hierarchy
	self  int    // pidfd of the parent
	files []int  // they become 0, 1, 2 and so on

	uid, gid int // the parent's, effective
}

// keepsUser tells whether the process stays who its parent is. An ordinary user
// may not even drop groups (setgroups(2)); root always sets all that it is
// asked for.
func (d descriptors) keepsUser(s *specs.Spec) bool {
	u := s.Process.User
	return d.uid != 0 && !has(s, specs.UserNamespace) &&
		int(u.UID) == d.uid && int(u.GID) == d.gid && len(u.AdditionalGids) == 0
}

// compile turns a checked configuration into the calls that the child makes.
// It is pure: no system call, the same program for the same input.
func compile(s *specs.Spec, fds descriptors) (*step.Program, *step.Gate) {
	p := step.New()

	p.Phase("namespaces")
	dieWithParent(p, fds.self)
	gate := p.Gate()

	p.Phase("cgroup")
	for _, fd := range fds.tasks {
		p.Call("write", unix.SYS_WRITE, step.Flag(fd, "tasks"), p.Str("0"), step.Int(1))
	}
	if has(s, specs.CgroupNamespace) {
		p.Call("unshare", unix.SYS_UNSHARE, step.Flag(unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"))
	}

	p.Phase("file system")
	// The usual mask of a container, whatever its parent's is: mount points are
	// made with it, and the program gets it unless it asks for another.
	p.Call("umask", unix.SYS_UMASK, step.Octal(0o022))
	userns := has(s, specs.UserNamespace)
	var root *rootfs.Root
	if has(s, specs.MountNamespace) {
		root = rootfs.Attach(p, fds.root, fds.at, userns)
	}
	if userns {
		setUser(p, 0, 0, nil)
		// The signal went with the old user.
		dieWithParent(p, fds.self)
	}
	p.Call("setsid", unix.SYS_SETSID)
	if root != nil {
		for _, m := range s.Mounts {
			root.Mount(m)
			if path.Clean(m.Destination) == "/dev" {
				root.Devices()
			}
		}
		root.Mask(s.Linux.MaskedPaths)
		root.Protect(s.Linux.ReadonlyPaths)
		root.Pivot(s.Root.Readonly)
	} else if s.Root.Path != "/" {
		p.Call("chroot", unix.SYS_CHROOT, p.Str(s.Root.Path))
		p.Call("chdir", unix.SYS_CHDIR, p.Str("/"))
	}

	p.Phase("network")
	if has(s, specs.NetworkNamespace) {
		network.Loopback(p)
	}
	if s.Hostname != "" && has(s, specs.UTSNamespace) {
		p.Call("sethostname", unix.SYS_SETHOSTNAME, p.Str(s.Hostname), step.Int(len(s.Hostname)))
	}

	p.Phase("privileges")
	passFiles(p, fds.files)
	privileges(p, s.Process, fds.keepsUser(s))

	p.Phase("exec")
	execute(p, s.Process, fds.self, len(fds.files))
	return p, gate
}

// check refuses a configuration that this package cannot honour, by the name
// of the field: a limit or a protection that is asked for and silently missing
// would be worse than an error.
func check(s *specs.Spec, layers bool) error {
	bad := func(field, format string, args ...any) error {
		return fmt.Errorf("config.json: %s: %s", field, fmt.Sprintf(format, args...))
	}
	if s == nil {
		return errors.New("config.json: missing")
	}
	if !strings.HasPrefix(s.Version, "1.") {
		return bad("ociVersion", "%q is not a version 1 runtime-spec", s.Version)
	}
	if s.Process == nil || len(s.Process.Args) == 0 || s.Process.Args[0] == "" {
		return bad("process.args", "names no program")
	}
	if s.Root == nil {
		return bad("root", "missing")
	}
	if !path.IsAbs(s.Process.Cwd) {
		return bad("process.cwd", "%q is not absolute", s.Process.Cwd)
	}
	if err := checkCapabilities(s.Process.Capabilities); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	l := s.Linux
	if l == nil {
		l = &specs.Linux{}
	}
	for _, f := range []struct {
		field string
		list  []string
	}{
		{"hostname", []string{s.Hostname}}, {"root.path", []string{s.Root.Path}}, {"process.cwd", []string{s.Process.Cwd}},
		{"process.args", s.Process.Args}, {"process.env", s.Process.Env}, {"linux.cgroupsPath", []string{l.CgroupsPath}},
		{"linux.maskedPaths", l.MaskedPaths}, {"linux.readonlyPaths", l.ReadonlyPaths},
	} {
		for _, v := range f.list {
			if strings.IndexByte(v, 0) >= 0 {
				return bad(f.field, "%q holds a NUL", v)
			}
		}
	}
	for i, n := range l.Namespaces {
		if _, ok := namespaceFlags[n.Type]; !ok && n.Type != specs.CgroupNamespace {
			return bad(fmt.Sprintf("linux.namespaces[%d].type", i), "%q is not supported", n.Type)
		}
		if n.Path != "" {
			return bad(fmt.Sprintf("linux.namespaces[%d].path", i), "joining an existing namespace is not supported yet")
		}
		if slices.ContainsFunc(l.Namespaces[:i], func(o specs.LinuxNamespace) bool { return o.Type == n.Type }) {
			return bad(fmt.Sprintf("linux.namespaces[%d].type", i), "%q is there twice", n.Type)
		}
	}
	mountns := has(s, specs.MountNamespace)
	if mountns && !layers {
		return bad("root", "a mount namespace needs the layers of an image")
	}
	if !mountns && !path.IsAbs(s.Root.Path) {
		return bad("root.path", "without a mount namespace it must be an absolute path")
	}
	if has(s, specs.UserNamespace) {
		if _, ok := hostID(l.UIDMappings); !ok {
			return bad("linux.uidMappings", "a user namespace needs a mapping for 0")
		}
		if _, ok := hostID(l.GIDMappings); !ok {
			return bad("linux.gidMappings", "a user namespace needs a mapping for 0")
		}
	} else if len(l.UIDMappings)+len(l.GIDMappings) > 0 {
		return bad("linux.uidMappings", "needs a user namespace")
	}
	if s.Hostname != "" && !has(s, specs.UTSNamespace) {
		return bad("hostname", "needs a UTS namespace")
	}
	if !mountns {
		for _, f := range []struct {
			field string
			set   bool
		}{
			{"root.readonly", s.Root.Readonly}, {"mounts", len(s.Mounts) > 0},
			{"linux.maskedPaths", len(l.MaskedPaths) > 0}, {"linux.readonlyPaths", len(l.ReadonlyPaths) > 0},
		} {
			if f.set {
				return bad(f.field, "needs a mount namespace")
			}
		}
	}
	for i, p := range l.MaskedPaths {
		if !path.IsAbs(p) {
			return bad(fmt.Sprintf("linux.maskedPaths[%d]", i), "%q is not absolute", p)
		}
	}
	for i, p := range l.ReadonlyPaths {
		if !path.IsAbs(p) {
			return bad(fmt.Sprintf("linux.readonlyPaths[%d]", i), "%q is not absolute", p)
		}
	}
	for i, m := range s.Mounts {
		if err := rootfs.CheckMount(m); err != nil {
			return bad(fmt.Sprintf("mounts[%d]", i), "%v", err)
		}
	}
	if err := cgroup.Check(l.Resources); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	if l.Resources != nil && l.CgroupsPath == "" {
		return bad("linux.cgroupsPath", "limits need a cgroup, and it is empty")
	}
	if r := l.Resources; r != nil && r.Memory != nil && r.Memory.Limit != nil && *r.Memory.Limit >= 0 {
		if least := leastMemory(s.Process); *r.Memory.Limit < least {
			return bad("linux.resources.memory.limit", "%d bytes are too few to start in; the least is %d", *r.Memory.Limit, least)
		}
	}
	for _, f := range []struct {
		field string
		set   bool
	}{
		{"hooks", s.Hooks != nil},
		{"process.terminal", s.Process.Terminal},
		{"process.rlimits", len(s.Process.Rlimits) > 0},
		{"process.apparmorProfile", s.Process.ApparmorProfile != ""},
		{"process.selinuxLabel", s.Process.SelinuxLabel != ""},
		{"process.oomScoreAdj", s.Process.OOMScoreAdj != nil},
		{"process.scheduler", s.Process.Scheduler != nil},
		{"process.ioPriority", s.Process.IOPriority != nil},
		{"process.execCPUAffinity", s.Process.ExecCPUAffinity != nil},
		{"domainname", s.Domainname != ""},
		{"linux.sysctl", len(l.Sysctl) > 0},
		{"linux.devices", len(l.Devices) > 0},
		{"linux.netDevices", len(l.NetDevices) > 0},
		{"linux.seccomp", l.Seccomp != nil},
		{"linux.rootfsPropagation", l.RootfsPropagation != ""},
		{"linux.mountLabel", l.MountLabel != ""},
		{"linux.intelRdt", l.IntelRdt != nil},
		{"linux.memoryPolicy", l.MemoryPolicy != nil},
		{"linux.personality", l.Personality != nil},
		{"linux.timeOffsets", len(l.TimeOffsets) > 0},
	} {
		if f.set {
			return bad(f.field, "is not supported yet")
		}
	}
	return nil
}

// leastMemory is the smallest memory limit that a start is safe under.
//
// What the child's system calls make the kernel allocate is charged to its
// cgroup, and so are the pages that execve(2) copies arguments and environment
// to: about 200 KiB for the default configuration. Were the limit below that,
// the kernel's out-of-memory killer would end the child, and, since the two
// share their memory until the execve, this process with it.
func leastMemory(p *specs.Process) int64 {
	least := int64(512 << 10)
	for _, v := range slices.Concat(p.Args, p.Env) {
		least += 2 * int64(len(v)+1+8)
	}
	return least
}
