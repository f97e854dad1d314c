package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container"
	"vmctr/container/network"
	"vmctr/container/rootfs"
	"vmctr/container/seccomp"
)

// program is the one that runs in all that the arena starts. It lies beside this one.
const program = "/bench/inside"

// base is the engine's folder, on a file system in memory that can be the upper layer of
// an overlay.
const base = "/run/arena"

// engine is what all containers of the arena share.
type engine struct {
	profile *specs.LinuxSeccomp
	filter  *seccomp.Filter
	network *network.Network
	// mapped has the program's folder, owned by root of the containers' user namespace,
	// and unmapped the same, owned by the host's root: a file system in memory cannot be
	// ID-mapped before Linux 6.3.
	mapped, unmapped *rootfs.Layers
}

// theEngine makes the arena a host of containers, once: with all that a distribution would
// have mounted, and what an engine makes ready.
var theEngine = sync.OnceValues(openEngine)

func openEngine() (*engine, error) {
	ctx := context.Background()
	if err := mountAll(); err != nil {
		return nil, err
	}
	spec := container.DefaultSpec([]string{program}, nil, "/")
	profile, err := seccomp.Default(container.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	e := &engine{profile: profile}
	if e.filter, err = seccomp.Compile(profile); err != nil {
		return nil, err
	}
	if e.mapped, err = layer("mapped", int(spec.Linux.UIDMappings[0].HostID)); err != nil {
		return nil, err
	}
	if e.unmapped, err = layer("unmapped", 0); err != nil {
		return nil, err
	}
	if e.network, err = network.Open(ctx, "arena", base, netip.Prefix{}); err != nil {
		return nil, fmt.Errorf("making the containers' bridge: %w (has the machine the modules bridge and veth?)", err)
	}
	return e, nil
}

// mountAll mounts what a distribution has mounted: so an attempt fails because of a wall,
// and not because there is nothing behind it. What this kernel does not have is left out.
func mountAll() error {
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, m := range []struct {
		fstype, dir, options string
		flags                uintptr
		needed               bool
	}{
		{"tmpfs", "/run", "mode=755,size=256m", unix.MS_NOSUID | unix.MS_NODEV, true},
		{"tmpfs", "/tmp", "mode=1777,size=64m", unix.MS_NOSUID | unix.MS_NODEV, true},
		{"cgroup2", "/sys/fs/cgroup", "", quiet, true},
		{"mqueue", "/dev/mqueue", "", quiet, true},
		{"securityfs", "/sys/kernel/security", "", quiet, false},
		{"debugfs", "/sys/kernel/debug", "", quiet, false},
		{"tracefs", "/sys/kernel/tracing", "", quiet, false},
		{"bpf", "/sys/fs/bpf", "mode=700", quiet, false},
		{"configfs", "/sys/kernel/config", "", quiet, false},
	} {
		err := os.MkdirAll(m.dir, 0o755)
		if err == nil {
			err = unix.Mount(m.fstype, m.dir, m.fstype, m.flags, m.options)
		}
		if err != nil && m.needed {
			return fmt.Errorf("mounting %s on %s: %w", m.fstype, m.dir, err)
		}
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	// As systemd has it: mounts of the host spread to whoever has not cut that.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("making the mounts shared: %w", err)
	}
	return nil
}

// layer makes a layer of an image that has the program in it, and belongs to a user.
func layer(name string, owner int) (*rootfs.Layers, error) {
	dir := filepath.Join(base, name)
	b, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, program)
	// /tmp is what any image has.
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.Mkdir(filepath.Join(dir, "tmp"), 0o777), os.WriteFile(file, b, 0o755)); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, owner, owner)
	})
	if err != nil {
		return nil, err
	}
	return rootfs.OpenLayers([]string{dir}, nil)
}
