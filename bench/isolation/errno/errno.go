// Package errno names the kernel's errors, as evidence has them: "EPERM" (errno(3)).
package errno

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Name is that of a system call's error, or what another error says.
func Name(err error) string {
	var e syscall.Errno
	if !errors.As(err, &e) {
		return err.Error()
	}
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return fmt.Sprintf("errno %d", int(e)) // there are some that only the kernel itself knows
}
