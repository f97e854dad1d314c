package experiment

import (
	"context"

	"vmctr/bench/platform"
	"vmctr/report/result"
)

// startup is the time from before the first system call that serves an
// instance to the arrival of its workload's first instruction, on the host's
// clock; and of a container in a machine that is started for it, the container's
// own share. Platforms are compared with warm caches: the warm-up round and all
// rounds before have read the same files.
var startup = Experiment{
	Name:    "startup",
	About:   "time from the request to the workload's first instruction",
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
		return nil
	},
}
