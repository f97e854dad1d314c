package container

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// cldExited is CLD_EXITED, the si_code of a process that called exit(2)
// (sigaction(2)).
const cldExited = 1

// siginfoStatus reads si_code and si_status of a SIGCHLD siginfo_t, whose
// union x/sys/unix keeps to itself: after si_signo, si_errno and si_code (and
// padding, on 64 bits) come si_pid, si_uid, si_status.
func siginfoStatus(info *unix.Siginfo) (code, status int) {
	return int(info.Code), int(*(*int32)(unsafe.Add(unsafe.Pointer(info), 16+8)))
}
