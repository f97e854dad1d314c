package step

import (
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// parentThread is the one thread that makes children.
var parentThread = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread() // and never unlock: see Clone
		for f := range work {
			f()
		}
	}()
	return work
})

func onParentThread(f func()) {
	done := make(chan struct{})
	parentThread() <- func() { f(); close(done) }
	<-done
}

// onOwnThread runs two functions on a thread that ends with the child that the
// second makes, whose pidfd it returns, -1 if it has made none; or with the
// process that this has forked.
func onOwnThread(prepare func() error, clone func() (pidfd int), s *state) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: so the thread ends with the goroutine
		if err := prepare(); err != nil {
			done <- err
			return
		}
		pidfd := clone()
		if pidfd < 0 {
			done <- nil
			return
		}
		own, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 3)
		done <- nil
		if err != nil {
			select {} // better a thread too many than a child that dies with it
		}
		awaitPIDFD(own)
		if pid := loadUint32(&s.second.pid); pid != 0 {
			if next, err := unix.PidfdOpen(int(pid), 0); err == nil { // else it has ended
				awaitPIDFD(next)
			}
		}
	}()
	return <-done
}

// awaitPIDFD waits for the end of a process, and closes its descriptor.
func awaitPIDFD(fd int) {
	defer unix.Close(fd)
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
			return
		}
	}
}

// OnParentThread runs f, which starts a child with PR_SET_PDEATHSIG, on the
// thread that lives as long as this process.
func OnParentThread(f func()) { onParentThread(f) }

// Self is a pidfd of this process, so that a child can see whether its parent
// still lives.
var Self = sync.OnceValues(func() (int, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	return fd, os.NewSyscallError("pidfd_open", err)
})
