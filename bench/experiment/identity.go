package experiment

import (
	"context"
	"errors"
	"fmt"

	"vmctr/bench/platform"
	"vmctr/report/result"
)

// identity asks the workload, once on each platform, who and where it is, and
// measures how long its output is under way: the error of every startup time. It
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
		if s.Identity, err = i.Output().Identity(ctx); errors.Is(err, platform.ErrNoSystem) {
			return nil // it has come up, and that is all that can be known
		} else if err != nil {
			return err
		}
		if w, ok := i.(platform.Within); ok {
			if s.GuestNamespaces, err = w.Namespaces(ctx); err != nil {
				return err
			}
		}
		delay, err := i.Delay(ctx)
		if err != nil {
			return fmt.Errorf("measuring how long its output is under way: %w", err)
		}
		s.Values["delay_ns"] = float64(delay)
		return nil
	},
}
