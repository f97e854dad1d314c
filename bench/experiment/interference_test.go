package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	interfering "vmctr/bench/isolation/interference"
	"vmctr/bench/platform"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

func TestInterferenceTrials(t *testing.T) {
	for _, tt := range []struct {
		name, kind string
		every      bool
		want       int // with limits, and without, beside each neighbour
	}{
		{"process", "process", false, 5}, {"container", "container", false, 10},
		{"runc", "container", false, 0}, {"runc", "container", true, 10}, {"docker", "container", false, 0},
		{"nested", "nested", false, 0}, {"vm-bare", "vm", true, 0}, {platform.ThrowawayName, "vm", true, 0},
	} {
		s := Subject{Name: tt.name, Kind: tt.kind, Prepared: newFake(t, healthy)}
		got := interference.trials(s, Limits{Every: tt.every})
		if len(got) != tt.want {
			t.Errorf("%s, every %v: %d trials, want %d", tt.name, tt.every, len(got), tt.want)
		}
		seen := map[string]bool{}
		for _, trial := range got {
			if seen[trial.Series] {
				t.Errorf("%s: two trials are %q", tt.name, trial.Series)
			}
			seen[trial.Series] = true
		}
	}
}

// scripted is a victim, and a neighbour at work, that say what scripts print; the victim's client
// gets a connection to somebody who behaves as serve does.
func scripted(t *testing.T, script string, serve func(net.Conn)) (*victim, *neighbour) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); serve(conn) }()
		}
	}()
	start := func(script string) platform.Instance {
		i, err := newFake(t, script).Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	v := &victim{
		i: start("echo first-instruction; " + script), line: 1, patience: 300 * time.Millisecond, latencies: map[string][]float64{},
		sample: &result.Sample{Values: map[string]float64{}, Each: map[string][]float64{}, Interference: &isolation.Interference{}},
		dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", l.Addr().String())
		},
	}
	return v, &neighbour{i: start("echo first-instruction; exec sleep 60"), line: 1, began: time.Now()}
}

// says is a line that a script prints.
func says(l interfering.Line) string {
	b, _ := json.Marshal(l)
	return "echo '" + string(b) + "'; "
}

// A victim that is not heard of is a result: what it did not report, why, and whether it does
// again once the neighbour is gone.
func TestInterferenceDidNotReport(t *testing.T) {
	cpu := says(interfering.Line{Kind: "cpu", Count: 10, Ns: 1e6})
	turn := cpu + cpu + says(interfering.Line{Kind: "memory", Count: 10, Ns: 1e6}) + says(interfering.Line{Kind: "disk", Count: 10, Ns: 1e6, P50Ns: 5, P99Ns: 9}) + says(interfering.Line{Kind: interfering.Serve})
	mute := func(conn net.Conn) { io.Copy(io.Discard, conn) }
	for _, tt := range []struct {
		name, script string
		silent       string
		why          string
	}{
		{"silent from the start", "exec sleep 60", "cpu memory disk request network", "cpu: nothing was heard for 300ms"},
		{"silent in the middle", cpu + cpu + "exec sleep 60", "memory disk request network", "memory: nothing was heard for 300ms"},
		{"dead", cpu + "exit 3", "memory disk request network", "cpu: its output has ended"},
		{"answers nobody", turn + "exec sleep 60", "request network", "no answer within 300ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, n := scripted(t, tt.script, mute)
			v.beside(t.Context(), n)
			s := v.sample
			if s.Outcome != isolation.DidNotReport || !strings.Contains(s.Why, tt.why) {
				t.Errorf("outcome %q, %q; want %q", s.Outcome, s.Why, tt.why)
			}
			if got := strings.Join(s.Interference.Silent, " "); got != tt.silent {
				t.Errorf("silent of %q, want %q", got, tt.silent)
			}
			if err := v.again(t.Context()); err == nil || !strings.Contains(s.Why, "once the neighbour was gone: ") {
				t.Errorf("still silent: %q, %v", s.Why, err)
			}
		})
	}

	t.Run("comes back", func(t *testing.T) {
		v, n := scripted(t, "sleep 0.5; "+turn+turn+turn+"exec sleep 60", answering)
		v.beside(t.Context(), n)
		v.patience = 5 * time.Second
		if err := v.again(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := v.sample; s.Outcome != isolation.DidNotReport || !strings.Contains(s.Why, "it reported again") {
			t.Errorf("outcome %q, %q", s.Outcome, s.Why)
		}
	})

	t.Run("reports", func(t *testing.T) {
		v, n := scripted(t, turn+turn+turn+"exec sleep 60", answering)
		v.patience = 5 * time.Second
		v.beside(t.Context(), n)
		v.percentiles()
		s := v.sample
		if s.Outcome != "reported" || len(s.Interference.Silent) > 0 {
			t.Fatalf("outcome %q, %q, silent of %v", s.Outcome, s.Why, s.Interference.Silent)
		}
		for name, want := range map[string]int{"beside_cpu": turnsBeside * inTurn, "beside_disk_p99_ns": turnsBeside, "beside_request": turnsBeside * inTurn, "beside_network": turnsBeside * inTurn} {
			if len(s.Each[name]) != want {
				t.Errorf("%s: %d windows, want %d", name, len(s.Each[name]), want)
			}
		}
		if s.Each["beside_cpu"][0] != 10/1e-3 {
			t.Errorf("10 in a millisecond are %v a second", s.Each["beside_cpu"][0])
		}
		if s.Values["beside_requests"] == 0 || !(s.Values["beside_request_p99_ns"] >= s.Values["beside_request_p50_ns"]) {
			t.Errorf("values %v", s.Values)
		}
	})

	// What a neighbour has done in a part of a turn only is not beside it.
	t.Run("the neighbour ends", func(t *testing.T) {
		v, n := scripted(t, turn+"exec sleep 60", answering)
		if err := n.i.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.beside(t.Context(), n)
		if len(v.sample.Each) > 0 || !strings.Contains(n.cut, "is left out") {
			t.Errorf("windows %v, %q", v.sample.Each, n.cut)
		}
	})
}

// answering is a victim's side of a connection.
func answering(conn net.Conn) {
	frame, chunk := make([]byte, interfering.Frame), make([]byte, interfering.Chunk)
	for {
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		if frame[0] == interfering.AskRequest {
			conn.Write(frame)
		} else {
			conn.Write(chunk)
		}
	}
}

func TestFate(t *testing.T) {
	for _, tt := range []struct {
		name, kind string
		report     interfering.Report
		err        error
		ended      bool
		fate, why  string
	}{
		{"it was stopped", "spin", interfering.Report{CPUNs: 2e9, Ns: 1e9}, nil, false, isolation.Stopped, "it had 2.00 s of processor time in 1.00 s"},
		{"its child was killed", "alloc", interfering.Report{Killed: 3, Most: 256 << 20}, nil, false, isolation.Killed, "it held 256 MiB at most; the kernel killed the process that allocates 3 times"},
		{"it was refused", "fork", interfering.Report{Did: 9, Most: 8, Refused: 4, Errno: "EAGAIN"}, nil, false, isolation.Refused, "at most 8 of them at once; fork was refused 4 times: EAGAIN"},
		{"no wall", "fork", interfering.Report{Did: 9, Most: 8, Ceiling: true}, nil, false, isolation.Stopped, "no wall kept it from more, but its own ceiling"},
		{"it broke", "sync", interfering.Report{Error: "no space left"}, nil, false, isolation.Ended, "no space left"},
		{"all of it was killed", "alloc", interfering.Report{}, errors.New("it ended by itself: killed, over its memory limit"), true, isolation.Killed, "over its memory limit"},
		{"it died", "spin", interfering.Report{}, errors.New("exit status 2"), true, isolation.Ended, "exit status 2"},
		{"it says nothing", "spin", interfering.Report{}, errors.New("the neighbour has said nothing"), false, isolation.Stopped, "was killed: the neighbour has said nothing"},
	} {
		fate, why := fate(tt.kind, tt.report, tt.err, tt.ended)
		if fate != tt.fate || !strings.Contains(why, tt.why) {
			t.Errorf("%s: %s, %q; want %s, %q", tt.name, fate, why, tt.fate, tt.why)
		}
	}
}
