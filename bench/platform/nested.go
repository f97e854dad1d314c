package platform

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"vmctr/vm/guest/wire"
	"vmctr/vm/kernel"
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
	spec, err := configuration(w)
	if err != nil {
		return nil, err
	}
	spec.Linux.CgroupsPath = "/container"
	config, facts, err := Guest{
		Spec: spec, Disks: w.Image.Disks, Container: true,
		Dir: w.Dir, Cache: w.Cache, Kernel: w.Kernel, Memory: w.Memory, CPUs: w.CPUs, Network: w.Port != 0, Publish: w.Port,
	}.Machine(ctx, p.typ)
	if missing, ok := errors.AsType[*kernel.MissingModuleError](err); ok {
		return nil, &UnavailableError{Reason: missing.Error(), Fix: "take a distribution's kernel, which has what containers need: --kernel FILE"}
	}
	if err != nil {
		return nil, err
	}
	inner := "veth pair into a bridge of the guest"
	if w.Port != 0 {
		inner += "; PID 1 takes what comes to the machine's port " + strconv.Itoa(int(w.Port)) + " there"
	}
	for k, v := range map[string]string{
		"container's memory limit": fmt.Sprintf("%d MiB", w.Memory>>20),
		"container's CPU limit":    strconv.Itoa(w.CPUs),
		"container's pids limit":   strconv.FormatInt(w.Pids, 10),
		"container's network":      inner,
		"guest cgroups":            "v2",
	} {
		facts.Details[k] = v
	}
	m, err := plugged(ctx, w, config, facts)
	if err != nil {
		return nil, err
	}
	return preparedNested{m}, nil
}

type preparedNested struct{ *preparedMachine }

func (p preparedNested) Start(ctx context.Context) (Instance, error) {
	i, err := p.start(ctx)
	if err != nil {
		return nil, err
	}
	return nestedInstance{i}, nil
}

type nestedInstance struct{ *machineInstance }

// Within is an instance in a system that was started for it: a container in a
// machine.
type Within interface {
	// Asked is when that system, being up, was asked for the instance.
	Asked() (Mark, error)
	// Namespaces are those that the instance would be in without any of its own.
	Namespaces(context.Context) (map[string]uint64, error)
}

func (i nestedInstance) Asked() (Mark, error) {
	for _, m := range i.Timeline() {
		if m.Phase == wire.PhaseWorkload {
			return m, nil
		}
	}
	return Mark{}, errors.New("the guest has not told when it was asked for the container")
}

func (i nestedInstance) Namespaces(ctx context.Context) (map[string]uint64, error) {
	return i.m.Namespaces(ctx)
}
