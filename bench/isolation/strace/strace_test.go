package strace

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test is also the tracer, and what is traced.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		var err error
		switch os.Args[1] {
		case Verb:
			var pids []int
			for _, a := range os.Args[2:] {
				pid, _ := strconv.Atoi(a)
				pids = append(pids, pid)
			}
			err = Trace(pids, os.Stdout)
		case EndVerb:
			err = End()
		case "traced":
			traced()
		case "child":
			calls(7)
		default:
			os.Exit(m.Run())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// calls makes a call that Go itself never makes, and an ioctl that nobody else makes.
func calls(n int) {
	for range n {
		unix.Getpriority(unix.PRIO_PROCESS, 0)
		unix.IoctlGetInt(0, 0x4242)
	}
}

// traced does as it is told on each line: some threads and a child make calls.
func traced() {
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { calls(100) })
		}
		all.Wait()
		exec.Command("/proc/self/exe", "child").Run()
		fmt.Println("done")
	}
}

// start starts what is to be traced, and gives a way to have it do its work.
func start(t *testing.T) (pid int, work func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "traced")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("what was traced: %v", err)
		}
	})
	if !lines.Scan() {
		t.Fatal("it does not start")
	}
	return cmd.Process.Pid, func() {
		t.Helper()
		fmt.Fprintln(in, "go")
		kill := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		defer kill.Stop()
		if !lines.Scan() || lines.Text() != "done" {
			t.Fatal("it does not answer")
		}
	}
}

func begin(t *testing.T, pids ...int) *Tracer {
	t.Helper()
	tr, err := Start("/proc/self/exe", pids)
	if err != nil && os.Geteuid() != 0 {
		t.Skip(err, "; run as root (sudo scripts/test)")
	}
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestCounts: each call is counted once, of all threads and of a child that comes later.
func TestCounts(t *testing.T) {
	pid, work := start(t)
	work() // not traced
	tr := begin(t, pid)
	work()
	c, err := tr.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Calls[strconv.Itoa(unix.SYS_GETPRIORITY)]; n != 407 {
		t.Errorf("getpriority was counted %d times; want 407", n)
	}
	if n := c.Ioctls["0x4242"]; n != 407 {
		t.Errorf("the ioctl was counted %d times; want 407: %v", n, c.Ioctls)
	}
	if len(c.Threads) == 0 || len(c.Untraced) != 0 {
		t.Errorf("threads: %v and %v", c.Threads, c.Untraced)
	}
	// It goes on, untraced.
	work()
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err != nil || !strings.Contains(string(b), "TracerPid:\t0\n") {
		t.Errorf("it is traced still, or gone: %v\n%s", err, b)
	}
}

// TestTracerKilled: a tracer that is killed leaves nothing stopped.
func TestTracerKilled(t *testing.T) {
	pid, work := start(t)
	tr := begin(t, pid)
	work()
	tr.kill()
	if _, err := tr.Stop(); err == nil {
		t.Error("a killed tracer gives no error")
	}
	work()
}

func TestNobody(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "child")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := Start("/proc/self/exe", []int{cmd.Process.Pid}); err == nil || !strings.Contains(err.Error(), "no thread") {
		t.Errorf("tracing a process that has ended: %v", err)
	}
}
