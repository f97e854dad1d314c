package cgroup

import (
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Ours is a group that an ordinary user may manage.
type Ours struct {
	Name        string   // as linux.cgroupsPath names it
	Controllers []string // which it can hand down to groups below it
}

// Delegated is the highest of the groups of version 2 that this process is in
// which its user may manage, nil if there is none (cgroup-v2.rst, "Delegation").
// A process can be moved between groups below it alone.
func Delegated() (*Ours, error) {
	h, _, err := current()
	if err != nil || h.Unified == "" {
		return nil, err
	}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return h.delegated(name)
		}
	}
	return nil, nil
}

// delegated walks upwards from a group.
func (h *Host) delegated(name string) (*Ours, error) {
	may := func(name string) bool {
		for _, file := range []string{".", "cgroup.procs", "cgroup.subtree_control"} {
			if unix.Faccessat(unix.AT_FDCWD, path.Join(h.Unified, name, file), unix.W_OK, unix.AT_EACCESS) != nil {
				return false
			}
		}
		return true
	}
	if !may(name) {
		return nil, nil
	}
	for name != "/" && may(path.Dir(name)) {
		name = path.Dir(name)
	}
	text, err := read(h.Unified+name, "cgroup.controllers")
	if err != nil {
		return nil, err
	}
	return &Ours{name, strings.Fields(text)}, nil
}
