// Package strace counts the system calls that processes begin, by ptrace(2).
//
// It traces from a process of its own (the program inside, started on the host): a tracer
// gets its tracees' stops and ends by wait(2), and in a program that has started these
// processes it would get them in that program's place. When that process ends, however
// it does, the kernel lets all tracees go on as before.
package strace

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The verbs of the program that trace: Verb with the PIDs of the processes, and EndVerb of
// the process by which it is told to end.
const (
	Verb    = "strace"
	EndVerb = "strace-end"
)

// Counts are what was traced. Numbers are written as text.
type Counts struct {
	Calls    map[string]int // by number
	Ioctls   map[string]int // by request: "0xae80"
	Threads  map[string]int // by name
	Untraced map[string]int
}

// attachWithin is how long it may take until all threads are traced.
const attachWithin = 10 * time.Second

// Trace traces the threads of processes, and of all that they start, until its input ends.
// It says on out, a line each, when all are traced and what it has counted.
func Trace(pids []int, out io.Writer) error {
	runtime.LockOSThread() // ptrace is about a thread
	t := &tracer{counts: Counts{map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}}, known: map[int]bool{}}
	// This child ends when the input does, and so wakes the tracer, which waits for children.
	end := exec.Command("/proc/self/exe", EndVerb)
	end.Stdin = os.Stdin
	if err := end.Start(); err != nil {
		return err
	}
	t.end = end.Process.Pid
	if err := t.attach(pids); err != nil {
		return err
	}
	fmt.Fprintln(out, `{"tracing":true}`)
	if err := t.run(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(t.counts)
}

// End waits for the end of its input.
func End() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

type tracer struct {
	counts Counts
	known  map[int]bool // threads, by ID
	end    int
}

// attach seizes all threads. One that is made meanwhile by a thread that is traced already
// is traced from its beginning; one of another is found by looking again.
func (t *tracer) attach(pids []int) error {
	deadline := time.Now().Add(attachWithin)
	for again := true; again; {
		if again = false; time.Now().After(deadline) {
			return fmt.Errorf("there are new threads all the time: not all were traced within %v", attachWithin)
		}
		for _, pid := range pids {
			tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
			for _, path := range tasks {
				tid, err := strconv.Atoi(filepath.Base(path))
				if err != nil || t.known[tid] {
					continue
				}
				again = true
				if err := t.seize(tid); err != nil {
					return err
				}
			}
		}
	}
	if len(t.counts.Threads) == 0 {
		return errors.New("there is no thread to trace")
	}
	return nil
}

// options have what a tracee starts traced too, and tell stops at system calls from others
// (ptrace(2), PTRACE_SETOPTIONS).
const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC

func (t *tracer) seize(tid int) error {
	t.known[tid] = true
	name := comm(tid)
	switch err := ptrace(unix.PTRACE_SEIZE, tid, 0, options); err {
	case nil:
	case unix.ESRCH:
		return nil // it has ended
	case unix.EPERM:
		// A thread of the kernel's that works for the process, such as one of vhost.
		t.counts.Untraced[name]++
		return nil
	default:
		return fmt.Errorf("ptrace(PTRACE_SEIZE) of thread %d, %s: %w", tid, name, err)
	}
	t.counts.Threads[name]++
	if err := ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("ptrace(PTRACE_INTERRUPT) of thread %d, %s: %w", tid, name, err)
	}
	return nil
}

// run handles stops until the child ends that says so.
func (t *tracer) run() error {
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("waiting for what is traced: %w", err)
		case tid == t.end:
			return nil
		case !status.Stopped():
			continue // it has ended
		}
		if !t.known[tid] { // started by one that is traced
			t.known[tid] = true
			t.counts.Threads[comm(tid)]++
		}
		t.stopped(tid, status)
	}
}

// stopped counts what a thread has stopped for, and lets it go on. A thread that is gone
// meanwhile is no error.
func (t *tracer) stopped(tid int, status unix.WaitStatus) {
	const eventStop = 128 // PTRACE_EVENT_STOP
	signal := status.StopSignal()
	switch event := int(status) >> 16; {
	case signal == unix.SIGTRAP|0x80:
		t.count(tid)
		signal = 0
	case event == eventStop && signal != unix.SIGTRAP:
		// It is to stop as job control wants it, and hears of the end of that.
		ptrace(unix.PTRACE_LISTEN, tid, 0, 0)
		return
	case event != 0:
		signal = 0
	}
	ptrace(unix.PTRACE_SYSCALL, tid, 0, uintptr(signal))
}

// count counts the system call that a thread begins. At its end it stops once more.
func (t *tracer) count(tid int) {
	// struct ptrace_syscall_info: op in its first byte, and of an entry the number at 24 and the
	// arguments from 32 (linux/ptrace.h).
	var info [88]byte
	const entry = 1
	if err := ptraceInfo(tid, &info); err != nil || info[0] != entry {
		return
	}
	nr := binary.NativeEndian.Uint64(info[24:])
	t.counts.Calls[strconv.FormatUint(nr, 10)]++
	if nr == unix.SYS_IOCTL {
		t.counts.Ioctls["0x"+strconv.FormatUint(binary.NativeEndian.Uint64(info[40:])&0xffffffff, 16)]++
	}
}

func comm(tid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", tid))
	return strings.TrimSpace(string(b))
}
