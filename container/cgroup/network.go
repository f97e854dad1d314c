package cgroup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Network, linux.resources.network: marks on packets, for tc(8) and nftables.
// Only version 1 has controllers for them (cgroup-v1/net_cls.rst,
// net_prio.rst); on version 2 a packet filter asks for the group itself.

func classID(r *specs.LinuxResources) (settings, error) {
	if r.Network == nil || r.Network.ClassID == nil {
		return nil, nil
	}
	return settings{{field: "network.classID", file: "net_cls.classid", value: strconv.FormatUint(uint64(*r.Network.ClassID), 10)}}, nil
}

func priorities(r *specs.LinuxResources) (settings, error) {
	if r.Network == nil {
		return nil, nil
	}
	var s settings
	for i, p := range r.Network.Priorities {
		s = append(s, setting{field: fmt.Sprintf("network.priorities[%d]", i), file: "net_prio.ifpriomap", value: fmt.Sprintf("%s %d", p.Name, p.Priority)})
	}
	return s, nil
}

func noClassID(r *specs.LinuxResources) (settings, error) {
	if r.Network != nil && r.Network.ClassID != nil {
		return nil, errors.New("network.classID: needs the net_cls controller of cgroup v1")
	}
	return nil, nil
}

func noPriorities(r *specs.LinuxResources) (settings, error) {
	if r.Network != nil && len(r.Network.Priorities) > 0 {
		return nil, errors.New("network.priorities: needs the net_prio controller of cgroup v1")
	}
	return nil, nil
}

func checkNetwork(r *specs.LinuxResources) error {
	if r.Network == nil {
		return nil
	}
	for i, p := range r.Network.Priorities {
		if p.Name == "" || len(p.Name) > 15 || strings.ContainsAny(p.Name, " \t\n/") { // IFNAMSIZ
			return fmt.Errorf("network.priorities[%d].name: %q is not the name of an interface", i, p.Name)
		}
	}
	return nil
}
