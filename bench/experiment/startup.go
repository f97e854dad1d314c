package experiment

import (
	"context"
	"errors"

	"vmctr/bench/platform"
	"vmctr/report/result"
)

// startup is the time from before the first system call that serves an
// instance to the arrival of its workload's first instruction, on the host's
// clock; and of a container in a machine that is started for it, the container's
// own share. Platforms are compared with warm caches: the warm-up round and all
// rounds before have read the same files.
//
// A second end is the first HTTP response over the instance's own network. Nothing
// is asked before the first instruction has come, so that the first end is what it
// would be without the second.
var startup = Experiment{
	Name:    "startup",
	About:   "time from the request to the workload's first instruction, and to its first HTTP response",
	Weight:  2,
	warmups: 1,
	observe: func(ctx context.Context, i platform.Instance, begin int64, s *result.Sample) error {
		at, err := i.Output().FirstInstruction(ctx)
		if err != nil {
			return err
		}
		s.Values["first_instruction_ns"] = float64(at - begin)
		if w, ok := i.(platform.Within); ok {
			asked, err := w.Asked()
			if err != nil {
				return err
			}
			s.Values["container_ns"] = float64(at - asked)
		}
		address, err := i.Address(ctx)
		if errors.Is(err, platform.ErrNoNetwork) {
			return nil
		}
		if err != nil {
			return err
		}
		at, unseen, err := firstResponse(ctx, address, begin)
		if err != nil {
			return err
		}
		s.Values["http_ns"] = float64(at - begin)
		s.Values["http_unseen_ns"] = float64(unseen)
		return nil
	},
}
