package platform

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"vmctr/vm"
)

func init() {
	for _, typ := range []string{"microvm", "pc", "q35"} {
		register(machine{typ})
	}
}

// machine is a QEMU machine of one type, which boots a stock kernel into the
// image.
type machine struct{ typ string }

func (p machine) Info() Info {
	return Info{Name: "vm-" + p.typ, Title: "virtual machine (QEMU " + p.typ + ")", Kind: "vm"}
}

func (p machine) Available(context.Context) error {
	_, err := findQEMU(vm.Architecture(p.typ))
	return err
}

// Prepare makes all that the guests share: the kernel, the initramfs, and disks
// with the image, if it is not in the initramfs.
func (p machine) Prepare(ctx context.Context, w Workload) (Prepared, error) {
	return prepared(p.prepare(ctx, w, Guest{}))
}

// prepared makes one that is nil a nil.
func prepared(p *preparedMachine, err error) (Prepared, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}

// prepare is the same for a guest of which something has been said already.
func (p machine) prepare(ctx context.Context, w Workload, g Guest) (*preparedMachine, error) {
	layers, err := w.Image.Unpack(ctx)
	if err != nil {
		return nil, err
	}
	g.Spec = w.spec()
	g.Spec.Hostname = "machine"
	g.Layers, g.Disks = layers, w.Image.Disks
	g.Dir, g.Cache, g.Kernel, g.Memory, g.CPUs = w.Dir, w.Cache, w.Kernel, w.Memory, w.CPUs
	g.Network = w.Port != 0
	config, facts, err := g.Machine(ctx, p.typ)
	if err != nil {
		return nil, err
	}
	return plugged(ctx, w, config, facts)
}

// plugged gives machines a network, and so is the last thing that is prepared.
func plugged(ctx context.Context, w Workload, config vm.Config, facts Facts) (*preparedMachine, error) {
	if w.Mergeable {
		config.SmallPages = false
	}
	plug, err := newPlug(ctx, w, config.Accelerator)
	if err != nil {
		return nil, errors.Join(err, os.Remove(config.Initramfs))
	}
	facts.Details["network"] = plug.String()
	return &preparedMachine{w: w, config: config, facts: facts, plug: plug}, nil
}

// foreign is the machine with another processor than this host's. It is no platform
// to be measured: that it runs at all is its point, and an emulator's time beside a
// container's that runs other instructions compares nothing.
var foreign = machine{"virt"}

// MachineType is the QEMU machine type of a virtual machine: of a platform that is
// one, or vm-virt.
func MachineType(name string) (typ string, ok bool) {
	if name == foreign.Info().Name {
		return foreign.typ, true
	}
	for _, p := range all {
		if m, isMachine := p.(machine); isMachine && p.Info().Name == name {
			return m.typ, true
		}
	}
	return "", false
}

// Machines are the names that MachineType knows.
func Machines() []string {
	var names []string
	for _, p := range All() {
		if _, isMachine := p.(machine); isMachine {
			names = append(names, p.Info().Name)
		}
	}
	return append(names, foreign.Info().Name)
}

type preparedMachine struct {
	w      Workload
	config vm.Config
	facts  Facts
	plug   plug // of the zero one, no machine has a network
}

func (p *preparedMachine) Facts() Facts { return p.facts }

func (p *preparedMachine) Close() error {
	return errors.Join(os.Remove(p.config.Initramfs), p.plug.close())
}

func (p *preparedMachine) Start(ctx context.Context) (Instance, error) {
	i, err := p.start(ctx)
	if err != nil {
		return nil, err
	}
	return i, nil
}

func (p *preparedMachine) start(ctx context.Context) (*machineInstance, error) {
	return p.launch(ctx, func(cfg vm.Config) (*vm.Machine, error) { return vm.Start(ctx, cfg) })
}

// launch makes what one more instance has for itself, and starts it.
func (p *preparedMachine) launch(ctx context.Context, start func(vm.Config) (*vm.Machine, error)) (*machineInstance, error) {
	begin := now()
	name := "m" + strconv.Itoa(int(instances.Add(1)))
	cfg := p.config
	cfg.Name = p.w.RunID + "-" + name
	cfg.Dir = filepath.Join(p.w.Dir, name)
	if os.Geteuid() == 0 {
		cfg.Cgroup = "/" + p.w.RunID + "/" + name
	}
	cable, err := p.plug.cable()
	if err != nil {
		return nil, err
	}
	cfg.Network = cable.card
	m, err := start(cfg)
	cable.started()
	if err != nil {
		return nil, errors.Join(instanceError(err), cable.release())
	}
	output, err := newOutput(m.Output())
	if err != nil {
		return nil, errors.Join(err, m.Stop(ctx), cable.release())
	}
	return &machineInstance{m, output, cable, begin}, nil
}

type machineInstance struct {
	m      *vm.Machine
	output *Output
	cable  *cable
	begin  int64
}

func (i *machineInstance) Output() *Output { return i.output }

// Timeline waits a moment for the guest's report of the last phase, which may
// be on its way when the workload's first instruction is here, and for
// answers by which the guest's clock is known the better.
func (i *machineInstance) Timeline() []Mark {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if i.m.Running(ctx) {
		i.m.Synchronize(ctx) // what it fails at, the marks' errors show
	}
	marks := []Mark{{Phase: "start", Ns: i.begin}}
	for _, m := range i.m.Timeline()[1:] {
		marks = append(marks, Mark(m))
	}
	return marks
}

func (i *machineInstance) Processes() ([]int, error) { return []int{i.m.PID()}, nil }

func (i *machineInstance) CgroupMemory() (int64, bool, error) {
	if i.m.Cgroup() == nil {
		return 0, false, nil
	}
	n, err := i.m.Cgroup().Memory()
	return n, true, err
}

// Delay is half of what a message to PID 1 of the guest and its answer take,
// over another port of the same device.
func (i *machineInstance) Delay(ctx context.Context) (time.Duration, error) {
	if !i.m.Running(ctx) {
		return 0, i.m.Err()
	}
	there, err := medianOf(func(int) (time.Duration, error) { return i.m.Ping(ctx) })
	return there / 2, err
}

func (i *machineInstance) Address(ctx context.Context) (netip.AddrPort, error) {
	return i.cable.address(ctx, i.m)
}

// Err also asks PID 1 whether it is there: a guest that runs may hang.
func (i *machineInstance) Err() error {
	endsSoon(i.m.Done())
	err := i.m.Err()
	if err == nil {
		err = i.m.Answers(context.Background())
	}
	return instanceError(err)
}

// instanceError makes a guest's failure an instance's.
func instanceError(err error) error {
	if g, ok := errors.AsType[*vm.GuestError](err); ok {
		return &InstanceError{g.Err, g.Console}
	}
	return err
}

func (i *machineInstance) Stop(ctx context.Context) error {
	return errors.Join(i.output.Close(), i.m.Stop(ctx), i.cable.release())
}
