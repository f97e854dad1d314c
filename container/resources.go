package container

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
)

// What a container that is known by its folder may use, and has used.

// Update changes limits of the container: those that r holds, and no others.
func (h *Handle) Update(r *specs.LinuxResources) error {
	if h.Status == specs.StateStopped {
		return h.notRunning()
	}
	g, err := h.group()
	if err != nil {
		return err
	}
	return g.Update(r)
}

// Stats are what it has used.
func (h *Handle) Stats() (*cgroup.Stats, error) {
	g, err := h.group()
	if err != nil {
		return nil, err
	}
	return g.Stats()
}

// OutOfMemoryKills is how many of its processes the kernel has killed because
// it was over its memory limit.
func (h *Handle) OutOfMemoryKills() (int64, error) {
	g, err := h.group()
	if err != nil {
		return 0, err
	}
	return g.OutOfMemoryKills()
}

// AwaitEnd waits until the first process has ended, in any process.
func (h *Handle) AwaitEnd(ctx context.Context) error {
	if h.Status == specs.StateStopped {
		return nil
	}
	pidfd, err := h.pidfd()
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	return awaitEnd(ctx, pidfd)
}

// delegate hands a cgroup to the container's first user, where the container
// can manage the groups below it: it has a cgroup namespace, in which this
// group is the root, and may write to the file system of its cgroups
// (config-linux.md, "Cgroup ownership").
func delegate(g *cgroup.Cgroup, s *specs.Spec) error {
	if !isNew(s, specs.CgroupNamespace) || !isNew(s, specs.MountNamespace) {
		return nil
	}
	for _, m := range s.Mounts {
		if filepath.Clean(m.Destination) != "/sys/fs/cgroup" || slices.Contains(m.Options, "ro") {
			continue
		}
		uid, ok := int64(s.Process.User.UID), true
		if isNew(s, specs.UserNamespace) {
			uid, ok = mapped(s.Linux.UIDMappings, s.Process.User.UID)
		}
		if ok && uid != int64(os.Geteuid()) { // whose it is already
			return g.Delegate(int(uid), -1)
		}
	}
	return nil
}

// mapped is the host's number of a container's.
func mapped(mappings []specs.LinuxIDMapping, id uint32) (int64, bool) {
	for _, m := range mappings {
		if id >= m.ContainerID && uint64(id) < uint64(m.ContainerID)+uint64(m.Size) {
			return int64(m.HostID) + int64(id-m.ContainerID), true
		}
	}
	return 0, false
}
