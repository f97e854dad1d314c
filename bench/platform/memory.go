package platform

import (
	"context"
	"fmt"

	"vmctr/container/cgroup"
	"vmctr/vm"
)

// Charged is an instance with a control group, whose account is known by what it is for.
type Charged interface {
	// CgroupParts are figures in bytes, by their names in the journal: what this version of
	// cgroups does not tell is not there. There are none where it has no group.
	CgroupParts() (map[string]int64, error)
	// OutOfMemoryKills is how many of its processes the kernel has killed since the group
	// was over its limit.
	OutOfMemoryKills() (int64, error)
}

// chargedTo takes apart what a group is charged for (memory.stat of cgroup-v2.rst; on
// version 1 memory.kmem.usage_in_bytes, if the kernel counts it).
func chargedTo(g *cgroup.Cgroup) (map[string]int64, error) {
	if g == nil {
		return nil, nil
	}
	stats, err := g.Stats()
	if err != nil || stats.Memory == nil {
		return nil, err
	}
	m := stats.Memory
	parts := map[string]int64{}
	for name, bytes := range map[string]*uint64{
		"cgroup_anon_bytes": m.Anon, "cgroup_file_bytes": m.File, "cgroup_kernel_bytes": m.Kernel,
		"cgroup_slab_bytes": m.Slab, "cgroup_page_tables_bytes": m.PageTables,
	} {
		if bytes != nil {
			parts[name] = int64(*bytes)
		}
	}
	return parts, nil
}

func (i *containerInstance) CgroupParts() (map[string]int64, error) { return chargedTo(i.c.Cgroup()) }

func (i *containerInstance) OutOfMemoryKills() (int64, error) {
	return i.c.Cgroup().OutOfMemoryKills()
}

func (i *otherInstance) CgroupParts() (map[string]int64, error) {
	g, err := cgroup.Load(i.group)
	if err != nil {
		return nil, err
	}
	return chargedTo(g)
}

func (i *otherInstance) OutOfMemoryKills() (int64, error) {
	g, err := cgroup.Load(i.group)
	if err != nil {
		return 0, err
	}
	return g.OutOfMemoryKills()
}

func (i *machineInstance) CgroupParts() (map[string]int64, error) { return chargedTo(i.m.Cgroup()) }

// OutOfMemoryKills are of QEMU. What the guest's kernel kills is its own affair.
func (i *machineInstance) OutOfMemoryKills() (int64, error) {
	if i.m.Cgroup() == nil {
		return 0, nil
	}
	return i.m.Cgroup().OutOfMemoryKills()
}

// Comparable is an instance whose RAM can be held against that of another: a machine.
// Both are of workloads that are Mergeable.
type Comparable interface {
	CompareRAM(ctx context.Context, other Instance) (vm.Mergeable, error)
}

func (i *machineInstance) CompareRAM(ctx context.Context, other Instance) (vm.Mergeable, error) {
	o, ok := other.(interface{ machine() *vm.Machine })
	if !ok {
		return vm.Mergeable{}, fmt.Errorf("comparing the RAM of machines: %T is none", other)
	}
	return vm.CompareRAM(ctx, i.m, o.machine())
}

func (i *machineInstance) machine() *vm.Machine { return i.m }

// CachedFiles is an instance that has booted from files: a machine.
type CachedFiles interface {
	// Cached tells how much of them is in the host's page cache.
	Cached() ([]vm.CachedFile, error)
}

func (i *machineInstance) Cached() ([]vm.CachedFile, error) { return i.m.Cached() }

// Foldered is a Prepared whose instances read the image's files from folders of the host.
type Foldered interface{ Folders() []string }

func (p *preparedProcess) Folders() []string { return []string{p.root} }

func (p *preparedContainer) Folders() []string { return p.folders }

func (p *preparedOther) Folders() []string { return p.folders }
