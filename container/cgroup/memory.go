package cgroup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Memory: linux.resources.memory. On version 1 swap counts together with memory
// (memsw), on version 2 it has a limit of its own, and the runtime-spec
// (config-linux.md, "Memory") follows version 1.

// memoryV1 is Documentation/admin-guide/cgroup-v1/memory.rst.
func memoryV1(r *specs.LinuxResources) (settings, error) {
	m := r.Memory
	if m == nil {
		return nil, nil
	}
	var s settings
	if m.Limit != nil {
		s = append(s, setting{field: "memory.limit", file: "memory.limit_in_bytes", value: number(*m.Limit, "-1")})
	}
	switch {
	case isSet(m.Swap):
		s = append(s, setting{field: "memory.swap", file: "memory.memsw.limit_in_bytes", value: number(*m.Swap, "-1")})
	case m.Limit != nil && *m.Limit < 0:
		// The limit cannot be above that of memory and swap.
		s = append(s, setting{field: "memory.limit", file: "memory.memsw.limit_in_bytes", value: "-1", optional: true, initial: true})
	}
	if isSet(m.Reservation) {
		s = append(s, setting{field: "memory.reservation", file: "memory.soft_limit_in_bytes", value: number(*m.Reservation, "-1")})
	}
	if isSet(m.KernelTCP) {
		s = append(s, setting{field: "memory.kernelTCP", file: "memory.kmem.tcp.limit_in_bytes", value: number(*m.KernelTCP, "-1"), optional: *m.KernelTCP < 0})
	}
	if m.Swappiness != nil {
		s = append(s, setting{field: "memory.swappiness", file: "memory.swappiness", value: strconv.FormatUint(*m.Swappiness, 10)})
	}
	if m.DisableOOMKiller != nil {
		s = append(s, setting{field: "memory.disableOOMKiller", file: "memory.oom_control", value: oneOrZero(*m.DisableOOMKiller), initial: !*m.DisableOOMKiller})
	}
	if m.UseHierarchy != nil {
		// Since Linux 5.11 it is always on.
		s = append(s, setting{field: "memory.useHierarchy", file: "memory.use_hierarchy", value: oneOrZero(*m.UseHierarchy), optional: *m.UseHierarchy})
	}
	return s, nil
}

func oneOrZero(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// memoryV2 is cgroup-v2.rst, "Memory".
func memoryV2(r *specs.LinuxResources) (settings, error) {
	m := r.Memory
	if m == nil {
		return nil, nil
	}
	switch {
	case m.Swappiness != nil:
		return nil, errors.New("memory.swappiness: cgroup v2 has none, but sysctl vm.swappiness for all")
	case m.DisableOOMKiller != nil && *m.DisableOOMKiller:
		return nil, errors.New("memory.disableOOMKiller: cgroup v2 cannot; use unified[\"memory.high\"], which slows down instead of killing")
	case m.UseHierarchy != nil && !*m.UseHierarchy:
		return nil, errors.New("memory.useHierarchy: cgroup v2 always counts the groups below")
	case m.KernelTCP != nil && *m.KernelTCP > 0:
		return nil, errors.New("memory.kernelTCP: cgroup v2 has no limit of its own for TCP; it counts to memory.limit")
	}
	var s settings
	if m.Limit != nil {
		s = append(s, setting{field: "memory.limit", file: "memory.max", value: number(*m.Limit, "max")})
	}
	swap, err := swapMax(m)
	if err != nil {
		return nil, err
	}
	if swap != "" {
		// Without swap in the kernel there is no file, and no swap to limit.
		s = append(s, setting{field: "memory.swap", file: "memory.swap.max", value: swap, optional: swap == "max" || swap == "0"})
	}
	if isSet(m.Reservation) {
		s = append(s, setting{field: "memory.reservation", file: "memory.low", value: number(*m.Reservation, "max")})
	}
	return s, nil
}

// swapMax is the limit of swap alone, "" for none.
func swapMax(m *specs.LinuxMemory) (string, error) {
	switch {
	case !isSet(m.Swap):
		if m.Limit != nil && *m.Limit < 0 {
			return "max", nil // as on version 1
		}
		return "", nil
	case *m.Swap < 0:
		return "max", nil
	case m.Limit == nil:
		return "", errors.New("memory.swap: cgroup v2 limits swap alone, so memory.limit is needed to subtract it")
	case *m.Limit < 0:
		return strconv.FormatInt(*m.Swap, 10), nil
	}
	return strconv.FormatInt(*m.Swap-*m.Limit, 10), nil
}

func checkMemory(r *specs.LinuxResources) error {
	m := r.Memory
	if m == nil {
		return nil
	}
	if isSet(m.Swap) && m.Limit != nil && *m.Swap >= 0 && *m.Swap < *m.Limit {
		return fmt.Errorf("memory.swap: %d is the limit of memory and swap together, and less than memory.limit, %d", *m.Swap, *m.Limit)
	}
	if m.Swappiness != nil && *m.Swappiness > 100 {
		return fmt.Errorf("memory.swappiness: %d is not in 0..100", *m.Swappiness)
	}
	return nil
}

// checkUsage refuses a limit below what is used, where that is asked for.
// Version 2 would kill for it.
func (c *Cgroup) checkUsage(r *specs.LinuxResources) error {
	if r == nil || r.Memory == nil || r.Memory.Limit == nil || *r.Memory.Limit < 0 || r.Memory.CheckBeforeUpdate == nil || !*r.Memory.CheckBeforeUpdate {
		return nil
	}
	used, err := c.Memory()
	if err != nil {
		return fmt.Errorf("memory.checkBeforeUpdate: %w", err)
	}
	if used > *r.Memory.Limit {
		return fmt.Errorf("memory.limit: %d is less than the %d bytes in use (memory.checkBeforeUpdate)", *r.Memory.Limit, used)
	}
	return nil
}

// Memory is what the group is charged for, in bytes: anonymous memory, page
// cache that it was first to touch, and kernel memory.
func (c *Cgroup) Memory() (int64, error) {
	dir, file, err := c.file("memory", "memory.usage_in_bytes", "memory.current")
	if err != nil {
		return 0, err
	}
	text, err := read(dir, file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
}

// OutOfMemoryKills counts the processes of the group that the kernel has
// killed because the group was over its memory limit: oom_kill of
// memory.events, on version 1 (since Linux 4.13) of memory.oom_control.
func (c *Cgroup) OutOfMemoryKills() (int64, error) {
	dir, file, err := c.file("memory", "memory.oom_control", "memory.events")
	if err != nil {
		return 0, err
	}
	text, err := read(dir, file)
	if err != nil {
		return 0, err
	}
	n, ok := parseKeys(text)["oom_kill"]
	if !ok {
		return 0, fmt.Errorf("%s/%s has no oom_kill", dir, file)
	}
	return int64(n), nil
}

// file is where a controller's file is, which has another name on each version.
func (c *Cgroup) file(controller, v1, v2 string) (dir, file string, err error) {
	if dir := c.dirs[controller]; dir != "" {
		return dir, v1, nil
	}
	if c.unified == "" {
		return "", "", fmt.Errorf("the cgroup has no %s controller", controller)
	}
	return c.unified, v2, nil
}
