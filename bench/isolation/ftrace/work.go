package ftrace

import (
	"context"
	"fmt"
	"time"

	"vmctr/report/result/isolation"
)

// Work traces an instance at its work, and then for as long while it idles, and writes
// what was seen into tr. pids are its processes; line gives line n of what it prints, from
// 0, waiting for it as long as its context does: a sign of life, and the two of the work
// (isolation.FunctionsWork).
//
// It counts from before the work's first line to its last: an instance that has begun
// before it was traced is an error, and no lean instance.
func Work(ctx context.Context, t *Tracer, pids []int, line func(ctx context.Context, n int) ([]byte, error), tr *isolation.Tracing) error {
	if _, err := line(ctx, 0); err != nil {
		return fmt.Errorf("waiting for its sign of life: %w", err)
	}
	tids, err := Threads(pids)
	if err != nil {
		return err
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	var began, ended time.Time
	work, err := t.Trace(ctx, tids, func(context.Context) error {
		if _, err := line(over, 1); err == nil {
			return fmt.Errorf("its work had begun before the tracer knew its %d threads", len(tids))
		}
		if err := expect(ctx, line, 1, isolation.FunctionsBegin); err != nil {
			return err
		}
		began = time.Now()
		err := expect(ctx, line, 2, isolation.FunctionsDone)
		ended = time.Now()
		return err
	})
	if err != nil {
		return err
	}
	took := ended.Sub(began)
	if tids, err = Threads(pids); err != nil {
		return err
	}
	idle, err := t.Trace(ctx, tids, func(ctx context.Context) error {
		select {
		case <-time.After(took):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	if err != nil {
		return err
	}
	tr.Functions, tr.Interrupts = work.Functions.Without(idle.Functions).Names()
	tr.Ran, tr.Idle, tr.Calls, tr.Lost, tr.WorkNs = len(work.Functions), len(idle.Functions), work.Calls, work.Lost, took.Nanoseconds()
	return nil
}

func expect(ctx context.Context, line func(ctx context.Context, n int) ([]byte, error), n int, want string) error {
	l, err := line(ctx, n)
	if err != nil {
		return fmt.Errorf("waiting for its line %q: %w", want, err)
	}
	if string(l) != want {
		return fmt.Errorf("it prints %.200q where %q is its line", l, want)
	}
	return nil
}
