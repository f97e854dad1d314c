package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/rootfs"
)

// mapMount gives the detached mount fd of mounts[i] the mapping that it asks
// for: its own, or that of the container's user namespace (mount_setattr(2),
// MOUNT_ATTR_IDMAP).
func (c *Container) mapMount(i, fd int) error {
	m := c.cfg.Spec.Mounts[i]
	mapped, recursive := rootfs.IsMapped(m)
	if !mapped {
		return nil
	}
	l := &specs.Linux{UIDMappings: m.UIDMappings, GIDMappings: m.GIDMappings}
	if len(m.UIDMappings) == 0 {
		l = c.cfg.Spec.Linux
	}
	if l == nil || len(l.UIDMappings) == 0 {
		return fmt.Errorf("idmap: neither the mount nor the container has mappings")
	}
	ns, err := UserNamespace(context.Background(), l)
	if err != nil {
		return err
	}
	defer ns.Close()
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if err := unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}); err != nil {
		if errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("%w (its file system, or one that is mounted below it, has no ID-mapped mounts)", err)
		}
		return fmt.Errorf("ID-mapping %s: mount_setattr: %w", m.Source, err)
	}
	return nil
}
