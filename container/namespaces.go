package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// namespaceFlags are the clone3(2) flag of each kind of namespace
// (namespaces(7); runtime-spec config-linux.md, "Namespaces").
var namespaceFlags = map[specs.LinuxNamespaceType]uint64{
	specs.PIDNamespace:     unix.CLONE_NEWPID,
	specs.MountNamespace:   unix.CLONE_NEWNS,
	specs.NetworkNamespace: unix.CLONE_NEWNET,
	specs.UTSNamespace:     unix.CLONE_NEWUTS,
	specs.IPCNamespace:     unix.CLONE_NEWIPC,
	specs.UserNamespace:    unix.CLONE_NEWUSER,
	specs.CgroupNamespace:  unix.CLONE_NEWCGROUP,
	specs.TimeNamespace:    unix.CLONE_NEWTIME,
}

// byBirth are the kinds that a process is born with and cannot change: to join
// one, it forks (step.Fork).
const byBirth = unix.CLONE_NEWPID | unix.CLONE_NEWTIME

// namespace finds one kind in a configuration.
func namespace(s *specs.Spec, t specs.LinuxNamespaceType) (n specs.LinuxNamespace, index int) {
	if s.Linux == nil {
		return n, -1
	}
	for i, n := range s.Linux.Namespaces {
		if n.Type == t {
			return n, i
		}
	}
	return n, -1
}

// has tells whether a container has a namespace of its own or another's, and
// not the host's.
func has(s *specs.Spec, t specs.LinuxNamespaceType) bool {
	_, i := namespace(s, t)
	return i >= 0
}

// isNew tells whether a namespace is made for the container, and joins whether
// it is one that exists.
func isNew(s *specs.Spec, t specs.LinuxNamespaceType) bool {
	n, i := namespace(s, t)
	return i >= 0 && n.Path == ""
}

func joins(s *specs.Spec, t specs.LinuxNamespaceType) bool {
	n, i := namespace(s, t)
	return i >= 0 && n.Path != ""
}

// cloneFlags are the new namespaces that the child is born into. The cgroup
// namespace is not among them: its root is the cgroup that its maker is in, so
// it is made (unshare) after the child has joined its cgroup. Nor is a time
// namespace, whose offsets have to be set before any process is in it, nor then
// a PID namespace, since who forks cannot be its first process. A namespace
// belongs to the user namespace that it was made in: so where that is joined,
// the others are made after it.
func cloneFlags(s *specs.Spec) uint64 {
	if joins(s, specs.UserNamespace) {
		return 0
	}
	flags := newFlags(s) &^ (unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME)
	if forks(s) {
		flags &^= unix.CLONE_NEWPID
	}
	return flags
}

// forks tells whether the child joins or makes a namespace that only a process
// which it forks can be in.
func forks(s *specs.Spec) bool {
	return joins(s, specs.PIDNamespace) || has(s, specs.TimeNamespace) ||
		joins(s, specs.UserNamespace) && isNew(s, specs.PIDNamespace)
}

func newFlags(s *specs.Spec) uint64 {
	var flags uint64
	for t, f := range namespaceFlags {
		if isNew(s, t) {
			flags |= f
		}
	}
	return flags
}

// join appends the calls that enter the namespaces that exist, by the
// descriptors of their files (setns(2)), and make those that the child was not
// born in: the user namespace first, since what one may do to the others depends
// on it, and the mount namespace last, since it takes the host's paths away.
// The result is where it forks, nil if it does not.
func join(p *step.Program, s *specs.Spec, fds []int) *step.Fork {
	enter := func(t specs.LinuxNamespaceType) {
		if _, i := namespace(s, t); i >= 0 && i < len(fds) && fds[i] >= 0 {
			p.Call("setns", unix.SYS_SETNS, step.Flag(fds[i], string(t)+" namespace"), step.Flag(int(namespaceFlags[t]), "CLONE_NEW"+flagNames[t]))
		}
	}
	if joins(s, specs.UserNamespace) {
		enter(specs.UserNamespace)
	}
	if f := newFlags(s) &^ (cloneFlags(s) | unix.CLONE_NEWCGROUP); f != 0 {
		p.Call("unshare", unix.SYS_UNSHARE, step.Flag(int(f), step.CloneFlags(f)))
	}
	if isNew(s, specs.TimeNamespace) {
		timeOffsets(p, s)
	}
	for _, t := range []specs.LinuxNamespaceType{
		specs.PIDNamespace, specs.TimeNamespace, specs.NetworkNamespace, specs.UTSNamespace, specs.IPCNamespace, specs.CgroupNamespace, specs.MountNamespace,
	} {
		if joins(s, t) {
			enter(t)
		}
	}
	if !forks(s) {
		return nil
	}
	return p.Fork()
}

// timeOffsets appends the calls that set the clocks of a time namespace, while
// no process is in it (time_namespaces(7)).
func timeOffsets(p *step.Program, s *specs.Spec) {
	for _, name := range sortedKeys(s.Linux.TimeOffsets) {
		o := s.Linux.TimeOffsets[name]
		line := fmt.Sprintf("%s %d %d\n", name, o.Secs, o.Nanosecs)
		f := p.Call("openat", unix.SYS_OPENAT, step.Cwd(), p.Str("/proc/self/timens_offsets"), step.Flag(unix.O_WRONLY|unix.O_CLOEXEC, "O_WRONLY|O_CLOEXEC"))
		p.Call("write", unix.SYS_WRITE, f.Arg(), p.Str(line), step.Int(len(line)))
		p.Call("close", unix.SYS_CLOSE, f.Arg())
	}
}

var flagNames = map[specs.LinuxNamespaceType]string{
	specs.NetworkNamespace: "NET", specs.UTSNamespace: "UTS", specs.IPCNamespace: "IPC", specs.CgroupNamespace: "CGROUP",
	specs.MountNamespace: "NS", specs.UserNamespace: "USER", specs.PIDNamespace: "PID", specs.TimeNamespace: "TIME",
}

// mapIDs writes the user and group mappings of a process in a new user
// namespace (user_namespaces(7)): only a process outside of it can, with
// CAP_SETUID and CAP_SETGID there, or as an ordinary user may (rootless.go).
func mapIDs(pid int, l *specs.Linux) error {
	if !capable(unix.CAP_SETUID) || !capable(unix.CAP_SETGID) {
		return mapOwn(pid, l)
	}
	for _, m := range []struct {
		file string
		ids  []specs.LinuxIDMapping
	}{{"uid_map", l.UIDMappings}, {"gid_map", l.GIDMappings}} {
		path := fmt.Sprintf("/proc/%d/%s", pid, m.file)
		if err := os.WriteFile(path, []byte(mapping(m.ids)), 0); err != nil {
			return fmt.Errorf("mapping %s: %w", strings.TrimSpace(mapping(m.ids)), err)
		}
	}
	return nil
}

// mapping is what is written for a mapping: all lines in one write, or the
// kernel refuses the second.
func mapping(ids []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "%d %d %d\n", id.ContainerID, id.HostID, id.Size)
	}
	return b.String()
}

// hostID is the host's number of user or group 0 inside.
func hostID(ids []specs.LinuxIDMapping) (int, bool) {
	for _, m := range ids {
		if m.ContainerID == 0 && m.Size > 0 {
			return int(m.HostID), true
		}
	}
	return 0, false
}

// UserNamespace makes a user namespace with the mappings of l that no process
// is in, for ID-mapped mounts. The caller closes it.
func UserNamespace(ctx context.Context, l *specs.Linux) (*os.File, error) {
	// A process has to be born in it; it never gets past its gate.
	p := step.New()
	p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"), step.Int(int(unix.SIGKILL)))
	p.Gate(10 * time.Second)
	var f *os.File
	done := errors.New("done")
	_, err := p.Clone(ctx, step.Options{Flags: unix.CLONE_NEWUSER, Cgroup: -1, Ready: func(pid int) error {
		if err := mapIDs(pid, l); err != nil {
			return err
		}
		var err error
		if f, err = os.Open(fmt.Sprintf("/proc/%d/ns/user", pid)); err != nil {
			return err
		}
		return done
	}})
	if !errors.Is(err, done) {
		return nil, fmt.Errorf("making a user namespace: %w", err)
	}
	return f, nil
}
