package vm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// control is the port on which PID 1 of the guest reports.
type control struct {
	port *os.File
	done chan struct{} // closed when no more reports come

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each report
	reports []wire.Report
	// The guest's clock was 0, on the host's, at some time from earliest to latest;
	// each is 0 while it is unknown. A report says when it was written by the guest's
	// clock. It was written no later than it came; and an answer, no earlier than the
	// host has asked.
	earliest, latest int64
	asked            int64 // when CommandPing was sent last; 0 once it is answered
}

// maxReports bounds what is kept of a guest that reports without end.
const maxReports = 1000

// openControl reads reports from port, which it owns.
func openControl(port *os.File) *control {
	c := &control{port: port, done: make(chan struct{}), changed: make(chan struct{})}
	go c.read()
	return c
}

// noControl is that of a guest which has none: no report comes of it.
func noControl() *control {
	c := &control{done: make(chan struct{}), changed: make(chan struct{})}
	close(c.done)
	return c
}

// read ends when QEMU does, which holds the other end, or when close is called.
func (c *control) read() {
	defer close(c.done)
	lines := bufio.NewScanner(c.port)
	for n := 0; n < maxReports && lines.Scan(); n++ {
		at := now()
		var r wire.Report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			// The guest is not to be trusted, only to be read.
			r = wire.Report{Event: wire.EventError, Error: fmt.Sprintf("a report that is not JSON: %.80q", lines.Bytes())}
		}
		c.add(r, at)
	}
}

func (c *control) add(r wire.Report, at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports = append(c.reports, r)
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
	return len(c.reports)
}

// await waits until a report, of those from number n on, satisfies ok, and
// tells whether one has: it gives up when none comes any more, or giveUp is
// closed.
func (c *control) await(n int, ok func(wire.Report) bool, giveUp <-chan struct{}) bool {
	for {
		c.mu.Lock()
		reports, changed := c.reports, c.changed
		c.mu.Unlock()
		for ; n < len(reports); n++ {
			if ok(reports[n]) {
				return true
			}
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
		if ok(r) {
			found, any = r, true
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
	marks := []Mark{{wire.PhaseKernel, zero, err}}
	for _, r := range c.reports {
		if r.Event == wire.EventPhase {
			marks = append(marks, Mark{r.Phase, zero + r.At, err})
		}
	}
	return marks
}

func (c *control) send(command wire.Command) error {
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	_, err = c.port.Write(append(line, '\n'))
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
