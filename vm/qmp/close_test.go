package qmp

import (
	"sync"
	"testing"
)

func TestCloseTwice(t *testing.T) {
	m := dial(t, (*server).hold)
	closeSoon(t, m)
	closeSoon(t, m)
	wantClosed(t, m, "")
	if got := m.Version(); got != "7.2.22" { // it is still known
		t.Errorf("version %q", got)
	}
}

// TestCloseDuring: Close ends what is in progress, and says so.
func TestCloseDuring(t *testing.T) {
	for range 20 {
		heard := make(chan struct{})
		m := dial(t, func(s *server) {
			s.hear()
			close(heard)
			s.hold()
		})
		var all sync.WaitGroup
		for range 3 { // one has its turn, and two wait for it
			all.Go(func() {
				_, err := m.Run(t.Context(), "query-status", nil)
				wantError(t, err, ErrClosed, "QMP command query-status: ")
			})
			all.Go(func() {
				_, err := m.Wait(t.Context(), "STOP")
				wantError(t, err, ErrClosed, `waiting for QEMU's event ["STOP"]`)
			})
		}
		soon(t, "a command", heard)
		for range 2 {
			all.Go(func() { closeSoon(t, m) })
		}
		ended := make(chan struct{})
		go func() { all.Wait(); close(ended) }()
		soon(t, "all", ended)
	}
}
