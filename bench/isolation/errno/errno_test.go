package errno

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

func TestName(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{syscall.EPERM, "EPERM"},
		{&os.PathError{Op: "open", Path: "/", Err: syscall.ENOENT}, "ENOENT"},
		{syscall.Errno(524), "errno 524"}, // ENOTSUPP of the kernel, which has no name outside
		{errors.New("its output has ended"), "its output has ended"},
	} {
		if got := Name(tt.err); got != tt.want {
			t.Errorf("%v: %q, not %q", tt.err, got, tt.want)
		}
	}
}
