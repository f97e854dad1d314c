package cgroup

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// unified is linux.resources.unified: files of version 2 by their names. A line
// is one write: the kernel takes one at a time.
func unified(r *specs.LinuxResources) (settings, error) {
	var s settings
	for _, file := range slices.Sorted(maps.Keys(r.Unified)) {
		controller, _, _ := strings.Cut(file, ".")
		for line := range strings.SplitSeq(strings.TrimRight(r.Unified[file], "\n"), "\n") {
			if line == "" {
				line = "\n" // some files are emptied so; a write of nothing is none
			}
			s = append(s, setting{field: fmt.Sprintf("unified[%q]", file), controller: controller, file: file, value: line})
		}
	}
	return s, nil
}

func checkUnified(r *specs.LinuxResources) error {
	for _, file := range slices.Sorted(maps.Keys(r.Unified)) {
		controller, rest, ok := strings.Cut(file, ".")
		if !ok || controller == "" || rest == "" || strings.ContainsAny(file, "/\x00") {
			return fmt.Errorf("unified[%q]: is not the name of a file of a cgroup, such as memory.high", file)
		}
		// Those move processes and change what groups are, and limit nothing.
		if slices.Contains([]string{"cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.type", "cgroup.subtree_control"}, file) {
			return fmt.Errorf("unified[%q]: is not a limit", file)
		}
	}
	return nil
}
