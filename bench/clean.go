package main

import (
	"errors"
	"fmt"
	"slices"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/images"
	"vmctr/vm"
	"vmctr/vm/cache"
	"vmctr/vm/kernel"
)

type cleanCommand struct{}

func (cleanCommand) Run(s streams) error {
	ctx, stop := interruptible()
	defer stop()
	swept, err := harness.Sweep(ctx)
	scratch, scratchErr := images.SweepScratch(ctx, scratchDir())
	swept = append(swept, scratch...)
	store, storeErr := openStore()
	if storeErr == nil {
		var parts []string
		parts, storeErr = store.Sweep()
		swept = append(swept, parts...)
	}
	// What was kept of machines to start the next ones sooner, for too long, or half.
	kept, _, keptErr := cache.Prune(vm.BaseDir(cacheDir()), vm.BaseLimits, false)
	kernels, _, kernelsErr := cache.Prune(platform.KernelDir(cacheDir()), kernel.Limits, false)
	swept = slices.Concat(swept, kept, kernels)
	err = errors.Join(err, scratchErr, storeErr, keptErr, kernelsErr)
	for _, x := range swept {
		fmt.Fprintln(s.out, "removed", x)
	}
	if err == nil && len(swept) == 0 {
		fmt.Fprintln(s.out, "nothing was left behind")
	}
	return err
}
