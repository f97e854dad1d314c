package main

import (
	"errors"
	"fmt"

	"vmctr/bench/harness"
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
	err = errors.Join(err, storeErr)
	for _, x := range swept {
		fmt.Fprintln(s.out, "removed", x)
	}
	if err == nil && len(swept) == 0 {
		fmt.Fprintln(s.out, "nothing was left behind")
	}
	return err
}
