package container

import (
	"fmt"
	"os"
	"strings"

	"vmctr/container/rootfs"
)

// hierarchies are those that the kernel has cgroups in, of which a container
// can mount its own view (cgroups(7), /proc/PID/cgroup).
func hierarchies() ([]rootfs.Hierarchy, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("finding the hierarchies of cgroups: %w", err)
	}
	return parseHierarchies(string(b)), nil
}

// parseHierarchies reads lines such as "4:cpu,cpuacct:/a", "1:name=systemd:/"
// and, of version 2, "0::/a".
func parseHierarchies(text string) []rootfs.Hierarchy {
	var list []rootfs.Hierarchy
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		if f[1] == "" {
			list = append(list, rootfs.Hierarchy{Name: "unified", Type: "cgroup2"})
			continue
		}
		h := rootfs.Hierarchy{Name: strings.TrimPrefix(f[1], "name="), Type: "cgroup", Options: strings.Split(f[1], ",")}
		if strings.HasPrefix(f[1], "name=") {
			h.Options = []string{"none", f[1]}
		} else if len(h.Options) > 1 {
			h.Links = h.Options
		}
		list = append(list, h)
	}
	return list
}
