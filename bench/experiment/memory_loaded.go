package experiment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
)

// What an instance does before it counts as loaded.
const (
	burst      = 400 // HTTP requests, each over a connection of its own
	burstWidth = 8   // of them under way at once
)

// memoryLoaded is what an instance occupies once it has done some work: a program keeps
// what it took for that, a guest's kernel too, and an emulator has translated more. The
// same instance is measured before and after, so that the two differ by the work alone.
var memoryLoaded = Experiment{
	Name:     "memory-loaded",
	About:    fmt.Sprintf("memory of an instance before and after it has served %d HTTP requests", burst),
	Weight:   4,
	From:     "standard",
	most:     10,
	deadline: time.Minute,
	trials: func(s Subject, _ Limits) []harness.Trial {
		return []harness.Trial{{Series: "loaded", Measure: func(ctx context.Context) (result.Sample, error) { return memoryOf(ctx, s.Prepared, serve) }}}
	},
}

// errNotReached is of an instance that serves nobody, as one without a system. It stays idle.
var errNotReached = errors.New("it serves nobody")

// serve has an instance answer the requests.
func serve(ctx context.Context, i platform.Instance, values map[string]float64) error {
	var dial func(context.Context) (net.Conn, error)
	address, err := i.Address(ctx)
	inner, within := i.(platform.Loopback)
	switch {
	case err == nil:
		// It may be up and not yet listen.
		if _, _, err := firstResponse(ctx, address, harness.Now()); err != nil {
			return err
		}
		var d net.Dialer
		dial = func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", address.String()) }
	case errors.Is(err, platform.ErrNoNetwork) && within:
		dial = inner.Dial
	case errors.Is(err, platform.ErrNoNetwork):
		return errNotReached
	default:
		return err
	}
	begin := harness.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(burstWidth)
	for range burst {
		group.Go(func() error { return requestOver(ctx, dial) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("having it serve %d HTTP requests: %w", burst, err)
	}
	values["requests"], values["load_ns"] = burst, float64(harness.Now()-begin)
	return nil
}
