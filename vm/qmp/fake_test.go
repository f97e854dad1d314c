package qmp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hurry is how long what ought to come at once may take on a busy machine.
const hurry = 5 * time.Second

const (
	greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}`
	empty    = `{"return": {}}`
)

// server is the other end of a connection: a QEMU that says what a test wants.
type server struct {
	net.Conn
	commands *json.Decoder // commands need not be lines
}

// command is what QEMU gets.
type command struct {
	Execute   string          `json:"execute"`
	Arguments json.RawMessage `json:"arguments"`
}

// serve makes a socket, and runs a script with the first connection to it. The
// connection is closed when the script ends.
func serve(t testing.TB, script func(*server)) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "qmp")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return // the test has ended without a connection
		}
		defer c.Close()
		// A script that is stuck is to fail its test, and not to outlive it.
		c.SetDeadline(time.Now().Add(2 * hurry))
		script(&server{c, json.NewDecoder(c)})
	}()
	t.Cleanup(func() {
		l.Close()
		select {
		case <-done:
		case <-time.After(hurry):
			t.Error("the script of the server has not ended")
		}
	})
	return path
}

// say sends lines in one write. That the client has gone is no error: it is
// what some tests are about.
func (s *server) say(lines ...string) error {
	_, err := s.Write([]byte(strings.Join(lines, "\n") + "\n"))
	return err
}

// hear waits for a command.
func (s *server) hear() (c command, err error) {
	err = s.commands.Decode(&c)
	return c, err
}

// welcome does what QEMU does before it takes commands.
func (s *server) welcome() {
	s.say(greeting)
	s.hear()
	s.say(empty)
}

// hold waits until the client has closed the connection.
func (s *server) hold() {
	for {
		if _, err := s.hear(); err != nil {
			return
		}
	}
}

// answer gives each command its reply, from then on. A reply may be several
// lines, of which the last is the reply, after events.
func (s *server) answer(reply func(command) string) {
	for {
		c, err := s.hear()
		if err != nil {
			return
		}
		s.say(reply(c))
	}
}

// dial connects to a server that has said welcome and then runs script.
func dial(t testing.TB, script func(*server)) *Monitor {
	t.Helper()
	path := serve(t, func(s *server) {
		s.welcome()
		script(s)
	})
	m, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closeSoon(t, m)
		noneLeft(t)
	})
	return m
}

// closeSoon closes a Monitor, which must take no time.
func closeSoon(t testing.TB, m *Monitor) {
	t.Helper()
	closed := make(chan error, 1)
	go func() { closed <- m.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Errorf("closing: %v", err)
		}
	case <-time.After(hurry):
		t.Fatalf("Close hangs:\n%s", stacks())
	}
}

// noneLeft fails a test after which goroutines of a Monitor still run.
func noneLeft(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for {
		s := stacks()
		if !strings.Contains(s, "vmctr/vm/qmp.(*Monitor)") && !strings.Contains(s, "vmctr/vm/qmp.Dial") && !strings.Contains(s, "go-qemu") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("goroutines are left:\n%s", s)
		}
		time.Sleep(time.Millisecond)
	}
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// soon fails a test in which something does not happen.
func soon(t testing.TB, what string, happens <-chan struct{}) {
	t.Helper()
	select {
	case <-happens:
	case <-time.After(hurry):
		t.Fatalf("%s: waited for %v:\n%s", what, hurry, stacks())
	}
}

func event(name string) string {
	return fmt.Sprintf(`{"timestamp": {"seconds": 1700000000, "microseconds": 250000}, "event": %q, "data": {"guest": true}}`, name)
}

// wantClosed checks that a Monitor says that it is closed, in every way.
func wantClosed(t testing.TB, m *Monitor, why string) {
	t.Helper()
	soon(t, "Done", m.Done())
	_, err := m.Run(t.Context(), "later", nil)
	wantError(t, err, ErrClosed, "QMP command later: ", why)
	_, err = m.Wait(t.Context(), "NONE")
	wantError(t, err, ErrClosed, `event ["NONE"]: `, why)
}

// wantError checks that an error matches is, unless that is nil, and says texts.
func wantError(t testing.TB, err, is error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; wanted one with %q", texts)
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("%v (%#v) does not match %v", err, err, is)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not have %q", err, text)
		}
	}
}
