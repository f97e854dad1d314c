package ftrace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/report/result/isolation"
)

// Room is for the calls that one CPU makes meanwhile, in bytes: a million of them. A machine
// that idles makes some 10,000 in a second, one that works ten times as many.
const Room = 24 << 20

// Release is that of the kernel that is traced (uname(2)).
func Release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// Work traces an instance while it idles, and then at its work, and writes what was seen
// into tr. pids are its processes; line gives line n of what it prints, from 0, waiting for
// it as long as its context does: a sign of life, and the two of the work
// (isolation.FunctionsWork). begin has it begin with that; nil is for an instance that does
// so by itself, when it has waited for this long.
//
// Of the time before the work, a quarter is left for it to come to rest, half is traced,
// and a quarter is left for reading that. The work counts from before its first line to its
// last: an instance that has begun before it was traced is an error, and no lean instance.
func Work(ctx context.Context, t *Tracer, pids []int, wait time.Duration, begin func() error, line func(ctx context.Context, n int) ([]byte, error), tr *isolation.Tracing) (err error) {
	if _, err := line(ctx, 0); err != nil {
		return fmt.Errorf("waiting for its sign of life: %w", err)
	}
	idle, err := t.idle(ctx, pids, wait, tr)
	defer func() { err = errors.Join(err, t.Skip(nil)) }()
	if err != nil {
		return err
	}
	tids, err := Threads(pids)
	if err != nil {
		return err
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	work, err := t.Trace(ctx, tids, func(context.Context) error {
		if _, err := line(over, 1); err == nil {
			return fmt.Errorf("its work had begun before the tracer knew its %d threads", len(tids))
		}
		if begin != nil {
			if err := begin(); err != nil {
				return fmt.Errorf("telling it to begin: %w", err)
			}
		}
		if err := expect(ctx, line, 1, isolation.FunctionsBegin); err != nil {
			return err
		}
		began := time.Now()
		err := expect(ctx, line, 2, isolation.FunctionsDone)
		tr.WorkNs = time.Since(began).Nanoseconds()
		return err
	})
	if err != nil {
		return err
	}
	tr.Functions, tr.Interrupts = work.Functions.Without(idle).Names()
	tr.Idle, tr.Calls = len(idle), tr.Calls+work.Calls
	tr.Lost += work.Lost
	return nil
}

// idle gives what runs while it idles. A first look, at a tenth of the time, is for what
// runs over and over: it is then skipped, and so is all the rest at the end.
func (t *Tracer) idle(ctx context.Context, pids []int, wait time.Duration, tr *isolation.Tracing) (Functions, error) {
	if err := pause(ctx, wait/4); err != nil {
		return nil, err
	}
	all := Functions{}
	for _, share := range []time.Duration{wait / 20, wait/2 - wait/20} {
		tids, err := Threads(pids)
		if err != nil {
			return nil, err
		}
		idle, err := t.Trace(ctx, tids, func(ctx context.Context) error { return pause(ctx, share) })
		if err != nil {
			return nil, err
		}
		known := len(all)
		for name, outside := range idle.Functions {
			all[name] = all[name] || outside
		}
		tr.IdleNs += share.Nanoseconds()
		tr.Calls += idle.Calls
		tr.Lost += idle.Lost
		if len(all) > known {
			if err := t.Skip(all); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
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
