package platform

import (
	"context"
	"fmt"
	"strconv"

	"vmctr/vm/guest/wire"
)

func init() { register(nested{machine{"q35"}}) }

// nested is the container of the platform "container" inside the machine of the
// platform "vm-q35": what a cloud sells, and what Docker Desktop does on a system
// whose kernel is not Linux.
type nested struct{ machine }

func (p nested) Info() Info {
	return Info{Name: "nested", Title: "container in a virtual machine (QEMU " + p.typ + ")", Kind: "nested"}
}

// Prepare makes all that the guests share. The configuration is that of the
// containers on the host.
func (p nested) Prepare(ctx context.Context, w Workload) (Prepared, error) {
	layers, err := w.Image.Unpack(ctx)
	if err != nil {
		return nil, err
	}
	spec, err := configuration(w)
	if err != nil {
		return nil, err
	}
	spec.Linux.CgroupsPath = "/container"
	config, facts, err := Guest{
		Spec: spec, Layers: layers, Disks: w.Image.Disks, Container: true,
		Dir: w.Dir, Cache: w.Cache, Kernel: w.Kernel, Memory: w.Memory, CPUs: w.CPUs,
	}.Machine(ctx, p.typ)
	if err != nil {
		return nil, err
	}
	for k, v := range map[string]string{
		"container's memory limit": fmt.Sprintf("%d MiB", w.Memory>>20),
		"container's CPU limit":    strconv.Itoa(w.CPUs),
		"container's pids limit":   strconv.FormatInt(w.Pids, 10),
		"container's network":      "veth pair into a bridge of the guest; no way out of the guest",
		"guest cgroups":            "v2",
	} {
		facts.Details[k] = v
	}
	return &preparedNested{preparedMachine{w: w, config: config, facts: facts}}, nil
}

type preparedNested struct{ preparedMachine }

func (p *preparedNested) Start(ctx context.Context) (Instance, error) {
	i, err := p.preparedMachine.Start(ctx)
	if err != nil {
		return nil, err
	}
	return nestedInstance{i.(*machineInstance)}, nil
}

type nestedInstance struct{ *machineInstance }

// Within is an instance that was started by a system which had to be started too:
// of a container in a machine, the machine.
type Within interface {
	// Asked is when that system, once it ran, was asked for the instance, in
	// nanoseconds of CLOCK_MONOTONIC: it is late by what a report from it is under
	// way, at least. ok is false if that was not heard of.
	Asked() (ns int64, ok bool)
}

func (i nestedInstance) Asked() (int64, bool) {
	for _, m := range i.Timeline() {
		if m.Phase == wire.PhaseWorkload {
			return m.Ns, true
		}
	}
	return 0, false
}
