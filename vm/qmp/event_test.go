package qmp

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func names(events []Event) (n []string) {
	for _, e := range events {
		n = append(n, e.Name)
	}
	return n
}

// TestWait: an event counts, whether it comes before it is waited for or after.
func TestWait(t *testing.T) {
	say := make(chan string)
	m := dial(t, func(s *server) {
		for e := range say {
			s.say(e)
		}
	})
	defer close(say)
	say <- event("RESET")
	say <- event("SHUTDOWN")

	want := Event{"SHUTDOWN", map[string]any{"guest": true}, time.Unix(1700000000, 250e6)}
	for range 2 { // it is remembered, so it can be waited for again
		got, err := m.Wait(t.Context(), "GUEST_PANICKED", "SHUTDOWN")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	if diff := cmp.Diff([]string{"RESET", "SHUTDOWN"}, names(m.Events())); diff != "" {
		t.Error(diff)
	}

	// All who wait for an event get it, and the others do not.
	type result struct {
		Event
		error
	}
	got := make(chan result, 3)
	ctx, cancel := context.WithTimeout(t.Context(), hurry)
	defer cancel()
	for _, wanted := range [][]string{{"STOP"}, {"RESUME", "STOP"}, {"NEVER"}} {
		go func() {
			e, err := m.Wait(ctx, wanted...)
			got <- result{e, err}
		}()
	}
	for len(m.waiting()) < 3 {
		if ctx.Err() != nil {
			t.Fatal("nobody waits")
		}
		time.Sleep(time.Millisecond)
	}
	say <- event("STOP")
	for range 2 {
		if r := <-got; r.Name != "STOP" || r.error != nil {
			t.Errorf("%v, %v", r.Event, r.error)
		}
	}
	cancel()
	r := <-got
	wantError(t, r.error, context.Canceled, `waiting for QEMU's event ["NEVER"]`)
	if left := m.waiting(); len(left) > 0 {
		t.Errorf("%d waiters are left", len(left))
	}
}

func (m *Monitor) waiting() []*waiter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waiters
}

// TestUnreadEvents: events that nobody asks for block neither a command nor
// Close, and the last ones are kept.
func TestUnreadEvents(t *testing.T) {
	const sent = 1000
	flood := make(chan struct{})
	m := dial(t, func(s *server) {
		s.hear()
		for i := range sent {
			s.say(event(fmt.Sprint("E", i)))
		}
		s.say(`{"return": "there"}`)
		<-flood
		s.say(event("FIRST"))
		<-flood
		for s.say(event("LATE")) == nil {
		}
	})
	if b, err := m.Run(t.Context(), "query-status", nil); string(b) != `"there"` || err != nil {
		t.Fatalf("%s, %v", b, err)
	}
	// The last one can still be on its way from the connection's goroutine.
	if _, err := m.Wait(t.Context(), fmt.Sprint("E", sent-1)); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := sent - Kept; i < sent; i++ {
		want = append(want, fmt.Sprint("E", i))
	}
	if diff := cmp.Diff(want, names(m.Events())); diff != "" {
		t.Error(diff)
	}
	// The first comes alone. A burst right after a reply is what can overwrite
	// it, as the package says, and the race detector would say so too.
	for _, name := range []string{"FIRST", "LATE"} {
		flood <- struct{}{}
		if _, err := m.Wait(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	closeSoon(t, m)
	soon(t, "Done", m.Done())
}

// TestLastWords: what QEMU says before it goes is heard: why it went is in it.
func TestLastWords(t *testing.T) {
	for range 20 {
		m := dial(t, func(s *server) {
			s.hear()
			s.say(empty, event("STOP"), event("SHUTDOWN"))
		})
		if _, err := m.Run(t.Context(), "quit", nil); err != nil {
			t.Fatal(err)
		}
		soon(t, "Done", m.Done())
		if diff := cmp.Diff([]string{"STOP", "SHUTDOWN"}, names(m.Events())); diff != "" {
			t.Fatal(diff)
		}
		if _, err := m.Wait(t.Context(), "SHUTDOWN"); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, m, "")
	}
}
