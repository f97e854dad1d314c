package container

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/rootfs"
	"vmctr/container/step"
)

// version1 is a version of the specification, as semver.org writes it.
var version1 = regexp.MustCompile(`^1\.[0-9]+\.[0-9]+([-+].+)?$`)

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
	if !version1.MatchString(s.Version) {
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
		{"hostname", []string{s.Hostname}}, {"domainname", []string{s.Domainname}}, {"root.path", []string{s.Root.Path}}, {"process.cwd", []string{s.Process.Cwd}},
		{"process.args", s.Process.Args}, {"process.env", s.Process.Env}, {"linux.cgroupsPath", []string{l.CgroupsPath}},
		{"linux.maskedPaths", l.MaskedPaths}, {"linux.readonlyPaths", l.ReadonlyPaths}, {"linux.sysctl", slices.Collect(maps.Values(l.Sysctl))},
		{"linux.mountLabel", []string{l.MountLabel}}, {"process.apparmorProfile", []string{s.Process.ApparmorProfile}}, {"process.selinuxLabel", []string{s.Process.SelinuxLabel}},
	} {
		for _, v := range f.list {
			if strings.IndexByte(v, 0) >= 0 {
				return bad(f.field, "%q holds a NUL", v)
			}
		}
	}
	for i, n := range l.Namespaces {
		if _, ok := namespaceFlags[n.Type]; !ok {
			return bad(fmt.Sprintf("linux.namespaces[%d].type", i), "%q is unknown", n.Type)
		}
		if n.Path != "" && (!path.IsAbs(n.Path) || strings.IndexByte(n.Path, 0) >= 0) {
			return bad(fmt.Sprintf("linux.namespaces[%d].path", i), "%q is not an absolute path", n.Path)
		}
		if slices.ContainsFunc(l.Namespaces[:i], func(o specs.LinuxNamespace) bool { return o.Type == n.Type }) {
			return bad(fmt.Sprintf("linux.namespaces[%d].type", i), "%q is there twice", n.Type)
		}
	}
	mountns := isNew(s, specs.MountNamespace)
	if mountns && !layers && s.Root.Path == "" {
		return bad("root.path", "missing")
	}
	if !mountns && !path.IsAbs(s.Root.Path) {
		return bad("root.path", "without a mount namespace it must be an absolute path")
	}
	if isNew(s, specs.UserNamespace) {
		if _, ok := hostID(l.UIDMappings); !ok {
			return bad("linux.uidMappings", "a user namespace needs a mapping for 0")
		}
		if _, ok := hostID(l.GIDMappings); !ok {
			return bad("linux.gidMappings", "a user namespace needs a mapping for 0")
		}
	} else if len(l.UIDMappings)+len(l.GIDMappings) > 0 && !has(s, specs.UserNamespace) {
		return bad("linux.uidMappings", "needs a user namespace")
	}
	for field, value := range map[string]string{"hostname": s.Hostname, "domainname": s.Domainname} {
		if value != "" && !has(s, specs.UTSNamespace) {
			return bad(field, "needs a UTS namespace")
		}
	}
	if len(l.TimeOffsets) > 0 && !isNew(s, specs.TimeNamespace) {
		return bad("linux.timeOffsets", "needs a new time namespace")
	}
	for name := range l.TimeOffsets {
		if name != "monotonic" && name != "boottime" {
			return bad("linux.timeOffsets", "%q is no clock that a time namespace has: monotonic and boottime are", name)
		}
	}
	if !mountns {
		for _, f := range []struct {
			field string
			set   bool
		}{
			{"root.readonly", s.Root.Readonly}, {"mounts", len(s.Mounts) > 0},
			{"linux.maskedPaths", len(l.MaskedPaths) > 0}, {"linux.readonlyPaths", len(l.ReadonlyPaths) > 0},
			{"linux.devices", len(l.Devices) > 0}, {"linux.sysctl", len(l.Sysctl) > 0}, {"linux.rootfsPropagation", l.RootfsPropagation != ""},
		} {
			if f.set {
				return bad(f.field, "needs a mount namespace")
			}
		}
	}
	if err := checkSysctl(s); err != nil {
		return fmt.Errorf("config.json: linux.sysctl: %w", err)
	}
	if l.RootfsPropagation != "" && !rootfs.IsPropagation(l.RootfsPropagation) {
		return bad("linux.rootfsPropagation", "%q is none of private, slave, shared, unbindable, and those with an r before it", l.RootfsPropagation)
	}
	for i, d := range l.Devices {
		if err := rootfs.CheckDevice(d); err != nil {
			return bad(fmt.Sprintf("linux.devices[%d]", i), "%v", err)
		}
	}
	if err := checkLimits(s.Process); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	if b := s.Process.ConsoleSize; b != nil && (b.Height > math.MaxUint16 || b.Width > math.MaxUint16) {
		return bad("process.consoleSize", "%d by %d is larger than any terminal", b.Width, b.Height)
	}
	if err := checkHooks(s.Hooks); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	if s.Linux != nil {
		if err := checkNetDevices(s); err != nil {
			return fmt.Errorf("config.json: %w", err)
		}
	}
	if err := checkRdt(l.IntelRdt); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	if err := checkMemoryPolicy(l.MemoryPolicy); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	if p := l.Personality; p != nil {
		if _, ok := personalities[p.Domain]; !ok || len(p.Flags) > 0 {
			return bad("linux.personality", "domain %q with flags %q: only LINUX and LINUX32 without flags are known", p.Domain, p.Flags)
		}
	}
	if err := checkLabels(s); err != nil {
		return fmt.Errorf("config.json: %w", err)
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
		err := rootfs.CheckMount(m)
		if err == nil {
			err = checkOwned(s, m)
		}
		if err != nil {
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
	return nil
}

// owners are the namespaces that file systems show. To mount one takes power
// over its namespace, which a new user namespace has over those that are made
// with it alone (user_namespaces(7), "Interaction of user namespaces and other
// types of namespaces").
var owners = map[string]specs.LinuxNamespaceType{
	"proc": specs.PIDNamespace, "sysfs": specs.NetworkNamespace, "mqueue": specs.IPCNamespace,
	"cgroup": specs.CgroupNamespace, "cgroup2": specs.CgroupNamespace,
}

func checkOwned(s *specs.Spec, m specs.Mount) error {
	if !isNew(s, specs.UserNamespace) || rootfs.IsBind(m) {
		return nil
	}
	if strings.HasPrefix(m.Type, "cgroup") && s.Linux.CgroupsPath != "" {
		return nil // it is shown its own cgroup
	}
	if t, ok := owners[m.Type]; ok && !isNew(s, t) && !slices.Contains(m.Options, "remount") {
		return fmt.Errorf("%s: in a new user namespace a file system of the type %s needs a new %s namespace too, or bind the host's (type none, source %[1]s, options rbind)", m.Destination, m.Type, t)
	}
	if m.Type != "devpts" && m.Type != "tmpfs" {
		return nil
	}
	for _, o := range m.Options {
		for key, ids := range map[string][]specs.LinuxIDMapping{"uid": s.Linux.UIDMappings, "gid": s.Linux.GIDMappings} {
			value, ok := strings.CutPrefix(o, key+"=")
			if n, err := strconv.ParseUint(value, 10, 32); ok && err == nil && !isMapped(ids, uint32(n)) {
				return fmt.Errorf("%s: option %q: the user namespace maps no such ID: leave it out, or map more", m.Destination, o)
			}
		}
	}
	return nil
}

func isMapped(ids []specs.LinuxIDMapping, id uint32) bool {
	return slices.ContainsFunc(ids, func(m specs.LinuxIDMapping) bool { return id >= m.ContainerID && id-m.ContainerID < m.Size })
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

// checkSysctl refuses what is the whole host's: a container may only set what
// its own namespaces have.
func checkSysctl(s *specs.Spec) error {
	if s.Linux == nil {
		return nil
	}
	for _, key := range sortedKeys(s.Linux.Sysctl) {
		if strings.Contains(key, "..") || strings.IndexByte(key, 0) >= 0 {
			return fmt.Errorf("%q is not the name of one", key)
		}
		needs := sysctlNamespace(key)
		if needs == "" {
			return fmt.Errorf("%q is the whole host's, and no namespace's", key)
		}
		if !has(s, needs) {
			return fmt.Errorf("%q needs a %s namespace, or it would be the host's", key, needs)
		}
	}
	return nil
}

// sysctlNamespace is the kind of namespace that has a setting of its own
// (ipc_namespaces(7), network_namespaces(7)), "" for one of the host.
func sysctlNamespace(key string) specs.LinuxNamespaceType {
	ipc := []string{"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"}
	name := strings.ReplaceAll(key, "/", ".")
	switch {
	case slices.Contains(ipc, name) || strings.HasPrefix(name, "fs.mqueue."):
		return specs.IPCNamespace
	case strings.HasPrefix(name, "net."):
		return specs.NetworkNamespace
	case name == "kernel.domainname" || name == "kernel.hostname":
		return specs.UTSNamespace
	case strings.HasPrefix(name, "user."):
		return specs.UserNamespace
	}
	return ""
}

// checkJoined refuses settings of a namespace that is joined, and is the one
// that we are in. file is the namespace's.
func checkJoined(s *specs.Spec, t specs.LinuxNamespaceType, file int) error {
	for _, key := range sortedKeys(s.Linux.Sysctl) {
		if sysctlNamespace(key) != t {
			continue
		}
		var theirs, ours unix.Stat_t
		if err := unix.Fstat(file, &theirs); err != nil {
			return err
		}
		if err := unix.Stat("/proc/thread-self/ns/"+namespaceFiles[t], &ours); err != nil {
			return err
		}
		if theirs.Ino == ours.Ino && theirs.Dev == ours.Dev {
			return fmt.Errorf("config.json: linux.sysctl: %q: the %s namespace that is joined is the host's", key, t)
		}
	}
	return nil
}

// namespaceFiles are the names in /proc/PID/ns.
var namespaceFiles = map[specs.LinuxNamespaceType]string{specs.IPCNamespace: "ipc", specs.NetworkNamespace: "net", specs.UTSNamespace: "uts", specs.UserNamespace: "user"}

// setSysctl appends the calls that write a setting of the container's namespaces
// (proc(5), /proc/sys). Which namespace a file there is about depends on who
// opens it. It is the host's /proc: in what the container has under that name,
// an image or a volume may have put something else.
func setSysctl(p *step.Program, key, value string) {
	f := p.Call("openat", unix.SYS_OPENAT, step.Cwd(), p.Str("/proc/sys/"+strings.ReplaceAll(key, ".", "/")), step.Flag(unix.O_WRONLY|unix.O_CLOEXEC, "O_WRONLY|O_CLOEXEC"))
	p.Call("write", unix.SYS_WRITE, f.Arg(), p.Str(value), step.Int(len(value)))
	p.Call("close", unix.SYS_CLOSE, f.Arg())
}

func checkHooks(h *specs.Hooks) error {
	if h == nil {
		return nil
	}
	for _, point := range []struct {
		name  string
		hooks []specs.Hook
	}{
		{"prestart", prestart(h)},
		{"createRuntime", h.CreateRuntime}, {"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer}, {"poststart", h.Poststart}, {"poststop", h.Poststop},
	} {
		for i, hook := range point.hooks {
			if !path.IsAbs(hook.Path) || strings.IndexByte(hook.Path, 0) >= 0 {
				return fmt.Errorf("hooks.%s[%d].path: %q is not an absolute path", point.name, i, hook.Path)
			}
			if hook.Timeout != nil && *hook.Timeout <= 0 {
				return fmt.Errorf("hooks.%s[%d].timeout: %d is not above 0", point.name, i, *hook.Timeout)
			}
		}
	}
	return nil
}

// checkLabels refuses a profile or label that no module of this host would
// enforce.
func checkLabels(s *specs.Spec) error {
	p := s.Process
	if p.ApparmorProfile != "" {
		if b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err != nil || strings.TrimSpace(string(b)) != "Y" {
			return fmt.Errorf("process.apparmorProfile: %q: this host has no AppArmor", p.ApparmorProfile)
		}
	}
	for field, label := range map[string]string{"process.selinuxLabel": p.SelinuxLabel, "linux.mountLabel": mountLabel(s)} {
		if label == "" {
			continue
		}
		if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
			return fmt.Errorf("%s: %q: this host has no SELinux", field, label)
		}
	}
	return nil
}
