// Package breakage breaks what it runs in, within bounds of its own, and judges what became
// of everything else.
//
// [Do] runs inside an instance, and says what it is about to do before it does it: it may
// not live to say what came of it. [Breathe] runs beside it, as a witness: it says five
// times a second that it can still work, and a [Watch] outside listens to that. What all of
// them have seen is [Facts], of which [Facts.Judge] makes an outcome.
package breakage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
	"vmctr/bench/isolation/interference"
	"vmctr/report/result/isolation"
)

// The verbs of the program inside that do this package's work.
const (
	Verb        = "fault"        // Do
	WitnessVerb = "fault-breath" // Breathe
	NothingVerb = "fault-nothing"
)

// The bounds of the faults.
const (
	mostBytes = 1 << 30
	mostTime  = 2500 * time.Millisecond // of the forks
	mostForks = 2000
	step      = 4 << 20 // of memory
	// MostTime is how long any of them may take, in a machine that is emulated. Whoever
	// waits for one waits no longer.
	MostTime = 20 * time.Second
)

// A Report is a line that [Do] prints.
type Report struct {
	// Trying is what is done next, Call what was done; Errno names the error of that, ""
	// for none.
	Trying string `json:"trying,omitempty"`
	Call   string `json:"call,omitempty"`
	Errno  string `json:"errno,omitempty"`
	// Bytes were touched so far.
	Bytes int64 `json:"bytes,omitempty"`
	// Forks were started, Most at once; Refused could not be, with Errno.
	Forks   int64 `json:"forks,omitempty"`
	Most    int64 `json:"most,omitempty"`
	Refused int64 `json:"refused,omitempty"`
	// Done says that it has come to its own bound, and Late that this was MostTime.
	Done bool `json:"done,omitempty"`
	Late bool `json:"late,omitempty"`
}

// Do does a fault, of isolation.FaultKinds. With ask a panic is only asked for as far as it
// cannot come: whether it would be allowed.
func Do(kind string, ask bool, out io.Writer) error {
	var mu sync.Mutex
	var last Report
	say := func(r Report) error {
		mu.Lock()
		defer mu.Unlock()
		last = r
		return json.NewEncoder(out).Encode(r)
	}
	do := map[string]func() error{
		"crash":  func() error { return crash(say) },
		"memory": func() error { return exhaust(say) },
		"forks":  func() error { return bomb(say) },
		"panic":  func() error { return panics(ask, say) },
	}[kind]
	if do == nil {
		return fmt.Errorf("there is no fault %q", kind)
	}
	time.AfterFunc(MostTime, func() {
		mu.Lock() // and never unlock: it says no more
		json.NewEncoder(out).Encode(Report{Bytes: last.Bytes, Late: true})
		os.Exit(3)
	})
	// Nobody wants a core file of it.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	return do()
}

// crash reads where nothing may be read. Go would make a tidy end of it: so the signal gets
// back the action that it has by default. The kernel forces this signal upon the first
// process of a PID namespace as well, which no other process could end with it.
func crash(say func(Report) error) error {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	var action [4]uint64 // struct sigaction of the kernel: SIG_DFL, no flags, no mask
	if _, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGSEGV), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0); e != 0 {
		return e
	}
	if err := say(Report{Trying: "reading where there is no memory"}); err != nil {
		return err
	}
	return fmt.Errorf("it read %d where there is no memory", page[0])
}

// exhaust takes memory, and says so now and then.
func exhaust(say func(Report) error) error {
	for n := int64(0); n < mostBytes; n += step {
		if n%(4*step) == 0 {
			if err := say(Report{Bytes: n}); err != nil {
				return err
			}
		}
		b, err := unix.Mmap(-1, 0, step, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return say(Report{Call: "mmap", Errno: errno.Name(err), Bytes: n, Done: true})
		}
		for at := 0; at < step; at += os.Getpagesize() {
			b[at] = 1
		}
	}
	return say(Report{Bytes: mostBytes, Done: true})
}

// bomb starts processes.
func bomb(say func(Report) error) error {
	if err := say(Report{Trying: "forking"}); err != nil {
		return err
	}
	r := interference.Do(context.Background(), interference.Order{Kind: "fork", For: mostTime, Processes: mostForks, Life: mostTime})
	if r.Error != "" {
		return errors.New(r.Error)
	}
	return say(Report{Forks: r.Did, Most: r.Most, Refused: r.Refused, Errno: r.Errno, Done: true})
}

// panics tries to crash the kernel, or to have it restart.
func panics(ask bool, say func(Report) error) error {
	for _, a := range []struct {
		call    string
		do, ask func() error // ask is harmless
	}{
		{
			"writing c to /proc/sysrq-trigger",
			func() error { return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0) },
			func() error { return open("/proc/sysrq-trigger", unix.O_WRONLY) },
		},
		{
			"reboot(2)",
			func() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) },
			func() error { return wrongly(unix.SYS_REBOOT, 0, 0, 0, 0) }, // without the magic numbers
		},
		{"opening /dev/mem to write", func() error { return open("/dev/mem", unix.O_RDWR) }, nil},
		{"kexec_load(2)", func() error { return wrongly(unix.SYS_KEXEC_LOAD, 0, 0, 0, 1<<14) }, nil}, // a flag that there is not
	} {
		do, call := a.do, a.call
		if ask && a.ask != nil {
			do, call = a.ask, a.call+" (asked for, and not done)"
		}
		if err := say(Report{Trying: call}); err != nil {
			return err
		}
		r := Report{Call: call}
		if err := do(); err != nil {
			r.Errno = errno.Name(err)
		}
		if err := say(r); err != nil {
			return err
		}
	}
	return say(Report{Done: true})
}

// wrongly makes a system call with arguments that do nothing: who may not make it gets
// EPERM, before the kernel looks at the rest, and who may gets EINVAL, which is no error here.
func wrongly(call, a, b, c, d uintptr) error {
	if _, _, e := unix.Syscall6(call, a, b, c, d, 0, 0); e != 0 && e != unix.EINVAL {
		return e
	}
	return nil
}

func open(path string, how int) error {
	fd, err := unix.Open(path, how|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// A Line is what the arena prints of the faults that it has done in its machine: of the one
// that comes next, and what became of it.
type Line struct {
	Next  string           `json:"next,omitempty"` // "process/crash"
	Fault *isolation.Fault `json:"fault,omitempty"`
}
