package main

import (
	"fmt"

	"vmctr/bench/harness"
)

type cleanCommand struct{}

func (cleanCommand) Run(s streams) error {
	ctx, stop := interruptible()
	defer stop()
	swept, err := harness.Sweep(ctx)
	for _, x := range swept {
		fmt.Fprintln(s.out, "removed", x)
	}
	if err == nil && len(swept) == 0 {
		fmt.Fprintln(s.out, "nothing was left behind")
	}
	return err
}
