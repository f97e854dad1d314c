package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// namespaceFlags are the clone3(2) flag of each kind of namespace
// (namespaces(7); runtime-spec config-linux.md, "Namespaces"). The cgroup
// namespace is missing: its root is the cgroup that its maker is in, so it is
// made (unshare) after the child has joined its cgroup.
var namespaceFlags = map[specs.LinuxNamespaceType]uint64{
	specs.PIDNamespace:     unix.CLONE_NEWPID,
	specs.MountNamespace:   unix.CLONE_NEWNS,
	specs.NetworkNamespace: unix.CLONE_NEWNET,
	specs.UTSNamespace:     unix.CLONE_NEWUTS,
	specs.IPCNamespace:     unix.CLONE_NEWIPC,
	specs.UserNamespace:    unix.CLONE_NEWUSER,
}

func has(s *specs.Spec, t specs.LinuxNamespaceType) bool {
	if s.Linux == nil {
		return false
	}
	for _, n := range s.Linux.Namespaces {
		if n.Type == t {
			return true
		}
	}
	return false
}

func cloneFlags(s *specs.Spec) uint64 {
	var flags uint64
	for t, f := range namespaceFlags {
		if has(s, t) {
			flags |= f
		}
	}
	return flags
}

// mapIDs writes the user and group mappings of a process in a new user
// namespace (user_namespaces(7)): only a process outside of it can, with
// CAP_SETUID and CAP_SETGID there.
func mapIDs(pid int, l *specs.Linux) error {
	for _, m := range []struct {
		file string
		ids  []specs.LinuxIDMapping
	}{{"uid_map", l.UIDMappings}, {"gid_map", l.GIDMappings}} {
		var b strings.Builder
		for _, id := range m.ids {
			fmt.Fprintf(&b, "%d %d %d\n", id.ContainerID, id.HostID, id.Size)
		}
		path := fmt.Sprintf("/proc/%d/%s", pid, m.file)
		// All lines in one write, or the kernel refuses the second.
		if err := os.WriteFile(path, []byte(b.String()), 0); err != nil {
			return fmt.Errorf("mapping %s: %w", strings.TrimSpace(b.String()), err)
		}
	}
	return nil
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
	p.Gate()
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
