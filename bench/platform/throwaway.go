package platform

import (
	"context"
	"slices"

	"vmctr/report/result/isolation"
	"vmctr/vm"
)

func init() { register(throwaway{machine{"q35"}}) }

// throwaway is a machine that is there to be broken: what must not be tried on the host is
// tried in it, and then it is switched off. Its own kernel is the host's stand-in there. It
// takes part in the experiments on isolation alone, beside the platforms that they are of.
type throwaway struct{ machine }

// ThrowawayName is that of the platform.
const ThrowawayName = "throwaway"

func (throwaway) Info() Info {
	return Info{Name: ThrowawayName, Title: "a machine to be thrown away (QEMU q35), in which containers are tried out", Kind: "vm", Experiment: isolation.Group}
}

func (p throwaway) Prepare(ctx context.Context, w Workload) (Prepared, error) {
	w.Memory, w.CPUs = max(w.Memory, 512<<20), 2
	// It is reached by its output alone. Its network is made in it.
	w.Port = 0
	modules := throwawayModules
	if w.Disk != "" {
		modules = append(slices.Clip(modules), "virtio_blk", "erofs")
	}
	m, err := p.prepare(ctx, w, Guest{Modules: modules})
	if err == nil && w.Disk != "" {
		m.config.Disks = []vm.Disk{{Path: w.Disk, ReadOnly: true}}
	}
	return prepared(m, err)
}

// throwawayModules are what containers in it, and attempts to get out of them, need of a
// distribution's kernel.
var throwawayModules = []string{"overlay", "bridge", "veth", "tun", "binfmt_misc", "nf_tables", "loop"}
