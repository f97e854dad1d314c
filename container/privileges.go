package container

import (
	"fmt"
	"sort"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/seccomp"
	"vmctr/container/step"
)

// capabilityNumbers are those of linux/capability.h, in order from 0.
var capabilityNumbers = func() map[string]int {
	m := map[string]int{}
	for i, name := range strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
		LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
		SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
		AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON
		BPF CHECKPOINT_RESTORE`) {
		m["CAP_"+name] = i
	}
	return m
}()

// CapabilityNumber is the number of a capability that Features names.
func CapabilityNumber(name string) int { return capabilityNumbers[name] }

// DefaultCapabilities are what Docker leaves a container's root (moby,
// oci/caps/defaults.go).
var DefaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

func capabilityMask(names []string) (uint64, error) {
	var mask uint64
	for _, name := range names {
		n, ok := capabilityNumbers[name]
		if !ok {
			return 0, fmt.Errorf("unknown capability %q", name)
		}
		mask |= 1 << n
	}
	return mask, nil
}

func checkCapabilities(c *specs.LinuxCapabilities) error {
	if c == nil {
		return nil
	}
	for field, names := range map[string][]string{"bounding": c.Bounding, "effective": c.Effective, "permitted": c.Permitted, "inheritable": c.Inheritable, "ambient": c.Ambient} {
		if _, err := capabilityMask(names); err != nil {
			return fmt.Errorf("process.capabilities.%s: %w", field, err)
		}
	}
	return nil
}

// privileges appends the calls that leave the process what its configuration
// grants (runtime-spec config.md, "Process" and "Linux Process").
//
// The order is the kernel's: the bounding set is cut while CAP_SETPCAP is
// there; the user changes while CAP_SETUID is, with PR_SET_KEEPCAPS so that
// the change does not take the permitted set along; then the sets are set.
// no_new_privs comes before the exec, which could give privileges back through
// a set-user-ID file.
//
// A system call filter needs CAP_SYS_ADMIN or no_new_privs (seccomp(2)). With
// the latter it comes last, and so sees the fewest of our own calls. The result
// is its listener, nil for none.
func privileges(p *step.Program, s *specs.Spec, fds descriptors, filter *seccomp.Filter) (l *listener) {
	proc := s.Process
	if l := s.Linux; l != nil && l.Personality != nil {
		p.Call("personality", unix.SYS_PERSONALITY, step.Flag(personalities[l.Personality.Domain], string(l.Personality.Domain)))
	}
	if l := s.Linux; l != nil && l.MemoryPolicy != nil {
		setMemoryPolicy(p, l.MemoryPolicy)
	}
	if filter != nil && !proc.NoNewPrivileges {
		p.Step("the filter on system calls", "")
		l = install(p, filter)
	}
	if c := proc.Capabilities; c != nil {
		bounding, _ := capabilityMask(c.Bounding)
		var drop []string
		for name, n := range capabilityNumbers {
			if bounding&(1<<n) == 0 {
				drop = append(drop, name)
			}
		}
		sort.Slice(drop, func(i, j int) bool { return capabilityNumbers[drop[i]] < capabilityNumbers[drop[j]] })
		p.Step("capabilities that nothing it executes can ever have", "")
		for _, name := range drop {
			p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP"), step.Flag(capabilityNumbers[name], name))
			p.Allow(unix.EINVAL) // a kernel that has no such capability
		}
		p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_SET_KEEPCAPS, "PR_SET_KEEPCAPS"), step.Int(1))
	}
	p.Step("the user", "")
	if !fds.keepsUser(s) {
		setUser(p, proc.User, fds.powerless())
	}
	if proc.User.Umask != nil {
		p.Call("umask", unix.SYS_UMASK, step.Octal(*proc.User.Umask))
	}
	if c := proc.Capabilities; c != nil {
		eff, _ := capabilityMask(c.Effective)
		perm, _ := capabilityMask(c.Permitted)
		inh, _ := capabilityMask(c.Inheritable)
		p.Step("the capabilities that it has", "")
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		data := [2]unix.CapUserData{
			{Effective: uint32(eff), Permitted: uint32(perm), Inheritable: uint32(inh)},
			{Effective: uint32(eff >> 32), Permitted: uint32(perm >> 32), Inheritable: uint32(inh >> 32)},
		}
		p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT"), step.Flag(unix.PR_CAP_AMBIENT_CLEAR_ALL, "PR_CAP_AMBIENT_CLEAR_ALL"), step.Int(0), step.Int(0), step.Int(0))
		p.Call("capset", unix.SYS_CAPSET, step.Struct(p, header, "{_LINUX_CAPABILITY_VERSION_3, 0}"),
			step.Struct(p, data, fmt.Sprintf("{effective=%#x, permitted=%#x, inheritable=%#x}", eff, perm, inh)))
		for _, name := range c.Ambient {
			p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT"), step.Flag(unix.PR_CAP_AMBIENT_RAISE, "PR_CAP_AMBIENT_RAISE"), step.Flag(capabilityNumbers[name], name), step.Int(0), step.Int(0))
			// One that is not inheritable cannot be ambient. Buildah asks for
			// such, and having less power is no reason not to start.
			p.Allow(unix.EPERM)
		}
	}
	if proc.NoNewPrivileges {
		p.Step("no more privileges by what it executes", "")
		p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"), step.Int(1), step.Int(0), step.Int(0), step.Int(0))
		if filter != nil {
			p.Step("the filter on system calls", "")
			l = install(p, filter)
		}
	}
	return l
}

// personalities are execution domains (personality(2); config-linux.md,
// "Personality").
var personalities = map[specs.LinuxPersonalityDomain]int{specs.PerLinux: 0, specs.PerLinux32: 8}

// label appends the calls that ask a Linux security module for a profile or a
// label for the program (proc_pid_attr(5)). They take effect at the execve.
func label(p *step.Program, proc *specs.Process) {
	write := func(path, value string) {
		f := p.Call("openat", unix.SYS_OPENAT, step.Cwd(), p.Str(path), step.Flag(unix.O_WRONLY|unix.O_CLOEXEC, "O_WRONLY|O_CLOEXEC"))
		p.Call("write", unix.SYS_WRITE, f.Arg(), p.Str(value), step.Int(len(value)))
		p.Call("close", unix.SYS_CLOSE, f.Arg())
	}
	if proc.ApparmorProfile != "" {
		write("/proc/self/attr/apparmor/exec", "exec "+proc.ApparmorProfile)
	}
	if proc.SelinuxLabel != "" {
		write("/proc/self/attr/exec", proc.SelinuxLabel)
	}
}

// mountLabel is the SELinux context of the container's file systems.
func mountLabel(s *specs.Spec) string {
	if s.Linux == nil {
		return ""
	}
	return s.Linux.MountLabel
}

// setUser appends the calls that change user and groups for good. An ordinary
// user whose own group alone is mapped may not drop groups, since a group can be
// what forbids something (user_namespaces(7), setgroups): they are kept then.
func setUser(p *step.Program, u specs.User, powerless bool) {
	groups := u.AdditionalGids
	b := make([]byte, 0, 4*len(groups))
	for _, g := range groups {
		b = append(b, byte(g), byte(g>>8), byte(g>>16), byte(g>>24))
	}
	p.Call("setgroups", unix.SYS_SETGROUPS, step.Int(len(groups)), p.Bytes(b, fmt.Sprint(groups)))
	if powerless && len(groups) == 0 {
		p.Allow(unix.EPERM)
	}
	p.Call("setresgid", unix.SYS_SETRESGID, step.Int(u.GID), step.Int(u.GID), step.Int(u.GID))
	p.Call("setresuid", unix.SYS_SETRESUID, step.Int(u.UID), step.Int(u.UID), step.Int(u.UID))
}
