package ftrace

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/container"
	"vmctr/vm/guesttest"
)

// A worker of TestTrace is this program again: it makes a file's name known to the kernel
// when it is told to, has a child of its own do something else, and says that it is done.
func TestMain(m *testing.M) {
	switch os.Getenv("FTRACE_WORKER") {
	case "":
		if os.Getenv("FTRACE_GUEST") != "" {
			unix.Dup2(1, 2) // why it ends, if it does not in time; the console is slow
			// An emulator's second CPU does not bear that the kernel's code changes (package
			// arena, otherCPUs).
			if err := os.WriteFile("/sys/devices/system/cpu/cpu1/online", []byte("0"), 0); err != nil {
				panic(err)
			}
		}
		os.Exit(m.Run())
	case "child":
		unix.Sethostname([]byte(strings.Repeat("x", 100))) // EINVAL
	case "worker":
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			unix.Mknod("/nowhere/x", 0, 0) // ENOENT
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{"FTRACE_WORKER=child"}
			cmd.Run()
			os.Stdout.WriteString("done\n")
		}
	}
}

// TestTrace needs root, and a kernel that lets functions be traced; TestInGuest has both.
func TestTrace(t *testing.T) {
	inGuest := os.Getenv("FTRACE_GUEST") != ""
	if os.Geteuid() != 0 {
		t.Skip("it needs root; TestInGuest runs it in a virtual machine")
	}
	name := "bench-test-ftrace"
	dir := t.TempDir()
	begin := time.Now()
	tr, err := Open(name, dir, 8<<20)
	var refused *Refused
	if errors.As(err, &refused) && !inGuest {
		t.Skip(err, "; TestInGuest runs it in a virtual machine")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Log("open:", time.Since(begin))
	instance := tr.dir
	t.Cleanup(func() { tr.root.Close() })

	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"FTRACE_WORKER=worker"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
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
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	work := func(context.Context) error {
		unix.Sync() // ours, not the worker's
		if _, err := io.WriteString(in, "work\n"); err != nil {
			return err
		}
		_, err := io.ReadFull(out, make([]byte, len("done\n")))
		return err
	}
	if err := work(t.Context()); err != nil { // once, so that it waits when it is traced
		t.Fatal(err)
	}
	has := func(f Functions, part string) bool {
		for name := range f {
			if strings.Contains(name, part) {
				return true
			}
		}
		return false
	}
	tids, err := Threads([]int{cmd.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	trace, err := tr.Trace(t.Context(), tids, work)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v: %d calls of %d functions, %d lost", time.Since(begin), trace.Calls, len(trace.Functions), trace.Lost)
	for _, want := range []string{"sys_mknodat", "sys_sethostname", "sys_execve"} {
		if !has(trace.Functions, want) {
			t.Errorf("%s is not among %d functions", want, len(trace.Functions))
		}
	}
	if has(trace.Functions, "ksys_sync") {
		t.Error("a function of a process that is not traced")
	}
	if trace.Lost != 0 {
		t.Errorf("%d calls were lost in a buffer of 8 MiB", trace.Lost)
	}

	idle, err := tr.Trace(t.Context(), tids, func(context.Context) error { time.Sleep(100 * time.Millisecond); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if has(idle.Functions, "sys_mknodat") {
		t.Error("the idle worker has made a file: the buffer was not emptied")
	}

	// What is known is not noted again, and all else is.
	known := Functions{}
	for name, outside := range trace.Functions {
		if !strings.Contains(name, "sys_mknodat") {
			known[name] = outside
		}
	}
	begin = time.Now()
	if err := tr.Skip(known); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v to skip %d functions", time.Since(begin), len(known))
	again, err := tr.Trace(t.Context(), tids, work)
	if err != nil {
		t.Fatal(err)
	}
	if !has(again.Functions, "sys_mknodat") || has(again.Functions, "sys_sethostname") || again.Calls > trace.Calls/10 {
		t.Errorf("skipping all but one function: %d calls in place of %d, %d functions: %v", again.Calls, trace.Calls, len(again.Functions), again.Functions)
	}
	if err := tr.Skip(nil); err != nil {
		t.Fatal(err)
	}
	if again, err = tr.Trace(t.Context(), tids, work); err != nil || !has(again.Functions, "sys_sethostname") {
		t.Errorf("none is skipped any more, and %d functions, %v", len(again.Functions), err)
	}

	// With a kernel's least buffer, calls are lost, and that is told.
	if err := tr.write("buffer_size_kb", "4"); err != nil {
		t.Fatal(err)
	}
	if trace, err = tr.Trace(t.Context(), tids, work); err != nil {
		t.Fatal(err)
	}
	if trace.Lost == 0 {
		t.Errorf("nothing was lost of a buffer that is too small, with %d calls", trace.Calls)
	}

	// What a kill leaves is swept; here the tracer is there still.
	if err := Sweep(name, dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(instance); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s after Sweep: %v", instance, err)
	}
	if err := Sweep(name, dir); err != nil {
		t.Errorf("the second Sweep: %v", err)
	}
}

// TestInGuest runs TestTrace in a virtual machine, whose kernel traces.
func TestInGuest(t *testing.T) {
	if os.Getenv("FTRACE_GUEST") != "" {
		t.Skip("this is the guest")
	}
	g := guesttest.New(t)
	g.Command("go", "test", "-c", "-o", g.Layer+"/ftrace.test", ".")
	if err := os.Mkdir(g.Layer+"/tmp", 0o777); err != nil {
		t.Fatal(err)
	}
	spec := container.DefaultSpec([]string{"/ftrace.test", "-test.v", "-test.timeout=90s", "-test.run=TestTrace"}, []string{"FTRACE_GUEST=1"}, "/")
	g.Run(guesttest.Run{Name: "bench-test-ftrace", Spec: spec, Deadline: 2 * time.Minute, Least: 1})
}
