package cgroup

import "github.com/opencontainers/runtime-spec/specs-go"

// pids is linux.resources.pids: how many processes and threads there may be.
// 0 is a limit too (config-linux.md, "PIDs").
func pids(r *specs.LinuxResources) (settings, error) {
	if r.Pids == nil || r.Pids.Limit == nil {
		return nil, nil
	}
	return settings{{field: "pids.limit", file: "pids.max", value: number(*r.Pids.Limit, "max")}}, nil
}
