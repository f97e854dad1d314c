package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vmctr/vm/guest/wire"
)

// TestReport: phases are kept until the port is there, and the host learns both
// when they began and when they were written.
func TestReport(t *testing.T) {
	g, w := newGuest(t)
	begin := boottime()
	g.phaseAt(wire.PhaseInit, begin)
	g.phaseAt(wire.PhaseModules, begin+1)
	if got := g.lastPhase(); got != wire.PhaseModules {
		t.Errorf("the last phase is %q", got)
	}
	attached := boottime()
	w.attach(g)
	got, err := w.write() // one, since each wakes the host
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if now := got[i].Now; now < attached || now > boottime() {
			t.Errorf("written at %d, between %d and %d", now, attached, boottime())
		}
		got[i].Now = 0
	}
	if diff := cmp.Diff([]wire.Report{
		{Event: wire.EventPhase, Phase: wire.PhaseInit, At: begin},
		{Event: wire.EventPhase, Phase: wire.PhaseModules, At: begin + 1},
	}, got); diff != "" {
		t.Error(diff)
	}

	// From now on each is written at once, and none again.
	g.report(wire.Report{Event: wire.EventPong})
	got, err = w.write()
	if len(got) != 1 || got[0].Event != wire.EventPong || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestReportToNobody: a host that has gone away does not hold up the guest.
func TestReportToNobody(t *testing.T) {
	g, w := newGuest(t)
	w.attach(g)
	w.host.Close()
	for range 3 {
		g.phaseAt(wire.PhaseRoot, 1)
	}
	if len(g.pending) > 0 {
		t.Errorf("%d reports are kept for ever", len(g.pending))
	}
}

// TestReportToDeaf: neither does one that does not read.
func TestReportToDeaf(t *testing.T) {
	g, w := newGuest(t)
	was := hostPatience
	hostPatience = 10 * time.Millisecond
	defer func() { hostPatience = was }()
	w.attach(g)
	begin, n := time.Now(), 0
	for ; time.Since(begin) < 100*time.Millisecond; n++ {
		g.phaseAt(wire.PhaseRoot, 1)
	}
	if len(g.pending) > 0 {
		t.Errorf("%d reports are kept for ever", len(g.pending))
	}
	read := 0
	for {
		w.host.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := w.host.Read(make([]byte, 4096)); err != nil {
			break
		}
		read++
	}
	if read == 0 || read >= n {
		t.Errorf("%d reports were written, and %d came through a channel that was full", n, read)
	}
}

// FuzzObey: whatever the host says, the guest lives until the host has said it all.
func FuzzObey(f *testing.F) {
	f.Add([]byte(`{"command":"ping"}` + "\n" + `{"command":"resize","rows":1,"columns":65535}`))
	f.Add([]byte(`{"command":"signal","signal":-9}` + "\n" + `{"command":"stop"}` + "\n\xff\n{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for line := range bytes.Lines(b) {
			var c wire.Command
			if json.Unmarshal(line, &c) == nil && c.Command == wire.CommandTouch {
				t.Skip("it would take this machine's memory")
			}
		}
		g, w := newGuest(t)
		w.attach(g)
		go g.obey(bytes.NewReader(b))
		go io.Copy(io.Discard, w.host)
		select {
		case <-w.off:
		case <-time.After(time.Minute):
			t.Error("the guest has not ended")
		}
	})
}

// TestFail: why the guest gives up is said to the host and on the console.
func TestFail(t *testing.T) {
	g, w := newGuest(t)
	w.attach(g)
	go g.fail(errors.New("no root"))
	reports, console := w.rest()
	if diff := cmp.Diff([]wire.Report{{Event: wire.EventError, Error: "no root"}}, reports); diff != "" {
		t.Error(diff)
	}
	if console != "guest: no root\n" {
		t.Errorf("console: %q", console)
	}
}

func TestObey(t *testing.T) {
	pong := wire.Report{Event: wire.EventPong}
	gone := wire.Report{Event: wire.EventError, Error: "reading the host's commands: the host has closed it"}
	for _, tt := range []struct {
		name, commands string
		want           []wire.Report
		console        string
	}{
		{"the host goes", "", []wire.Report{gone}, gone.Error},
		{"ping", `{"command":"ping"}` + "\n" + `{"command":"ping"}` + "\n", []wire.Report{pong, pong, gone}, ""},
		{"garbage", "\n\x00\xff[\n[]\n{}\n" + `{"command":"ping"}` + "\n", []wire.Report{pong, gone}, `a command that is not JSON: "\x00\xff["`},
		{"unknown", `{"command":"dance"}` + "\n" + `{"command":"ping"}` + "\n", []wire.Report{pong, gone}, `unknown command "dance"`},
		{"too long", strings.Repeat("x", bufio.MaxScanTokenSize) + "\n" + `{"command":"ping"}` + "\n", []wire.Report{{Event: wire.EventError, Error: "reading the host's commands: bufio.Scanner: token too long"}}, "token too long"},
		{"stop before the workload", `{"command":"stop"}` + "\n" + `{"command":"ping"}` + "\n", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, w := newGuest(t)
			w.attach(g)
			go g.obey(strings.NewReader(tt.commands))
			got, console := w.rest()
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(console, tt.console) {
				t.Errorf("console: %q has not %q", console, tt.console)
			}
		})
	}
}
