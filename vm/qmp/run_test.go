package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRun: what QEMU gets, and what a caller gets of its reply.
func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name, reply, want string
	}{
		{"nothing", `{"return": {}}`, `{}`},
		{"an object", `{"return": {"running": false}}`, `{"running": false}`},
		{"text", `{"return": "a\r\n"}`, `"a\r\n"`},
		{"null", `{"return": null}`, `null`},
		{"after an event", event("STOP") + "\n" + `{"return": 1}`, `1`},
		{"after lines that are none", "\nnot JSON\n[1]\n" + `{"return": 1}`, `1`},
		{"nearly 64 KiB", `{"return": "` + strings.Repeat("x", 60_000) + `"}`, `"` + strings.Repeat("x", 60_000) + `"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got command
			m := dial(t, func(s *server) {
				s.answer(func(c command) string { got = c; return tt.reply })
			})
			b, err := m.Run(t.Context(), "human-monitor-command", map[string]any{"command-line": "info \"x\""})
			if string(b) != tt.want || err != nil {
				t.Errorf("%.80s, %v", b, err)
			}
			if got.Execute != "human-monitor-command" || string(got.Arguments) != `{"command-line":"info \"x\""}` {
				t.Errorf("QEMU got %q with %s", got.Execute, got.Arguments)
			}
		})
	}
}

// TestRunRefused: that QEMU refuses a command does not end the connection.
func TestRunRefused(t *testing.T) {
	const desc = "The command nonesuch has not been found"
	m := dial(t, func(s *server) {
		s.answer(func(c command) string {
			if c.Execute == "nonesuch" {
				return `{"error": {"class": "CommandNotFound", "desc": "` + desc + `"}}`
			}
			return `{"return": "` + c.Execute + `"}`
		})
	})
	for range 3 {
		_, err := m.Run(t.Context(), "nonesuch", nil)
		var refused *CommandError
		if !errors.As(err, &refused) || *refused != (CommandError{"nonesuch", desc}) {
			t.Fatalf("%#v", err)
		}
		wantError(t, err, nil, "QMP command nonesuch: "+desc)
		if b, err := m.Run(t.Context(), "known", nil); string(b) != `"known"` || err != nil {
			t.Fatalf("the next command: %s, %v", b, err)
		}
	}
}

// TestRunUnsent: what keeps a command from being sent does no harm to the
// connection.
func TestRunUnsent(t *testing.T) {
	m := dial(t, func(s *server) { s.answer(func(c command) string { return empty }) })
	_, err := m.Run(t.Context(), "cont", func() {})
	wantError(t, err, nil, "QMP command cont: its arguments: ")

	why := errors.New("the run has been stopped")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	for range 50 { // as often as it takes for each of two ready channels to be chosen
		_, err := m.Run(ended, "cont", nil)
		wantError(t, err, why, "QMP command cont: ")
	}
	if _, err := m.Run(t.Context(), "cont", nil); err != nil {
		t.Errorf("the next command: %v", err)
	}
}

// TestReplies: a reply is the caller's own. The connection's buffer, of 4 KiB
// at first, is written again and again meanwhile.
func TestReplies(t *testing.T) {
	long := func(name string) string { return `"` + strings.Repeat(name+" ", 100) + `"` }
	m := dial(t, func(s *server) {
		s.answer(func(c command) string { return event("RESUME") + "\n" + `{"return": ` + long(c.Execute) + `}` })
	})
	replies := map[string]json.RawMessage{}
	for i := range 50 {
		name := fmt.Sprintf("command-%d", i)
		b, err := m.Run(t.Context(), name, nil)
		if err != nil {
			t.Fatal(err)
		}
		replies[name] = b
	}
	for name, b := range replies {
		if string(b) != long(name) {
			t.Errorf("%s: %s", name, b)
		}
	}
}

// TestManyRun: each of many goroutines gets its own reply.
func TestManyRun(t *testing.T) {
	m := dial(t, func(s *server) {
		s.answer(func(c command) string { return event("RESUME") + "\n" + `{"return": "` + c.Execute + `"}` })
	})
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			for j := range 50 {
				name := fmt.Sprintf("%d-%d", i, j)
				if b, err := m.Run(t.Context(), name, nil); string(b) != `"`+name+`"` || err != nil {
					t.Errorf("%s: %s, %v", name, b, err)
				}
			}
		})
	}
	callers.Wait()
}

// TestRunEnds: what ends the connection in the middle of a command is said of
// this command, and of each that follows.
func TestRunEnds(t *testing.T) {
	gaveUp := errors.New("the run has been stopped")
	long := strings.Repeat("x", bufio.MaxScanTokenSize)
	for _, tt := range []struct {
		name   string
		script func(s *server, stop func())
		is     error
		want   string
	}{
		{"no reply", func(s *server, stop func()) { s.hear(); stop() }, gaveUp, "no reply: "},
		{"half a reply", func(s *server, stop func()) { s.hear(); fmt.Fprint(s, `{"return":`); stop() }, gaveUp, "no reply: "},
		{"events only", func(s *server, stop func()) {
			s.hear()
			for s.say(event("RTC_CHANGE")) == nil {
				stop()
			}
		}, gaveUp, "no reply: "},
		{"half is read", func(s *server, stop func()) { s.Read(make([]byte, 100)); stop() }, gaveUp, "no reply: "},
		{"64 KiB", func(s *server, stop func()) { s.hear(); s.say(`{"return": "` + long + `"}`) }, bufio.ErrTooLong, ""},
		{"an event of 64 KiB", func(s *server, stop func()) { s.hear(); s.say(event(long), empty) }, bufio.ErrTooLong, ""},
		{"no return", func(s *server, stop func()) { s.hear(); s.say(`{"QMP": {}}`) }, nil, `the reply "{\"QMP\": {}}" is none`},
		{"a reply of another shape", func(s *server, stop func()) { s.hear(); s.say(`{"return": {}, "id": 7}`) }, nil, "response.id"},
		{"an error of another shape", func(s *server, stop func()) { s.hear(); s.say(`{"error": "no"}`) }, nil, "response.error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), hurry)
			defer cancel()
			ctx, stop := context.WithCancelCause(ctx)
			over := make(chan struct{})
			m := dial(t, func(s *server) {
				tt.script(s, func() { stop(gaveUp) })
				<-over // the connection is not to be ended from this side
			})
			// More than a socket holds: what nobody reads cannot be sent.
			_, err := m.Run(ctx, "first", strings.Repeat("x", 1<<19))
			close(over)
			wantError(t, err, tt.is, "QMP command first: ", tt.want)
			wantClosed(t, m, err.Error())
		})
	}
}

// TestLongEvent: what ends the connection between two commands is said of the
// next one, and does not block Close.
func TestLongEvent(t *testing.T) {
	for _, next := range []bool{true, false} {
		idle := make(chan struct{})
		m := dial(t, func(s *server) {
			s.hear()
			s.say(empty)
			<-idle
			s.say(event(strings.Repeat("X", bufio.MaxScanTokenSize)))
			s.hold()
		})
		if _, err := m.Run(t.Context(), "first", nil); err != nil {
			t.Fatal(err)
		}
		close(idle)
		if next {
			_, err := m.Run(t.Context(), "next", nil)
			wantError(t, err, bufio.ErrTooLong, "QMP command next: ")
			wantClosed(t, m, err.Error())
		}
		closeSoon(t, m)
	}
}

// TestServerDies: QEMU's end is told from all other errors, at whatever moment
// of a command it comes.
func TestServerDies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script func(*server)
	}{
		{"before it reads", func(s *server) {}},
		{"while it reads", func(s *server) { s.Read(make([]byte, 4)) }},
		{"instead of the reply", func(s *server) { s.hear() }},
		{"in the reply", func(s *server) { s.hear(); fmt.Fprint(s, `{"return":`) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 20 {
				m := dial(t, tt.script)
				_, err := m.Run(t.Context(), "first", nil)
				wantError(t, err, ErrClosed, "QMP command first: ")
				wantClosed(t, m, "")
			}
		})
	}
}

// TestRunWaits: who waits for another's command can give up without harm to it.
func TestRunWaits(t *testing.T) {
	heard, reply := make(chan struct{}), make(chan struct{})
	m := dial(t, func(s *server) {
		s.answer(func(c command) string {
			if c.Execute == "slow" {
				close(heard)
				<-reply
			}
			return `{"return": "` + c.Execute + `"}`
		})
	})
	var slow sync.WaitGroup
	slow.Go(func() {
		if b, err := m.Run(t.Context(), "slow", nil); string(b) != `"slow"` || err != nil {
			t.Errorf("slow: %s, %v", b, err)
		}
	})
	soon(t, "slow", heard)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := m.Run(ctx, "quick", nil)
	wantError(t, err, context.DeadlineExceeded, "QMP command quick: waiting for the one before")
	close(reply)
	slow.Wait()
	if b, err := m.Run(t.Context(), "quick", nil); string(b) != `"quick"` || err != nil {
		t.Errorf("quick: %s, %v", b, err)
	}
}
