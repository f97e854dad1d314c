package main

import (
	"errors"
	"fmt"

	"vmctr/bench/harness"
	"vmctr/vm"
	"vmctr/vm/cache"
)

type cleanCommand struct{}

func (cleanCommand) Run(s streams) error {
	ctx, stop := interruptible()
	defer stop()
	swept, err := harness.Sweep(ctx)
	store, storeErr := openStore()
	if storeErr == nil {
		var parts []string
		parts, storeErr = store.Sweep()
		swept = append(swept, parts...)
	}
	// What was kept of machines to start the next ones sooner, for too long, or half.
	kept, _, keptErr := cache.Prune(vm.BaseDir(cacheDir()), vm.BaseLimits, false)
	swept = append(swept, kept...)
	err = errors.Join(err, storeErr, keptErr)
	for _, x := range swept {
		fmt.Fprintln(s.out, "removed", x)
	}
	if err == nil && len(swept) == 0 {
		fmt.Fprintln(s.out, "nothing was left behind")
	}
	return err
}
