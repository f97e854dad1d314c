package interference

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
)

// alloc has a process of its own take memory. If the kernel kills that, the next one goes on,
// as a service that is restarted.
func alloc(ctx context.Context, o Order) (r Report, err error) {
	// The death of the thread that started it kills it (PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	deadline, _ := ctx.Deadline()
	for ctx.Err() == nil {
		begin := time.Now()
		cmd := exec.CommandContext(ctx, "/proc/self/exe", HogVerb, strconv.FormatInt(o.Bytes, 10), strconv.FormatInt(int64(time.Until(deadline)), 10))
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err := cmd.Run()
		if cmd.ProcessState == nil {
			r.Refused, r.Errno = r.Refused+1, errno.Name(err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Millisecond):
			}
			continue
		}
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			r.Most = max(r.Most, u.Maxrss<<10)
		}
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		switch {
		case ctx.Err() != nil: // it was told to stop
			r.Ceiling = r.Ceiling || r.Most >= o.Bytes
		case status.Signaled() && status.Signal() == syscall.SIGKILL:
			r.Killed++
		case status.ExitStatus() == hogRefused:
			r.Refused, r.Errno = r.Refused+1, "ENOMEM"
		default:
			return r, fmt.Errorf("the process that allocates has ended after %v: %v", time.Since(begin).Round(time.Millisecond), err)
		}
		r.Did++
	}
	return r, nil
}

// hogRefused is the exit status of a hog that gets no memory.
const hogRefused = 7

// Hog takes memory, page by page, until it has so many bytes; then it gives all back and
// begins anew.
func Hog(bytes int64, d time.Duration) error {
	bytes, d = min(bytes, MostBytes), min(d, MostTime)
	time.AfterFunc(d, func() { os.Exit(0) })
	restrain(Order{For: d})
	const step = 4 << 20
	if bytes < step {
		return errors.New("its order allows it no memory")
	}
	for {
		var held [][]byte
		for int64(len(held)+1)*step <= bytes {
			b, err := unix.Mmap(-1, 0, step, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
			if err != nil {
				if len(held) == 0 {
					os.Exit(hogRefused)
				}
				break
			}
			for at := 0; at < step; at += 4096 {
				b[at] = 1
			}
			held = append(held, b)
		}
		for _, b := range held {
			if err := unix.Munmap(b); err != nil {
				return err
			}
		}
	}
}
