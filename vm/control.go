package vm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// control is the host's side of the channel by which PID 1 of the guest reports.
type control struct {
	port channel
	done chan struct{} // closed when no more reports come

	sending  sync.Mutex
	patience time.Duration // with a guest that reads no command
	torn     bool          // the last command went out in part
	restored bool          // the guest had booted before, on a clock that stood still since

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each report
	reports []report
	come    int // how many there were
	// The guest's clock was 0, on the host's, at some time from earliest to latest;
	// each is 0 while it is unknown. A report says when it was written by the guest's
	// clock. It was written no later than it came; and an answer, no earlier than the
	// host has asked.
	earliest, latest int64
	asked            int64 // when CommandPing was sent last; 0 once it is answered
}

// report is one, with its number: the first that came has 0.
type report struct {
	wire.Report
	n int
}

// The guest is not to be trusted, only to be read: what it says is bounded in length
// and in number. One that says more is heard no more, and fills its own buffers.
const (
	maxReport  = 64 << 10 // bytes of a line
	maxReports = 1000     // that are kept
)

// answers are reports of which the last is kept, since a host may ask without end.
var answers = []string{wire.EventPong, wire.EventMemory, wire.EventTouched}

// openControl reads reports from port, which it owns.
func openControl(port channel) *control {
	c := &control{port: port, patience: 5 * time.Second, done: make(chan struct{}), changed: make(chan struct{})}
	go c.read()
	return c
}

// noControl is that of a guest which has none: no report comes of it.
func noControl() *control {
	c := &control{done: make(chan struct{}), changed: make(chan struct{})}
	close(c.done)
	return c
}

// read ends when QEMU does, and so the guest, or when close is called.
func (c *control) read() {
	defer close(c.done)
	fault := func(format string, args ...any) wire.Report {
		return wire.Report{Event: wire.EventError, Error: fmt.Sprintf(format, args...)}
	}
	lines := bufio.NewScanner(c.port)
	lines.Buffer(nil, maxReport)
	for c.kept() < maxReports && lines.Scan() {
		at := now()
		var r wire.Report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			r = fault("a report that is not JSON: %.80q", lines.Bytes())
		}
		c.add(r, at)
	}
	switch {
	case errors.Is(lines.Err(), bufio.ErrTooLong):
		c.add(fault("a report of more than %d bytes", maxReport), now())
	case c.kept() == maxReports:
		c.add(fault("more than %d reports", maxReports), now())
	}
}

func (c *control) add(r wire.Report, at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(answers, r.Event) {
		c.reports = slices.DeleteFunc(c.reports, func(o report) bool { return o.Event == r.Event })
	}
	c.reports = append(c.reports, report{r, c.come})
	c.come++
	if zero := at - r.Now; r.Now > 0 && (c.latest == 0 || zero < c.latest) {
		c.latest = zero
	}
	if zero := c.asked - r.Now; r.Now > 0 && r.Event == wire.EventPong && c.asked > 0 {
		if c.earliest == 0 || zero > c.earliest {
			c.earliest = zero
		}
		c.asked = 0
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// pinged tells when a CommandPing is sent.
func (c *control) pinged(at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = at
}

// len is how many reports have come.
func (c *control) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.come
}

// kept is how many of them are kept.
func (c *control) kept() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.reports)
}

// await waits until a report, of those from number n on, satisfies ok, and
// tells whether one has: it gives up when none comes any more, or giveUp is
// closed. ok is not to use c.
func (c *control) await(n int, ok func(wire.Report) bool, giveUp <-chan struct{}) bool {
	for {
		c.mu.Lock()
		found := slices.ContainsFunc(c.reports, func(r report) bool { return r.n >= n && ok(r.Report) })
		n = c.come
		changed := c.changed
		c.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-changed:
		case <-giveUp:
			return false
		case <-c.done:
			if c.len() == n {
				return false
			}
		}
	}
}

// find is the last report that satisfies ok, of those that have come.
func (c *control) find(ok func(wire.Report) bool) (found wire.Report, any bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.reports {
		if ok(r.Report) {
			found, any = r.Report, true
		}
	}
	return found, any
}

// marks are the phases of the guest on the host's clock. The first is the
// kernel's, which reports nothing: it began when the guest's clock did. Of the times at
// which that can have been, it is the latest: an answer is under way for less long
// than a question, for which PID 1 has to be woken first.
func (c *control) marks() []Mark {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.latest == 0 {
		return nil
	}
	zero, err := c.latest, int64(0) // unknown, without an answer
	if c.earliest != 0 && c.earliest <= c.latest {
		err = c.latest - c.earliest
	}
	var marks []Mark
	if !c.restored {
		marks = append(marks, Mark{wire.PhaseKernel, zero, err})
	}
	for _, r := range c.reports {
		if r.Event == wire.EventPhase {
			marks = append(marks, Mark{r.Phase, zero + r.At, err})
		}
	}
	return marks
}

// send sends a command. A guest that reads none holds it up for a while only.
func (c *control) send(command wire.Command) error {
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if c.port == nil {
		return errors.New("the machine has no channel")
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.torn {
		line = append([]byte{'\n'}, line...)
	}
	if err := c.port.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
		return err
	}
	n, err := c.port.Write(append(line, '\n'))
	if n > 0 {
		c.torn = err != nil
	}
	return err
}

// close ends the reader.
func (c *control) close() error {
	if c.port == nil {
		return nil
	}
	err := c.port.Close()
	<-c.done
	return err
}

func now() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}
