package interference

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test's program is also the neighbour, and the one that neighbours execute: a neighbour
// lowers the limits of its process, and they stay low.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == NeighbourVerb {
		if err := Neighbour(os.Stdout, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 3 && os.Args[1] == HogVerb {
		bytes, _ := strconv.ParseInt(os.Args[2], 10, 64)
		ns, _ := strconv.ParseInt(os.Args[3], 10, 64)
		fmt.Fprintln(os.Stderr, Hog(bytes, time.Duration(ns)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestNoOrderIsAboveTheCeilings(t *testing.T) {
	huge := Order{For: time.Hour, Bytes: 1 << 50, Processes: 1 << 30}
	for kind, most := range map[string]int64{"alloc": MostBytes, "sync": MostFile, "fork": MostBytes} {
		huge.Kind = kind
		got := huge.bounded()
		if got.For != MostTime || got.Bytes != most || got.Processes != MostProcesses {
			t.Errorf("an order to %s without measure is carried out as %+v", kind, got)
		}
	}
	if got := (Order{For: -1, Bytes: -1, Processes: -1}).bounded(); got != (Order{}) {
		t.Errorf("an order of less than nothing is carried out as %+v", got)
	}
}

// Each kind, with limits that harm nobody.
func TestNeighboursStopAtTheirLimits(t *testing.T) {
	for _, c := range []struct {
		order Order
		most  int64 // at once
		full  bool
	}{
		{Order{Kind: "spin"}, 0, false},
		{Order{Kind: "alloc", Bytes: 16 << 20}, 64 << 20, true}, // with the Go program around it
		{Order{Kind: "fork", Processes: 8}, 8, true},
		{Order{Kind: "sync", Bytes: 4 << 20}, 4 << 20, true},
		{Order{Kind: "flood", Target: "127.0.0.1:9"}, 0, false},
	} {
		t.Run(c.order.Kind, func(t *testing.T) {
			dir := t.TempDir()
			c.order.For = 300 * time.Millisecond
			begin := time.Now()
			n := start(t, dir)
			r := n.do(c.order)
			if took := time.Since(begin); took < c.order.For || took > MostTime {
				t.Errorf("it was to work for %v and took %v", c.order.For, took)
			}
			if r.Error != "" || r.State != Done || r.CPUNs <= 0 {
				t.Errorf("it reports %+v", r)
			}
			if r.Most > c.most || r.Ceiling != c.full {
				t.Errorf("it held %d at once, of %d, and says of its limit: reached %v", r.Most, c.most, r.Ceiling)
			}
			if c.order.Kind != "spin" && r.Did == 0 {
				t.Errorf("it did nothing: %+v", r)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("it has left %v", left)
			}
			if alive(n.cmd.Process.Pid) {
				t.Error("it has left processes of its group")
			}
		})
	}
}

// running is a neighbour, in a process group of its own.
type running struct {
	t   *testing.T
	cmd *exec.Cmd
	in  *json.Decoder
	at  string
}

func start(t *testing.T, dir string) *running {
	t.Helper()
	n := &running{t: t, at: free(t)}
	n.cmd = exec.Command("/proc/self/exe", NeighbourVerb, n.at)
	n.cmd.Dir, n.cmd.Stderr = dir, os.Stderr
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.cmd.Process.Kill(); n.cmd.Wait() })
	n.in = json.NewDecoder(out)
	n.next(Ready)
	return n
}

func (n *running) next(state string) (r Report) {
	n.t.Helper()
	if err := n.in.Decode(&r); err != nil || r.State != state {
		n.t.Fatalf("it says %+v, %v, and was to be %s", r, err, state)
	}
	return r
}

// order gives it an order, as the host does.
func (n *running) order(o Order) net.Conn {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.at)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := json.NewEncoder(conn).Encode(o); err != nil {
		n.t.Fatal(err)
	}
	n.next(Working)
	return conn
}

// do has it carry one out to its end.
func (n *running) do(o Order) Report {
	n.t.Helper()
	defer n.order(o).Close()
	r := n.next(Done)
	if err := n.cmd.Wait(); err != nil {
		n.t.Error(err)
	}
	return r
}

// Who hangs up has it stop, long before its time is over.
func TestNeighbourStopsWhenToldTo(t *testing.T) {
	n := start(t, t.TempDir())
	n.order(Order{Kind: "flood", For: MostTime, Target: "127.0.0.1:9"}).Close()
	if r := n.next(Done); time.Duration(r.Ns) > MostTime/2 {
		t.Errorf("told to stop at once, it says %+v", r)
	}
}

// The death of a neighbour is that of its processes.
func TestADeadNeighbourLeavesNoProcess(t *testing.T) {
	for _, o := range []Order{{Kind: "fork", Processes: 8}, {Kind: "alloc", Bytes: 8 << 20}} {
		o.For = 3 * time.Second
		n := start(t, t.TempDir())
		defer n.order(o).Close()
		time.Sleep(100 * time.Millisecond)
		n.cmd.Process.Kill()
		n.cmd.Wait()
		for end := time.Now().Add(2 * time.Second); alive(n.cmd.Process.Pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("processes of %s are there 2 s after its death", o.Kind)
			}
		}
	}
}

// alive tells whether a process of a group is there that has not ended: who has ended, and
// was not waited for by init yet, is none (proc_pid_stat(5)).
func alive(group int) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 2 && f[0] != "Z" && f[0] != "X" && f[2] == strconv.Itoa(group) {
			return true
		}
	}
	return false
}

// A victim measures each kind, serves, and begins anew when its client hangs up.
func TestVictimMeasuresItself(t *testing.T) {
	t.Chdir(t.TempDir())
	out, say := io.Pipe()
	address := free(t)
	go Victim(say, address, 10*time.Millisecond, 2)
	in := json.NewDecoder(bufio.NewReader(out))
	next := func(kind string) (l Line) {
		t.Helper()
		if err := in.Decode(&l); err != nil || l.Kind != kind {
			t.Fatalf("it says %+v, %v, where %s was to come", l, err, kind)
		}
		return l
	}
	if l := next(Hello); l.Files == "" {
		t.Error("it does not say what it writes to")
	}
	for range 2 {
		next(Serve)
		client(t, address)
		for _, kind := range []string{"cpu", "cpu", "memory", "memory", "disk", "disk"} {
			if l := next(kind); l.Count <= 0 || time.Duration(l.Ns) < 10*time.Millisecond {
				t.Errorf("a window of %s: %+v", kind, l)
			}
		}
	}
}

func client(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := [Frame]byte{AskRequest}
	var answer [Frame]byte
	if _, err := conn.Write(ask[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, answer[:]); err != nil || answer == ask {
		t.Fatalf("the answer is %x, %v", answer, err)
	}
	ask[0] = AskStream
	binary.BigEndian.PutUint64(ask[1:], uint64(10*time.Millisecond))
	if _, err := conn.Write(ask[:]); err != nil {
		t.Fatal(err)
	}
	var chunk [Chunk]byte
	for chunk[0] = 1; chunk[0] != 0; {
		if _, err := io.ReadFull(conn, chunk[:]); err != nil {
			t.Fatal(err)
		}
	}
}

// free is an address at which nobody listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
