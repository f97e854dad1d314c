package platform

import (
	"context"
	"errors"
	"fmt"

	"vmctr/vm"
	"vmctr/vm/kernel"
)

// Elastic is the experiment that the variants here are for: what becomes of memory that
// a guest has used and freed. They differ in what the host has to ask for it by.
const Elastic = "vm-memory"

func init() {
	for _, p := range []elastic{
		{name: "no-balloon", title: "without a balloon"},
		{name: "balloon", title: "with a balloon", balloon: true},
		{name: "free-page-reporting", title: "whose guest reports free pages", reporting: true},
	} {
		p.machine = machine{"q35"}
		register(p)
	}
}

// elastic is a machine with or without a balloon.
type elastic struct {
	machine
	name, title        string
	balloon, reporting bool
}

func (p elastic) Info() Info {
	info := p.machine.Info()
	return Info{Name: info.Name + "," + p.name, Title: info.Title + " " + p.title, Kind: info.Kind, Experiment: Elastic}
}

func (p elastic) Prepare(ctx context.Context, w Workload) (Prepared, error) {
	var g Guest
	if p.balloon || p.reporting {
		g.Modules = []string{vm.BalloonModule}
	}
	m, err := p.prepare(ctx, w, g)
	if missing, ok := errors.AsType[*kernel.MissingModuleError](err); ok {
		return nil, &UnavailableError{Reason: missing.Error(), Fix: "take a kernel that has the driver of a balloon: --kernel FILE"}
	}
	if err != nil {
		return nil, err
	}
	m.config.SmallPages = false // what KSM could merge is asked, and that is not what is shared
	m.config.Balloon, m.config.FreePageReporting = p.balloon, p.reporting
	return &preparedElastic{m, p}, nil
}

type preparedElastic struct {
	*preparedMachine
	platform elastic
}

func (p *preparedElastic) Start(ctx context.Context) (Instance, error) {
	i, err := p.start(ctx)
	if err != nil {
		return nil, err
	}
	e := elasticInstance{i}
	switch {
	case p.platform.balloon:
		return balloonInstance{e}, nil
	case p.platform.reporting:
		return e, nil
	}
	return twinInstance{e, p}, nil
}

// GuestRAM is an instance with RAM that the host gives it as it needs it.
type GuestRAM interface {
	// RAM is how much the host has given so far, in bytes.
	RAM(ctx context.Context) (int64, error)
	// Touch has the guest use so many bytes, and free them.
	Touch(ctx context.Context, bytes int64) error
}

type elasticInstance struct{ *machineInstance }

func (i elasticInstance) RAM(ctx context.Context) (int64, error) {
	all, err := i.m.Memory(ctx)
	return all.RAM.RSS, err
}

func (i elasticInstance) Touch(ctx context.Context, bytes int64) error {
	return i.m.TouchMemory(ctx, bytes)
}

// Ballooned is an instance with a balloon.
type Ballooned interface {
	// Balloon takes so many bytes of the guest's RAM, or, with 0, gives all back.
	Balloon(ctx context.Context, bytes int64) error
}

type balloonInstance struct{ elasticInstance }

func (i balloonInstance) Balloon(ctx context.Context, bytes int64) error {
	return i.m.Balloon(ctx, i.m.RAM()-bytes)
}

// Twin is an instance that can be held against another of the same.
type Twin interface {
	// Another starts it.
	Another(ctx context.Context) (Instance, error)
	// Compare compares their RAM, page by page.
	Compare(ctx context.Context, other Instance) (vm.Mergeable, error)
}

type twinInstance struct {
	elasticInstance
	prepared *preparedElastic
}

func (i twinInstance) Another(ctx context.Context) (Instance, error) { return i.prepared.Start(ctx) }

func (i twinInstance) Compare(ctx context.Context, other Instance) (vm.Mergeable, error) {
	o, ok := other.(twinInstance)
	if !ok {
		return vm.Mergeable{}, fmt.Errorf("comparing the RAM of machines: %T is none", other)
	}
	return vm.CompareRAM(ctx, i.m, o.m)
}
