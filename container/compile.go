package container

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/network"
	"vmctr/container/rootfs"
	"vmctr/container/step"
)

// descriptors are what the parent opens for the child: numbers in the parent's
// table, which the child is born with a copy of.
type descriptors struct {
	root  int    // detached mount of the root file system, -1 without one
	at    string // the folder to attach it to
	tasks []int  // the tasks file of each cgroup v1 hierarchy
	self  int    // pidfd of the parent
	stdio [3]int
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
	} else if s.Root != nil && s.Root.Path != "/" {
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
	standardStreams(p, fds.stdio)
	privileges(p, s.Process)

	p.Phase("exec")
	execute(p, s.Process, fds.self)
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
	for i, v := range append(append([]string{s.Hostname, s.Process.Cwd}, s.Process.Args...), s.Process.Env...) {
		if strings.IndexByte(v, 0) >= 0 {
			return bad("process", "string %d, %q, holds a NUL", i, v)
		}
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
	for i, n := range l.Namespaces {
		if _, ok := namespaceFlags[n.Type]; !ok && n.Type != specs.CgroupNamespace {
			return bad(fmt.Sprintf("linux.namespaces[%d].type", i), "%q is not supported", n.Type)
		}
		if n.Path != "" {
			return bad(fmt.Sprintf("linux.namespaces[%d].path", i), "joining an existing namespace is not supported yet")
		}
	}
	mountns := has(s, specs.MountNamespace)
	if mountns && !layers {
		return bad("root", "a mount namespace needs the layers of an image")
	}
	if !mountns && (s.Root == nil || !path.IsAbs(s.Root.Path)) {
		return bad("root.path", "without a mount namespace it must be an absolute path")
	}
	if has(s, specs.UserNamespace) {
		for field, ids := range map[string][]specs.LinuxIDMapping{"uidMappings": l.UIDMappings, "gidMappings": l.GIDMappings} {
			if _, ok := hostID(ids); !ok {
				return bad("linux."+field, "a user namespace needs a mapping for 0")
			}
		}
	} else if len(l.UIDMappings)+len(l.GIDMappings) > 0 {
		return bad("linux.uidMappings", "needs a user namespace")
	}
	if len(s.Mounts) > 0 && !mountns {
		return bad("mounts", "needs a mount namespace")
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
		{"domainname", s.Domainname != ""},
		{"linux.sysctl", len(l.Sysctl) > 0},
		{"linux.devices", len(l.Devices) > 0},
		{"linux.seccomp", l.Seccomp != nil},
		{"linux.rootfsPropagation", l.RootfsPropagation != ""},
		{"linux.mountLabel", l.MountLabel != ""},
		{"linux.intelRdt", l.IntelRdt != nil},
		{"linux.personality", l.Personality != nil},
		{"linux.timeOffsets", len(l.TimeOffsets) > 0},
	} {
		if f.set {
			return bad(f.field, "is not supported yet")
		}
	}
	return nil
}
