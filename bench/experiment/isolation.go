package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

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

// writeInside puts the program inside on the host, for what it does there: it is a tracer, a
// witness, a canary. Whoever is in an instance may run it too.
func writeInside(path string) error {
	inside, err := embedded.Inside()
	if err != nil {
		return err
	}
	return os.WriteFile(path, inside, 0o755)
}

// heard reads what the program inside, or the arena, says after its first instruction:
// lines of JSON, each of which is given to each as a T. It returns when the program has
// ended, and what was heard before an error was given already.
func heard[T any](ctx context.Context, i platform.Instance, each func(T) error) error {
	if _, err := i.Output().FirstInstruction(ctx); err != nil {
		return err
	}
	for n := 1; ; n++ {
		line, err := i.Output().Line(ctx, n)
		if errors.Is(err, platform.ErrEnded) {
			return nil
		}
		if err != nil {
			return err
		}
		var t T
		if err := json.Unmarshal(line, &t); err != nil {
			return &platform.InstanceError{Err: fmt.Errorf("its line %d, %.200q, is not what it is to say: %w", n+1, line, err)}
		}
		if err := each(t); err != nil {
			return err
		}
	}
}
