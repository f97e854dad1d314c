package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container"
	"vmctr/report/result/isolation"
)

// walls are the mechanisms that something is started with, by their names.
type walls map[string]bool

// The limits are those that the containers of a run have (bench/all.go).
const (
	limitMemory = 256 << 20 // bytes
	limitCPUs   = 1
	limitPids   = 64
)

// wallsOf are those of a variant.
func wallsOf(variant string) (walls, error) {
	all := walls{}
	for _, m := range isolation.Mechanisms {
		all[m.Name] = true
	}
	without, isWithout := strings.CutPrefix(variant, isolation.Without(""))
	only, isOnly := strings.CutPrefix(variant, isolation.Only(""))
	switch {
	case variant == isolation.Bare:
		return walls{}, nil
	case variant == isolation.Contained:
		return all, nil
	case isWithout && all[without]:
		delete(all, without)
		return all, nil
	case isOnly && all[only]:
		return walls{only: true}, nil
	}
	return nil, fmt.Errorf("there is no variant %q: there are %q, %q, and with each mechanism %q and %q", variant,
		isolation.Bare, isolation.Contained, isolation.Without("MECHANISM"), isolation.Only("MECHANISM"))
}

var namespaces = map[specs.LinuxNamespaceType]string{
	specs.UserNamespace: "user namespace", specs.PIDNamespace: "pid namespace", specs.NetworkNamespace: "network namespace",
	specs.UTSNamespace: "uts namespace", specs.IPCNamespace: "ipc namespace", specs.CgroupNamespace: "cgroup namespace",
}

// spec is the configuration of what has these walls, but for the filter of system calls:
// that of the platform container, of which is left out what is not among them.
//
// Some are made of mounts. Where such a one is alone, it has a mount namespace to be
// mounted in, whose root is the host's tree as it is. And where a container has no mount
// namespace it has none of these, and the host's tree for its root: there is nowhere else
// to mount them than on the host.
func (w walls) spec(args []string, name string) *specs.Spec {
	s := container.DefaultSpec(args, []string{"PATH=/bin"}, "/")
	l := s.Linux
	tree := w["mount namespace"] || w.hostTree()
	l.Namespaces = slices.DeleteFunc(l.Namespaces, func(n specs.LinuxNamespace) bool {
		if n.Type == specs.MountNamespace {
			return !tree
		}
		return !w[namespaces[n.Type]]
	})
	if !w["mount namespace"] {
		s.Root.Path = "/"
	}
	if !w["user namespace"] {
		l.UIDMappings, l.GIDMappings = nil, nil
	}
	if !w["uts namespace"] {
		s.Hostname = ""
	}
	s.Process.NoNewPrivileges = w["no_new_privs"]
	if !w["capabilities"] {
		s.Process.Capabilities = nil // root keeps all, those in the bounding set too
	}
	if !tree || !w["masked paths"] {
		l.MaskedPaths = nil
	}
	if !tree || !w["read-only paths"] {
		l.ReadonlyPaths = nil
	}
	l.CgroupsPath, l.Resources = "/arena/"+name, w.resources(tree)
	s.Mounts = w.mounts(s.Mounts)
	return s
}

// hostTree tells whether it has a mount namespace for the sake of another mechanism.
func (w walls) hostTree() bool {
	for m := range w {
		if len(w) == 1 && isolation.FindMechanism(m).Needs == "mount namespace" {
			return true
		}
	}
	return false
}

// resources are the limits, and the rules on devices.
func (w walls) resources(tree bool) *specs.LinuxResources {
	r := &specs.LinuxResources{}
	if w["limits"] {
		period, memory, pids := uint64(100_000), int64(limitMemory), int64(limitPids)
		quota := limitCPUs * int64(period)
		r.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
		r.Memory, r.Pids = &specs.LinuxMemory{Limit: &memory}, &specs.LinuxPids{Limit: &pids}
	}
	// For a host's root with a tree of files of its own the runtime makes rules unasked.
	if tree && !w["devices"] && !w["user namespace"] {
		r.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	return r
}

// shows are the mounts that show what another wall than the mount namespace makes: they
// can be mounted anew only together with that (user_namespaces(7)).
var shows = map[string]string{
	"/proc": "pid namespace", "/sys": "network namespace", "/dev/mqueue": "ipc namespace", "/dev/shm": "ipc namespace",
	"/dev": "devices", "/dev/pts": "devices",
}

// mounts are those that are left of the usual ones. Without the wall of which one would
// show what is behind it the host's is bound in its place, as `docker run --pid=host` and
// its like do.
func (w walls) mounts(usual []specs.Mount) (all []specs.Mount) {
	for _, m := range usual {
		wall := shows[m.Destination]
		switch {
		case w.hostTree():
			// The host's tree has it all. What is the wall's own is laid over it.
			if w[wall] {
				all = append(all, m)
			}
		case !w["mount namespace"]:
		case w[wall]:
			all = append(all, m)
		default:
			options := []string{"bind"}
			for _, o := range m.Options {
				if slices.Contains([]string{"nosuid", "noexec", "nodev", "ro"}, o) {
					options = append(options, o)
				}
			}
			all = append(all, specs.Mount{Destination: m.Destination, Type: "none", Source: m.Destination, Options: options})
		}
	}
	return all
}
