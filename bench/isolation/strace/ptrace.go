package strace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func ptrace(request, tid int, addr, data uintptr) error {
	if _, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), addr, data, 0, 0); e != 0 {
		return e
	}
	return nil
}

// ptraceInfo is PTRACE_GET_SYSCALL_INFO (Linux 5.3).
func ptraceInfo(tid int, info *[88]byte) error {
	if _, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), uintptr(len(info)), uintptr(unsafe.Pointer(info)), 0, 0); e != 0 {
		return e
	}
	return nil
}
