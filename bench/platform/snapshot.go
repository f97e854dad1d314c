package platform

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vmctr/vm"
)

func init() { register(snapshot{machine{"q35"}}) }

// snapshot is the machine of the platform vm-q35, which has booted before. What its user
// keeps ready is not an image alone, but a machine at rest that is about to start the
// workload: each instance goes on from there (vm.Snapshot).
type snapshot struct{ machine }

func (p snapshot) Info() Info {
	return Info{Name: "vm-snapshot", Title: "virtual machine restored from a saved state (QEMU " + p.typ + ")", Kind: "vm"}
}

// Prepare also boots a machine and saves it.
func (p snapshot) Prepare(ctx context.Context, w Workload) (_ Prepared, err error) {
	m, err := p.prepare(ctx, w, Guest{Boot: Boot{Template: true}})
	if err != nil {
		return nil, err
	}
	s := &preparedSnapshot{preparedMachine: m}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	begin := time.Now()
	template, err := m.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("booting the machine that is to be saved: %w", err)
	}
	s.saved, err = template.m.Save(ctx)
	took := time.Since(begin)
	if err := errors.Join(instanceError(err), template.Stop(ctx)); err != nil {
		return nil, err
	}
	ram, state, err := s.saved.Size()
	if err != nil {
		return nil, err
	}
	m.facts.Details["saved"] = fmt.Sprintf("before the workload's start, once; to boot and to save took %v", took.Round(time.Millisecond))
	m.facts.Details["saved state"] = fmt.Sprintf("%d bytes of RAM, of which an instance copies what it writes, and %d of the devices' state", ram, state)
	m.facts.Details["renewed"] = "random seed, wall clock, host name, MAC and IP address; the kernel's place in memory and the keys of its hash tables are the same in all instances"
	m.facts.Details["uptime"] = "counts on from the save: the instance's own, and what it took to boot once"
	m.facts.Parts = append(m.facts.Parts, Part{Name: "saved RAM", Bytes: ram, WithImage: true}, Part{Name: "saved state of the devices", Bytes: state})
	return s, nil
}

type preparedSnapshot struct {
	*preparedMachine
	saved *vm.Snapshot
}

// Saved is what has a machine at rest, which can go on elsewhere too.
type Saved interface{ Snapshot() *vm.Snapshot }

func (p *preparedSnapshot) Snapshot() *vm.Snapshot { return p.saved }

func (p *preparedSnapshot) Start(ctx context.Context) (Instance, error) {
	i, err := p.launch(ctx, func(cfg vm.Config) (*vm.Machine, error) {
		return p.saved.Restore(ctx, vm.Clone{Name: cfg.Name, Dir: cfg.Dir, Cgroup: cfg.Cgroup, Network: cfg.Network, Hostname: cfg.Name})
	})
	if err != nil {
		return nil, err // not an Instance that is a nil
	}
	return i, nil
}

func (p *preparedSnapshot) Close() error {
	err := p.preparedMachine.Close()
	if p.saved != nil {
		err = errors.Join(err, p.saved.Close())
	}
	return err
}
