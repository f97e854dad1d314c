package experiment

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
)

// crowd are instances that run and idle, side by side or while another is measured.
type crowd struct {
	mu      sync.Mutex
	running []platform.Instance
}

// crowdDeadline is how long it may take to start them all: a thousand containers take
// half a minute, and the time that there is for an experiment is kept elsewhere (rooms).
const crowdDeadline = 10 * time.Minute

// grow starts n instances of one platform, as many at once as there are CPUs, waits until each has said
// who it is, and looks whether all of them are there. It stops with a
// [harness.OutOfReach] as soon as it shows that one of the rooms does not suffice.
func (c *crowd) grow(ctx context.Context, p platform.Prepared, n int, rooms []*room) error {
	ctx, cancel := context.WithTimeoutCause(ctx, crowdDeadline, fmt.Errorf("%d instances were not up within %v", n, crowdDeadline))
	defer cancel()
	for _, r := range rooms {
		if err := r.begin(); err != nil {
			return err
		}
	}
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	started := 0
	for ; started < n && each.Err() == nil; started++ {
		if err := fits(rooms, started, n); err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return c.add(each, p) })
	}
	if err := group.Wait(); err != nil {
		if up := len(c.running) - 1; up > 0 && ctx.Err() == nil {
			// Where some run and the next does not, that is how many there can be.
			return &harness.OutOfReach{Reason: fmt.Sprintf("%d instances are too many here: with %d of them running, the next did not start: %v%s", n, up, err, mend(err))}
		}
		return fmt.Errorf("starting the first of %d instances that are to run: %w", n, err)
	}
	if err := fits(rooms, n, n); err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	if err := harness.Pause(ctx, idleFor); err != nil {
		return err
	}
	return c.each(func(i platform.Instance) error { return i.Err() })
}

// add starts one more and waits until it has said who it is.
func (c *crowd) add(ctx context.Context, p platform.Prepared) error {
	i, err := p.Start(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.running = append(c.running, i) // also one that does not come up: it is to be stopped
	c.mu.Unlock()
	_, err = i.Output().FirstInstruction(ctx)
	if err == nil {
		_, err = i.Output().Identity(ctx)
	}
	if err == nil || errors.Is(err, platform.ErrNoSystem) {
		return nil
	}
	if ctx.Err() == nil {
		if own := i.Err(); own != nil {
			return own
		}
	}
	return err
}

// stop ends them all.
func (c *crowd) stop(ctx context.Context) error {
	err := c.each(func(i platform.Instance) error { return i.Stop(ctx) })
	c.running = nil
	if err != nil {
		return fmt.Errorf("stopping the instances that ran: %w", err)
	}
	return nil
}

// atOnce is for how many instances something is done at once that is mostly waiting.
const atOnce = 32

// each does something with all of them, and gives all errors.
func (c *crowd) each(do func(platform.Instance) error) error {
	var group errgroup.Group
	group.SetLimit(atOnce)
	errs := make([]error, len(c.running))
	for n, i := range c.running {
		group.Go(func() error { errs[n] = do(i); return nil })
	}
	group.Wait()
	return errors.Join(errs...)
}

// mend says what would lift a limit that is known by its error.
func mend(err error) string {
	if text := err.Error(); strings.Contains(text, "session key") && strings.Contains(text, "quota") {
		// keyrings(7): 200 keys for each user but root, and the root of the containers' user
		// namespace is another user to the host.
		return "; the limit is that of keys for a user: sysctl -w kernel.keys.maxkeys=20000"
	}
	return ""
}
