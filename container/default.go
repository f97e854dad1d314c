package container

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// idBase is the host's number of a container's user and group 0. It lies in
// the range that systemd's user and group registry sets aside for containers
// (systemd, UIDS-GIDS.md: 524288 to 1879048191).
const idBase = 1 << 30

// DefaultSpec is a configuration like the one that Docker makes: new
// namespaces of every kind, the usual mounts, Docker's capabilities, masked
// and read-only paths; in a user namespace of 65,536 IDs.
func DefaultSpec(args, env []string, cwd string) *specs.Spec {
	ids := func() []specs.LinuxIDMapping { // each its own: a caller may change one
		return []specs.LinuxIDMapping{{ContainerID: 0, HostID: idBase, Size: 65536}}
	}
	return &specs.Spec{
		Version:  specs.Version,
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: "container",
		Process: &specs.Process{
			Args: args, Env: env, Cwd: cwd,
			NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{
				Bounding: slices.Clone(DefaultCapabilities), Effective: slices.Clone(DefaultCapabilities), Permitted: slices.Clone(DefaultCapabilities),
			},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		},
		Linux: &specs.Linux{
			UIDMappings: ids(), GIDMappings: ids(),
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.UTSNamespace},
				{Type: specs.IPCNamespace}, {Type: specs.UserNamespace}, {Type: specs.CgroupNamespace},
			},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
				"/sys/devices/virtual/powercap",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}
