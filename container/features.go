package container

import (
	"maps"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"vmctr/container/rootfs"
)

// Features are what this runtime can do (runtime-spec features.md).
func Features() features.Features {
	yes := true
	var namespaces []string
	for t := range namespaceFlags {
		namespaces = append(namespaces, string(t))
	}
	slices.Sort(namespaces)
	return features.Features{
		OCIVersionMin: "1.0.0", OCIVersionMax: specs.Version,
		Hooks:        []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions: rootfs.MountOptions(),
		Linux: &features.Linux{
			Namespaces:   namespaces,
			Capabilities: slices.Sorted(maps.Keys(capabilityNumbers)),
			Cgroup:       &features.Cgroup{V1: &yes, V2: &yes},
			Seccomp:      &features.Seccomp{Enabled: &yes},
		},
	}
}
