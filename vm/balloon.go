package vm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A balloon (virtio 1.2, section 5.5) is how a host asks for RAM back. The device tells
// the driver in the guest how large it is to be; the driver takes pages from its own
// kernel, as a program would, and tells the device which, and QEMU gives them back to
// the host. When the balloon shrinks, the guest's kernel has its pages again.
//
// Free-page reporting needs nobody to ask: the guest's kernel itself tells the device
// about free blocks of some size (2 MiB on a PC), two seconds after they have become
// free, and goes on. What it needs again, it touches, and the host gives a new page.

// balloonPause is between two looks at the balloon. QEMU's event BALLOON_CHANGE would
// not do in their place: it comes once a second at most.
const balloonPause = 10 * time.Millisecond

// Balloon sets how much RAM the guest is to have, in bytes: the balloon takes the rest,
// of Config.Memory. It returns when the guest has done so, or when ctx ends: a guest that
// has not so much to give, or no driver (module virtio_balloon), does not get there. The
// machine needs Config.Balloon or Config.FreePageReporting.
func (m *Machine) Balloon(ctx context.Context, bytes int64) error {
	if bytes < 1<<20 || bytes > m.cfg.Memory {
		return fmt.Errorf("setting the balloon: %d bytes are not between 1 MiB and the machine's RAM, %d", bytes, m.cfg.Memory)
	}
	if !m.cfg.balloon() {
		return errors.New("setting the balloon: the machine was made without one")
	}
	// A command that is cut short costs the connection (package qmp): these have their
	// own deadline.
	monitor := context.WithoutCancel(ctx)
	if err := m.query(monitor, "balloon", map[string]int64{"value": bytes}, nil); err != nil {
		return fmt.Errorf("setting the balloon: %w", err)
	}
	begin := int64(-1)
	for {
		size, err := m.BalloonSize(monitor)
		switch {
		case err != nil:
			return err
		case size == bytes:
			return nil
		case begin < 0:
			begin = size
		}
		select {
		case <-ctx.Done():
			state := fmt.Sprintf("it has not moved from %d MiB (has the guest the module virtio_balloon?)", size>>20)
			if size != begin {
				state = fmt.Sprintf("it has come from %d to %d MiB (has the guest so much to give?)", begin>>20, size>>20)
			}
			return fmt.Errorf("setting the guest's RAM to %d MiB by the balloon: %s: %w", bytes>>20, state, context.Cause(ctx))
		case <-m.Done():
			return m.Err()
		case <-time.After(balloonPause):
		}
	}
}

// BalloonSize is how much RAM the balloon leaves to the guest, in bytes (query-balloon).
func (m *Machine) BalloonSize(ctx context.Context) (int64, error) {
	var size struct{ Actual int64 }
	if err := m.query(ctx, "query-balloon", nil, &size); err != nil {
		return 0, fmt.Errorf("looking at the balloon: %w", err)
	}
	return size.Actual, nil
}
