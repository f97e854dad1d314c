package platform

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"vmctr/vm"
)

func init() { register(bare{}) }

// bare is the machine of vm-q35 with a boot sector in the place of a kernel, and so
// without an operating system: the part of a machine's cost that is the hypervisor's
// and the firmware's. The sector does the least that is an end to be measured, what
// the workload's first instruction does elsewhere, and halts.
type bare struct{}

const bareType = "q35"

func (bare) Info() Info {
	return Info{Name: "vm-bare", Title: "virtual machine without an operating system (QEMU " + bareType + ")", Kind: "vm", NoSystem: true}
}

func (bare) Available(ctx context.Context) error { return machine{bareType}.Available(ctx) }

// Prepare ignores the image: nothing here could read it.
func (bare) Prepare(ctx context.Context, w Workload) (Prepared, error) {
	qemu, err := findQEMU(vm.Architecture(bareType))
	if err != nil {
		return nil, err
	}
	choice, err := vm.Choose(ctx, qemu)
	if err != nil {
		return nil, err
	}
	sector := vm.SignalSector(firstLine + "\n")
	return &preparedBare{preparedMachine{
		w: w,
		config: vm.Config{
			QEMU: qemu, Type: bareType, Accelerator: choice.Accelerator, CPUs: w.CPUs, Memory: w.Memory, BootSector: sector,
		},
		facts: Facts{
			Accelerator: string(choice.Accelerator), Emulated: choice.Accelerator == vm.TCG,
			Details: map[string]string{
				"machine type": bareType,
				"accelerator":  choice.String(),
				"guest":        fmt.Sprintf("a boot sector of %d bytes, which gives a sign and halts: no kernel, no image, no workload", len(sector)),
				"guest memory": fmt.Sprintf("%d MiB", w.Memory>>20),
				"guest CPUs":   strconv.Itoa(w.CPUs),
			},
			Parts: []Part{{Name: "boot sector", Bytes: int64(len(sector))}},
		},
	}}, nil
}

type preparedBare struct{ preparedMachine }

func (p *preparedBare) Close() error { return nil }

func (p *preparedBare) Start(ctx context.Context) (Instance, error) {
	i, err := p.preparedMachine.start(ctx)
	if err != nil {
		return nil, err
	}
	i.output.mute = true
	return &bareInstance{i}, nil
}

type bareInstance struct{ *machineInstance }

// Delay is unknown: nobody is in the guest who could answer.
func (i *bareInstance) Delay(context.Context) (time.Duration, error) { return 0, ErrNoSystem }

func (i *bareInstance) Err() error {
	if err := i.machineInstance.Err(); err != nil || i.output.begun() {
		return err
	}
	return &InstanceError{Err: errors.New("its boot sector has given no sign: the firmware has not come so far, or the accelerator does not run it")}
}
