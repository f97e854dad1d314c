package vm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vmctr/vm/guest/wire"
)

// guestSide is a control and the other end of its port.
func guestSide(t *testing.T) (*control, func(format string, args ...any)) {
	t.Helper()
	ours, theirs, err := socketPair("control")
	if err != nil {
		t.Fatal(err)
	}
	c := openControl(ours)
	t.Cleanup(func() { theirs.Close(); c.close() })
	return c, func(format string, args ...any) {
		if _, err := fmt.Fprintf(theirs, format+"\n", args...); err != nil {
			t.Error(err)
		}
	}
}

func wait(t *testing.T, c *control, n int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); c.len() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d reports after 5 s, want %d", c.len(), n)
		}
	}
}

func TestMarks(t *testing.T) {
	c := &control{changed: make(chan struct{})}
	if m := c.marks(); m != nil {
		t.Errorf("marks %v of a guest that has said nothing", m)
	}
	// By the guest's clock its init began at 500; it says so at 900. On the
	// host's clock that arrives at 10950. The next report is under way for
	// less long, and shows that the guest's clock began at 10020.
	c.add(wire.Report{Event: wire.EventPhase, Phase: wire.PhaseInit, At: 500, Now: 900}, 10950)
	c.add(wire.Report{Event: wire.EventPhase, Phase: wire.PhasePorts, At: 700, Now: 1000}, 11020)
	c.add(wire.Report{Event: wire.EventPong, Now: 1100}, 11200)
	want := []Mark{{wire.PhaseKernel, 10020, 0}, {wire.PhaseInit, 10520, 0}, {wire.PhasePorts, 10720, 0}}
	if got := c.marks(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// Asked at 12000, it answers at 2100 by its clock: that was not 0 before 9900.
	c.pinged(12000)
	c.add(wire.Report{Event: wire.EventPong, Now: 2100}, 12200)
	want = []Mark{{wire.PhaseKernel, 10020, 120}, {wire.PhaseInit, 10520, 120}, {wire.PhasePorts, 10720, 120}}
	if got := c.marks(); !slices.Equal(got, want) {
		t.Errorf("after a message there and back: got %v, want %v", got, want)
	}
	// An answer to an older question contradicts what is known, and counts for nothing.
	c.pinged(20000)
	c.add(wire.Report{Event: wire.EventPong, Now: 3000}, 20010)
	if got := c.marks()[0]; got != (Mark{wire.PhaseKernel, 10020, 0}) {
		t.Errorf("after a contradiction: %v", got)
	}
}

func TestAwait(t *testing.T) {
	c, say := guestSide(t)
	isPong := func(r wire.Report) bool { return r.Event == wire.EventPong }
	giveUp := make(chan struct{})
	got := make(chan bool)
	go func() { got <- c.await(0, isPong, giveUp) }()
	say(`{"event":"phase","phase":"init"}`)
	say(`{"event":"pong"}`)
	if !<-got {
		t.Error("did not see the report that it waited for")
	}
	if !c.await(0, isPong, nil) {
		t.Error("does not count a report that has come already")
	}
	go func() { got <- c.await(2, isPong, giveUp) }()
	close(giveUp)
	if <-got {
		t.Error("saw an old report as a new one")
	}
	say("garbage")
	wait(t, c, 3)
	if r, ok := c.find(func(r wire.Report) bool { return r.Event == wire.EventError }); !ok || !strings.Contains(r.Error, `"garbage"`) {
		t.Errorf("a line that is no report: %+v", r)
	}
}

// TestControlEnds: when QEMU ends, who waits is told.
func TestControlEnds(t *testing.T) {
	ours, theirs, err := socketPair("control")
	if err != nil {
		t.Fatal(err)
	}
	c := openControl(ours)
	defer c.close()
	got := make(chan bool)
	go func() { got <- c.await(0, func(wire.Report) bool { return false }, nil) }()
	theirs.Close()
	select {
	case ok := <-got:
		if ok {
			t.Error("a report that satisfies nothing was found")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("still waits for reports of a machine that has ended")
	}
}

// TestFlood: a guest can report without end, and a line without end, and fills no
// memory. It is heard no more, and why is said.
func TestFlood(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{"phases", `{"event":"phase"}` + "\n", "more than 1000 reports"},
		{"garbage", "}\n", "more than 1000 reports"},
		{"a line", strings.Repeat("x", 1000), "a report of more than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, theirs, err := socketPair("control")
			if err != nil {
				t.Fatal(err)
			}
			c := openControl(ours)
			var guest sync.WaitGroup
			guest.Go(func() {
				for err := error(nil); err == nil; { // until c closes its end
					_, err = theirs.WriteString(tt.line)
				}
			})
			defer func() { c.close(); guest.Wait(); theirs.Close() }()
			select {
			case <-c.done:
			case <-time.After(5 * time.Second):
				t.Fatal("still reads")
			}
			if n := c.kept(); n > maxReports+1 {
				t.Errorf("%d reports are kept", n)
			}
			if r, _ := c.find(func(r wire.Report) bool { return r.Event == wire.EventError }); r.Error != tt.want {
				t.Errorf("%q, want %q", r.Error, tt.want)
			}
		})
	}
}

// TestManyAnswers: who asks without end is answered without end, and what the guest
// said besides is kept.
func TestManyAnswers(t *testing.T) {
	c, say := guestSide(t)
	say(`{"event":"phase","phase":"running"}`)
	isPong := func(r wire.Report) bool { return r.Event == wire.EventPong }
	for i := range 2 * maxReports {
		before := c.len()
		say(`{"event":"pong"}`)
		if !c.await(before, isPong, nil) {
			t.Fatalf("question %d is not answered", i)
		}
	}
	if _, ok := c.find(isRunning); !ok || c.kept() != 2 {
		t.Errorf("%d reports are kept, the first among them: %v", c.kept(), ok)
	}
}

// TestSendToNobody: a guest that does not read holds its host up for a while only, and
// what it was sent in part spoils no other command.
func TestSendToNobody(t *testing.T) {
	ours, theirs, err := socketPair("control")
	if err != nil {
		t.Fatal(err)
	}
	c := openControl(ours)
	defer c.close()
	defer theirs.Close()
	c.patience = 10 * time.Millisecond
	for err == nil {
		err = c.send(wire.Command{Command: wire.CommandPing})
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(theirs)
	c.patience = time.Minute
	sent := make(chan error, 1)
	go func() { sent <- c.send(wire.Command{Command: wire.CommandStop}) }()
	spoiled := 0
	for lines.Scan() {
		var got wire.Command
		if json.Unmarshal(lines.Bytes(), &got) != nil {
			spoiled++
		}
		if got.Command == wire.CommandStop {
			break
		}
	}
	if err := errors.Join(<-sent, lines.Err()); err != nil || spoiled > 1 {
		t.Errorf("%d commands are spoiled, %v", spoiled, err)
	}
}

func FuzzControl(f *testing.F) {
	f.Add([]byte(`{"event":"phase","phase":"init","at":1,"now":2}` + "\n"))
	f.Add([]byte("{}\n\n{\"event\":1}\n\xff"))
	f.Add([]byte(`{"event":"pong","now":-9223372036854775808,"at":9223372036854775807}` + "\n" + `{"event":"exited","code":-1,"signal":-1}` + "\n"))
	f.Add(bytes.Repeat([]byte("x"), maxReport+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs, err := socketPair("control")
		if err != nil {
			t.Fatal(err)
		}
		c := openControl(ours)
		var guest sync.WaitGroup
		guest.Go(func() { theirs.Write(b); theirs.Close() })
		<-c.done
		c.marks()
		if c.kept() > maxReports+1 {
			t.Errorf("%d reports kept", c.kept())
		}
		c.close()
		guest.Wait()
	})
}
