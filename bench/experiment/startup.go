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
	value:   "first_instruction_ns",
	Weight:  14,
	warmups: 1,
	observe: func(ctx context.Context, i platform.Instance, begin int64, s *result.Sample) error {
		at, err := firstInstruction(ctx, i, begin, s)
		if err != nil {
			return err
		}
		address, err := i.Address(ctx)
		if err == nil {
			var at, unseen int64
			if at, unseen, err = firstResponse(ctx, address, begin); err == nil {
				s.Values["http_ns"] = float64(at - begin)
				s.Values["http_unseen_ns"] = float64(unseen)
			}
		}
		if err != nil && !errors.Is(err, platform.ErrNoNetwork) {
			return err
		}
		// At last: what is asked of a guest takes its time.
		w, ok := i.(platform.Within)
		if !ok {
			return nil
		}
		asked, err := w.Asked()
		if err != nil {
			return err
		}
		s.Values["container_ns"] = float64(at - asked.Ns)
		if asked.Error != 0 {
			s.Values["container_error_ns"] = float64(asked.Error)
		}
		return nil
	},
}

// firstInstruction waits for the first end.
func firstInstruction(ctx context.Context, i platform.Instance, begin int64, s *result.Sample) (at int64, err error) {
	if at, err = i.Output().FirstInstruction(ctx); err == nil {
		s.Values["first_instruction_ns"] = float64(at - begin)
	}
	return at, err
}
