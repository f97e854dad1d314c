package experiment

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"vmctr/bench/platform"
)

// TestTry: each of what can become of a try is told, and is no error; every instance that
// was started is stopped.
func TestTry(t *testing.T) {
	killedOne := &platform.InstanceError{Err: errors.New("it ended by itself: killed by signal SIGKILL (over its memory limit)")}
	for _, tt := range []struct {
		name, script string
		prepareErr   error
		startErr     error
		own          error
		want         string
	}{
		{"it comes up", healthy, nil, nil, nil, starts},
		{"it is killed", "exit 1", nil, nil, killedOne, killed},
		{"it ends", "exit 1", nil, nil, &platform.InstanceError{Err: errors.New("it ended by itself: exit status 2")}, gaveUp},
		{"it hangs", "echo first-instruction; exec sleep 60", nil, nil, nil, stuck},
		{"it does not start", healthy, nil, errors.New("device or resource busy"), nil, refused},
		{"it cannot be prepared", healthy, &platform.UnavailableError{Reason: "too little RAM"}, nil, nil, refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.script)
			f.startErr = tt.startErr
			f.change = func(i *instance) { i.err = tt.own }
			var asked int64
			s := Subject{Variant: func(_ context.Context, _ string, change func(*platform.Workload) error) (platform.Prepared, error) {
				var w platform.Workload
				err := change(&w)
				asked = w.Memory
				if tt.prepareErr != nil {
					err = tt.prepareErr
				}
				return f, err
			}}
			try := &tries{subject: s, patience: time.Second, search: newSearch([]int64{1 << 20, 2 << 20, 4 << 20})}
			got, err := try.measure(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.Outcome != tt.want || (got.Why == "") != (tt.want == starts) {
				t.Errorf("%q, %q; want %q", got.Outcome, got.Why, tt.want)
			}
			if asked != 1<<20 && asked != 2<<20 || got.Values["memory_bytes"] != float64(asked) {
				t.Errorf("it was tried with %d bytes, told are %v", asked, got.Values)
			}
			if f.last != nil && f.last.stopped.Load() != 1 {
				t.Errorf("it was stopped %d times", f.last.stopped.Load())
			}
		})
	}
	// The end of the run is none of these.
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("interrupted")
	try := &tries{patience: time.Minute, search: newSearch([]int64{1, 2}), subject: Subject{Variant: func(context.Context, string, func(*platform.Workload) error) (platform.Prepared, error) {
		cancel(over)
		return nil, over
	}}}
	if s, err := try.measure(ctx); !errors.Is(err, over) || s.Outcome != "" || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("%q, %v", s.Outcome, err)
	}
}
