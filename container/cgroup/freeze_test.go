package cgroup

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFreeze: a frozen process does nothing, and goes on when it is thawed.
func TestFreeze(t *testing.T) {
	onEach(t, func(t *testing.T, h *Host) {
		if h.Mode == "v1" && h.V1["freezer"] == "" {
			t.Skip("this host has no freezer hierarchy")
		}
		c := h.makeEvery(t, nil)
		w := enter(t, c, "count")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for range 3 {
			if err := c.Freeze(ctx); err != nil {
				t.Fatal(err)
			}
			if frozen, err := c.Frozen(); !frozen || err != nil {
				t.Errorf("frozen %v, %v", frozen, err)
			}
			// The kernel says "frozen" just before it switches away for the last
			// time; one that goes on does so every millisecond.
			before := switches(t, w.pid())
			time.Sleep(50 * time.Millisecond)
			if after := switches(t, w.pid()); after > before+1 {
				t.Errorf("it ran: %d, then %d switches", before, after)
			}
			if err := c.Thaw(ctx); err != nil {
				t.Fatal(err)
			}
			if frozen, err := c.Frozen(); frozen || err != nil {
				t.Errorf("thawed: frozen %v, %v", frozen, err)
			}
			for range 3 {
				if _, err := w.out.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
		}
		// A deadline that has passed: it goes on.
		gone, cancelNow := context.WithCancel(t.Context())
		cancelNow()
		if err := c.Freeze(gone); err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if frozen, err := c.Frozen(); frozen || err != nil {
				t.Errorf("after a freeze that failed: frozen %v, %v", frozen, err)
			}
		}
		// It can be killed and removed frozen.
		if err := c.Freeze(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.Remove(ctx); err != nil {
			t.Fatal(err)
		}
		if !w.killed(t) {
			t.Error("it was not killed")
		}
	})
}

// switches is how often a process was switched away from.
func switches(t *testing.T, pid int) int {
	t.Helper()
	text, err := read("/proc", itoa(pid)+"/status")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for line := range strings.Lines(text) {
		if name, n, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "voluntary_ctxt_switches") {
			k, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil {
				t.Fatal(err)
			}
			sum += k
		}
	}
	return sum
}

func TestNoFreezer(t *testing.T) {
	c := &Cgroup{Name: "/a"}
	for _, err := range []error{c.Freeze(t.Context()), c.Thaw(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "cgroup /a is in no freezer hierarchy") {
			t.Errorf("error %v", err)
		}
	}
}
