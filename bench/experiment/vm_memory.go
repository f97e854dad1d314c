package experiment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
)

// What the guests of vm-memory do.
const (
	// touched is how much they use and free: it fits into the free RAM of a machine of
	// 256 MiB, and no machine uses as much in booting.
	touched = 96 << 20
	// giveBack is how long they then idle. A guest reports its free pages 2 s after it
	// has freed them (PAGE_REPORTING_DELAY of Linux, mm/page_reporting.c).
	giveBack = 4 * time.Second
)

// vmMemory is what becomes of RAM that a guest has used and freed: whether the host has
// it again. The machine without a balloon is the control, in which it must not have; with
// a second one of its kind it also shows what of their RAM is equal.
var vmMemory = Experiment{
	Name:     platform.Elastic,
	About:    "RAM that a guest has freed: balloon, free-page reporting, and what KSM could merge",
	value:    "ram_kept_bytes",
	Weight:   4, // a sample takes some ten seconds
	Own:      true,
	From:     "standard",
	most:     6, // enough for an interval
	deadline: time.Minute,
	observe: func(ctx context.Context, i platform.Instance, _ int64, s *result.Sample) error {
		if err := rest(ctx, i); err != nil {
			return err
		}
		guest, ok := i.(platform.GuestRAM)
		if !ok {
			return errors.New("the instance has no RAM of its own")
		}
		look := func(name string) error {
			bytes, err := guest.RAM(ctx)
			s.Values[name] = float64(bytes)
			return err
		}
		if err := look("ram_rest_bytes"); err != nil {
			return err
		}
		if t, ok := i.(platform.Twin); ok {
			if err := compare(ctx, t, s.Values); err != nil {
				return fmt.Errorf("comparing it with a second one: %w", err)
			}
		}
		if err := guest.Touch(ctx, touched); err != nil {
			return err
		}
		freed := harness.Now()
		s.Values["touch_bytes"] = touched
		if err := look("ram_touched_bytes"); err != nil {
			return err
		}
		if err := harness.Pause(ctx, giveBack); err != nil {
			return err
		}
		s.Values["freed_for_ns"] = float64(harness.Now() - freed)
		if err := look("ram_freed_bytes"); err != nil {
			return err
		}
		s.Values["ram_kept_bytes"] = s.Values["ram_freed_bytes"]
		b, ok := i.(platform.Ballooned)
		if !ok {
			return nil
		}
		begin := harness.Now()
		if err := b.Balloon(ctx, touched); err != nil {
			return err
		}
		s.Values["balloon_ns"] = float64(harness.Now() - begin)
		if err := look("ram_balloon_bytes"); err != nil {
			return err
		}
		s.Values["ram_kept_bytes"] = s.Values["ram_balloon_bytes"]
		if err := b.Balloon(ctx, 0); err != nil {
			return err
		}
		if err := guest.Touch(ctx, touched); err != nil {
			return err
		}
		return look("ram_again_bytes")
	},
}

// compare holds an instance against a second one, which it starts.
func compare(ctx context.Context, t platform.Twin, values map[string]float64) (err error) {
	second, err := t.Another(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if own := second.Err(); own != nil {
				err = own
			}
		}
		err = errors.Join(err, second.Stop(context.WithoutCancel(ctx)))
	}()
	if err := rest(ctx, second); err != nil {
		return err
	}
	begin := harness.Now()
	m, err := t.Compare(ctx, second)
	if err != nil {
		return err
	}
	values["compare_ns"] = float64(harness.Now() - begin)
	addMergeable(values, m)
	return nil
}
