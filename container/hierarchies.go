package container

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
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

// ownGroups is what a container without a cgroup namespace sees of hierarchies
// of version 1: its own group in each, and nothing where it has none. Of version
// 2 it sees the whole, as with other runtimes, unless its user namespace has no
// power to mount that. It adds the descriptors to opened.
func ownGroups(list []rootfs.Hierarchy, g *cgroup.Cgroup, userns bool, opened *[]int) ([]rootfs.Hierarchy, error) {
	if len(list) == 1 && list[0].Type == "cgroup2" && !userns {
		return list, nil
	}
	if g == nil {
		return nil, nil
	}
	paths := g.Paths()
	var own []rootfs.Hierarchy
	for _, h := range list {
		key, _, _ := strings.Cut(h.Name, ",") // controllers that share a hierarchy share the group
		if h.Type == "cgroup2" {
			key = ""
		} else if i := slices.Index(h.Options, "name="+h.Name); i >= 0 { // it has no controller
			key = h.Options[i]
		}
		path, ok := paths[key]
		if !ok {
			continue
		}
		fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return nil, &os.PathError{Op: "open_tree", Path: path, Err: err}
		}
		*opened = append(*opened, fd)
		h.Group = fd
		own = append(own, h)
	}
	return own, nil
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
