// Package qmp talks to QEMU while it runs.
//
// QEMU is controlled over a socket, by the QEMU Machine Protocol
// (docs/interop/qmp-spec.rst): lines of JSON, to and fro. QEMU opens with a
// greeting; the client answers with the command qmp_capabilities; from then on
// each command gets one reply, in order, and between the replies come events:
// that the machine has stopped, that its guest has panicked, that it was reset.
//
// The protocol is spoken by go-qemu's SocketMonitor. This package makes it safe
// to use, since as it is
//
//   - an event that nobody reads blocks every command, and closing, for ever:
//     so a goroutine reads events always, and keeps the last [Kept] of them;
//   - the reply that it returns lies in a buffer that is written again: so
//     replies are copied at once. (They can be overwritten even before that: a
//     long one by one event, a short one by a burst of 2 KiB of them. So a
//     reply should stay below 2 KiB: ask for no lists.)
//   - a line of more than 64 KiB ends it (so never send query-qmp-schema), and
//     after that it does not answer: so an error of the connection closes the
//     [Monitor], and every later command says why. Between two commands such
//     an error, unlike the plain end of the connection, is not noticed before
//     the next one: so who sees QEMU's process end calls [Monitor.Close];
//   - an event in the same read as the reply to qmp_capabilities is lost: so
//     QEMU should be started with -S, and let go by the command cont;
//   - nothing in it has a deadline: so every call here takes a context. When
//     that ends in the middle of a command the connection is closed, because
//     the reply, when it came, would be taken for the next command's. The owner
//     of the QEMU process then has to kill it: a machine that cannot be
//     controlled is not kept.
package qmp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

// Kept is how many events a [Monitor] remembers.
const Kept = 256

// Patience is the deadline of a call whose context has none.
const Patience = 10 * time.Second

// ErrClosed is why a command cannot be run, or an event not awaited: the
// connection has ended, mostly because QEMU has.
var ErrClosed = errors.New("the QMP connection is closed")

// A CommandError is QEMU's refusal of a command. The connection is still good.
type CommandError struct {
	Command string
	Desc    string // as QEMU says it
}

func (e *CommandError) Error() string { return fmt.Sprintf("QMP command %s: %s", e.Command, e.Desc) }

// An Event is what QEMU says unasked.
type Event struct {
	Name string // "SHUTDOWN", "GUEST_PANICKED"
	Data map[string]any
	Time time.Time // QEMU's clock, which is the wall clock
}

// A Monitor is a connection to one QEMU. Its methods may be called by several
// goroutines.
type Monitor struct {
	mon     *qmp.SocketMonitor
	turn    chan struct{} // holds a token while a command runs
	drained chan struct{} // closed when no more events come

	mu      sync.Mutex
	events  []Event
	waiters []*waiter
	closed  bool
	cause   error // why it was closed, if an error was the reason
}

type waiter struct {
	names []string
	event chan Event // of capacity 1
}

// Dial connects to the QMP socket at path, waits for the greeting, and agrees
// on capabilities. The socket has to exist: who starts QEMU makes it listen
// before, and passes it on.
func Dial(ctx context.Context, path string) (*Monitor, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	deadline, _ := ctx.Deadline()
	mon, err := qmp.NewSocketMonitor("unix", path, time.Until(deadline))
	if err != nil {
		return nil, fmt.Errorf("connecting to QMP at %s: %w", path, err)
	}
	// Disconnect closes the connection and then waits for the reader that
	// Connect has started, so it must not be called during Connect. A copy from
	// before has no reader, and only closes. (Assigned, it would be a copy of a
	// lock to go vet, which does not know that nobody holds it.)
	var closer qmp.SocketMonitor
	reflect.ValueOf(&closer).Elem().Set(reflect.ValueOf(mon).Elem())
	connected := make(chan error, 1)
	go func() { connected <- mon.Connect() }()
	select {
	case err = <-connected:
	case <-ctx.Done():
		closer.Disconnect() // which ends Connect, unless it has just succeeded
		if <-connected == nil {
			mon.Disconnect()
		}
		return nil, fmt.Errorf("waiting for QEMU's QMP greeting at %s: %w", path, context.Cause(ctx))
	}
	if err != nil {
		mon.Disconnect()
		if errors.Is(err, io.EOF) {
			err = errors.New("QEMU closed the connection")
		}
		return nil, fmt.Errorf("waiting for QEMU's QMP greeting at %s: %w", path, err)
	}
	events, err := mon.Events(context.Background())
	if err != nil {
		mon.Disconnect()
		return nil, fmt.Errorf("listening for QEMU's events: %w", err)
	}
	m := &Monitor{mon: mon, turn: make(chan struct{}, 1), drained: make(chan struct{})}
	go m.drain(events)
	return m, nil
}

// patient gives a context a deadline if it has none.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, Patience)
}

// Version is QEMU's version, from its greeting: "7.2.22".
func (m *Monitor) Version() string { return m.mon.Version.String() }

// drain reads events until the connection ends; Close, or the end of QEMU,
// ends it.
func (m *Monitor) drain(events <-chan qmp.Event) {
	for e := range events {
		m.add(Event{
			Name: e.Event, Data: e.Data,
			Time: time.Unix(e.Timestamp.Seconds, e.Timestamp.Microseconds*1000),
		})
	}
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	close(m.drained)
}

func (m *Monitor) add(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.events) == Kept {
		m.events = slices.Delete(m.events, 0, 1)
	}
	m.events = append(m.events, e)
	m.waiters = slices.DeleteFunc(m.waiters, func(w *waiter) bool {
		if !slices.Contains(w.names, e.Name) {
			return false
		}
		w.event <- e
		return true
	})
}

// Events are the last events, the oldest first.
func (m *Monitor) Events() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// Wait waits for an event of one of these names. One that has come already, and
// is remembered, counts.
func (m *Monitor) Wait(ctx context.Context, names ...string) (Event, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	m.mu.Lock()
	for _, e := range m.events {
		if slices.Contains(names, e.Name) {
			m.mu.Unlock()
			return e, nil
		}
	}
	w := &waiter{names, make(chan Event, 1)}
	m.waiters = append(m.waiters, w)
	m.mu.Unlock()
	var err error
	select {
	case e := <-w.event:
		return e, nil
	case <-m.drained:
		err = m.whyClosed()
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case e := <-w.event: // it came at the last moment
		return e, nil
	default:
	}
	m.waiters = slices.DeleteFunc(m.waiters, func(o *waiter) bool { return o == w })
	return Event{}, fmt.Errorf("waiting for QEMU's event %q: %w", names, err)
}

// Done is closed when the connection has ended and all events are in.
func (m *Monitor) Done() <-chan struct{} { return m.drained }

type reply struct {
	b   []byte
	err error
}

// Run runs a command and gives what it returns. args is what JSON is made of
// for the command's arguments, or nil.
func (m *Monitor) Run(ctx context.Context, command string, args any) (json.RawMessage, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	line, err := json.Marshal(qmp.Command{Execute: command, Args: args})
	if err != nil {
		return nil, fmt.Errorf("QMP command %s: its arguments: %w", command, err)
	}
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("QMP command %s: waiting for the one before: %w", command, context.Cause(ctx))
	}
	defer func() { <-m.turn }()
	if m.isClosed() {
		return nil, fmt.Errorf("QMP command %s: %w", command, m.whyClosed())
	}
	if ctx.Err() != nil { // nothing is sent, so the connection stays good
		return nil, fmt.Errorf("QMP command %s: not sent: %w", command, context.Cause(ctx))
	}
	replied := make(chan reply, 1)
	go func() {
		b, err := m.mon.Run(line)
		replied <- reply{bytes.Clone(b), err}
	}()
	var r reply
	select {
	case r = <-replied:
	case <-ctx.Done():
		err := fmt.Errorf("QMP command %s: no reply: %w", command, context.Cause(ctx))
		m.close(err)
		<-replied // closing has ended it
		return nil, err
	}
	if r.err != nil {
		if refused(r.err) {
			return nil, &CommandError{command, r.err.Error()}
		}
		if ended(r.err) {
			m.close(nil)
			return nil, fmt.Errorf("QMP command %s: %w", command, ErrClosed)
		}
		err := fmt.Errorf("QMP command %s: %w", command, r.err)
		m.close(err)
		return nil, err
	}
	var answer struct {
		Return json.RawMessage `json:"return"`
	}
	if err := json.Unmarshal(r.b, &answer); err != nil || answer.Return == nil {
		err := fmt.Errorf("QMP command %s: the reply %.200q is none", command, r.b)
		m.close(err)
		return nil, err
	}
	return answer.Return, nil
}

// refused tells QEMU's errors from those of the connection: go-qemu makes the
// former a plain error out of the description.
func refused(err error) bool {
	var network net.Error
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, bufio.ErrTooLong), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.As(err, &network), errors.As(err, &syntax), errors.As(err, &kind):
		return false
	}
	return true
}

// ended tells the end of the connection, QEMU's or ours, from its other errors:
// a write or a read sees it as one of these, and go-qemu, if there is no more to
// read, as a reply without a byte, which is not JSON.
func ended(err error) bool {
	for _, end := range []error{io.EOF, net.ErrClosed, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, end) {
			return true
		}
	}
	var syntax *json.SyntaxError
	return errors.As(err, &syntax) && syntax.Offset == 0
}

func (m *Monitor) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

func (m *Monitor) whyClosed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cause != nil {
		return fmt.Errorf("%w (%w)", ErrClosed, m.cause)
	}
	return ErrClosed
}

// Close ends the connection. QEMU itself runs on.
func (m *Monitor) Close() error { return m.close(nil) }

func (m *Monitor) close(cause error) error {
	m.mu.Lock()
	m.closed = true
	if m.cause == nil {
		m.cause = cause
	}
	m.mu.Unlock()
	err := m.mon.Disconnect()
	<-m.drained
	if errors.Is(err, net.ErrClosed) {
		return nil // another call was quicker
	}
	return err
}
