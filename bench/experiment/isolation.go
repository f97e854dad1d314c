package experiment

import (
	"context"
	"fmt"

	"vmctr/bench/embedded"
	"vmctr/bench/platform"
)

// The experiments on isolation run programs of their own: inside, in each instance, and
// the arena, in the throwaway machine.

// insidePrepared is the subject, prepared to run the program inside with these arguments; in the
// throwaway machine, the arena.
func insidePrepared(ctx context.Context, s Subject, name string, change func(*platform.Workload), args ...string) (platform.Prepared, error) {
	main := "inside"
	programs := map[string][]byte{}
	var err error
	if programs["inside"], err = embedded.Inside(); err != nil {
		return nil, err
	}
	if s.Name == platform.ThrowawayName {
		main = "arena"
		if programs["arena"], err = embedded.Arena(); err != nil {
			return nil, err
		}
	}
	return s.Variant(ctx, name, func(w *platform.Workload) error {
		store, err := s.Scratch(ctx)
		if err != nil {
			return err
		}
		if w.Image, err = store.PutPrograms(ctx, "isolation-"+main, main, programs); err != nil {
			return fmt.Errorf("making an image of the program %s: %w", main, err)
		}
		w.Port = 0
		if change != nil {
			change(w)
		}
		w.Process, err = w.Image.Process(args)
		return err
	})
}
