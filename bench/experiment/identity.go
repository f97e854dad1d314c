package experiment

import (
	"context"

	"vmctr/bench/platform"
	"vmctr/report/result"
)

// identity asks the workload, once on each platform, who and where it is. It
// runs first: a platform on which the workload cannot say so is not measured.
var identity = Experiment{
	Name:   "identity",
	About:  "what the workload sees: kernel, namespaces, CPUs, memory, users",
	Always: true,
	most:   1,
	observe: func(ctx context.Context, i platform.Instance, _ int64, s *result.Sample) error {
		if _, err := i.Output().FirstInstruction(ctx); err != nil {
			return err
		}
		var err error
		s.Identity, err = i.Output().Identity(ctx)
		return err
	},
}
