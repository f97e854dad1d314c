package interference

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
)

// lifetime is how long a process of the bomb lives unless its order says otherwise, whatever
// becomes of who started it.
const lifetime = 250 * time.Millisecond

// forkOn starts processes, from one thread for each processor, with never more than the
// order's at once. Each works for a moment and dies of itself.
func forkOn(ctx context.Context, o Order) (Report, error) {
	threads := runtime.NumCPU()
	each := o.Processes / threads
	if each < 1 {
		return Report{}, errors.New("its order allows it no process for each processor")
	}
	// The child of a raw clone has this thread alone: no collector must have begun.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	spareThreads(8)
	parts := make([]Report, threads)
	var all sync.WaitGroup
	var alive atomic.Int64 // of all threads
	for i := range threads {
		all.Go(func() { parts[i] = forkThread(ctx, each, cmp.Or(o.Life, lifetime), &alive) })
	}
	all.Wait()
	var r Report
	for _, p := range parts {
		r.Did, r.Most, r.Refused, r.Ceiling = r.Did+p.Did, max(r.Most, p.Most), r.Refused+p.Refused, r.Ceiling || p.Ceiling
		if p.Errno != "" {
			r.Errno = p.Errno
		}
	}
	return r, nil
}

// spareThreads has the Go runtime make threads ahead, which it keeps: once the limit of
// processes is reached it would get none, and end the program.
func spareThreads(n int) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			runtime.LockOSThread() // so that each has a thread at the same time
			defer runtime.UnlockOSThread()
			rest := unix.NsecToTimespec(int64(5 * time.Millisecond))
			unix.Nanosleep(&rest, nil)
		})
	}
	all.Wait()
}

// forkThread is one thread's part. It returns when all its children are gone.
func forkThread(ctx context.Context, most int, life time.Duration, all *atomic.Int64) (r Report) {
	// PR_SET_PDEATHSIG is about the thread: so it must not end before its children.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	parent := unix.Getpid()
	end, _ := ctx.Deadline()
	alive := 0
	reap := func(wait bool) {
		for alive > 0 {
			flags := unix.WNOHANG
			if wait {
				flags = 0
			}
			pid, err := unix.Wait4(-1, nil, flags|unix.WALL|unix.WNOTHREAD, nil)
			if err == unix.EINTR {
				continue
			}
			if err != nil || pid <= 0 {
				return
			}
			alive--
			all.Add(-1)
		}
	}
	for ctx.Err() == nil {
		reap(false)
		if alive >= most {
			r.Ceiling = true
			time.Sleep(time.Millisecond)
			continue
		}
		_, e := spawn(uintptr(parent), int64(time.Millisecond), int64(min(life, max(0, time.Until(end)))))
		if e != 0 {
			r.Refused, r.Errno = r.Refused+1, errno.Name(e)
			continue
		}
		alive++
		r.Did, r.Most = r.Did+1, max(r.Most, all.Add(1))
	}
	reap(true)
	return r
}

// spawn forks (clone(2) with nothing shared). The child has a copy of a Go program of
// which all other threads are missing: it may make system calls and nothing else, no
// function that could need more stack or another thread. It works for a while, sleeps, and
// ends.
//
//go:nosplit
//go:norace
//go:noinline
func spawn(parent uintptr, work, life int64) (pid uintptr, e syscall.Errno) {
	pid, _, e = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 || pid != 0 {
		return pid, e
	}
	var begin, now, rest unix.Timespec
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	if is, _, _ := syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0); is == parent {
		syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&begin)), 0)
		for {
			syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&now)), 0)
			if (now.Sec-begin.Sec)*1e9+now.Nsec-begin.Nsec >= work {
				break
			}
		}
		rest.Sec, rest.Nsec = life/1e9, life%1e9
		syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&rest)), 0, 0)
	}
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}
