package calls

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the filters in force say of a call can be found out without executing it. All
// filters of a thread are run, and the most restrictive answer counts (seccomp(2)). So we
// add one that hands our calls to a listener, which refuses them with an error that nobody
// else gives. To kill and to give an errno go before that: if such an answer comes back, it
// is another filter's.
//
// A call is ours if its last argument is a certain number; the others are those with which
// it would be executed. A filter that decides by arguments is asked for these alone.

// ours is the last argument of our calls.
const ours = 0x6c6f_6f6b_6173_6b21

// rare is the listener's error. No filter and no call gives it (Xenix).
const rare = unix.ENOTNAM

// notification and response are struct seccomp_notif and seccomp_notif_resp of
// linux/seccomp.h.
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type response struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// SECCOMP_IOCTL_NOTIF_RECV and _SEND.
const (
	notifyReceive = 3<<30 | unsafe.Sizeof(notification{})<<16 | '!'<<8
	notifySend    = 3<<30 | unsafe.Sizeof(response{})<<16 | '!'<<8 | 1
)

// filter answers for each number that is read whether it is let through.
func filter(in io.Reader, out io.Writer) error {
	// The listener is to run while this thread waits for it, also where there is one CPU.
	runtime.GOMAXPROCS(4)
	fd, err := listen()
	if err != nil {
		return err
	}
	go refuse(fd)
	return answer(in, out, func(number int) string {
		args := arguments(number)
		_, _, e := syscall.Syscall6(uintptr(number), args[0], args[1], args[2], args[3], args[4], ours)
		if e == rare {
			return passed
		}
		return errnoName(e)
	})
}

// listen puts our filter on this thread, and gives the listener's descriptor.
func listen() (uintptr, error) {
	// Who has no CAP_SYS_ADMIN may add filters on this condition.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, os.NewSyscallError("prctl", err)
	}
	const (
		load     = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		is       = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret      = unix.BPF_RET | unix.BPF_K
		last     = 16 + 5*8 // in struct seccomp_data, its lower half first
		low      = ours & 0xffffffff
		high     = ours >> 32
		listener = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	)
	program := []unix.SockFilter{
		{Code: load, K: last},
		{Code: is, K: low, Jf: 3},
		{Code: load, K: last + 4},
		{Code: is, K: high, Jf: 1},
		{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, e := syscall.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, listener, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if e != 0 {
		return 0, fmt.Errorf("a filter with a listener: %w (of all filters of a thread one can have a listener)", os.NewSyscallError("seccomp", e))
	}
	return fd, nil
}

// refuse refuses all calls of which the listener is told, for as long as the process lives.
func refuse(fd uintptr) {
	for {
		n := notification{}
		if _, _, e := syscall.Syscall(unix.SYS_IOCTL, fd, notifyReceive, uintptr(unsafe.Pointer(&n))); e == unix.EINTR || e == unix.ENOENT {
			continue
		} else if e != 0 {
			fmt.Fprintln(os.Stderr, "the listener:", e)
			os.Exit(1)
		}
		r := response{id: n.id, errno: -int32(rare)}
		syscall.Syscall(unix.SYS_IOCTL, fd, notifySend, uintptr(unsafe.Pointer(&r)))
	}
}
