package platform

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// stdio are the standard streams of a process or a container.
type stdio struct {
	in, out, err *os.File // the workload's ends
	output       *Output
}

// openStdio makes them: no input, a pipe that [Output] reads, and a file in
// memory (memfd_create(2)) that takes what the workload says when it fails.
func openStdio() (_ *stdio, err error) {
	s := &stdio{}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.in, err = os.Open(os.DevNull); err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	s.err = os.NewFile(uintptr(fd), "stderr")
	r, w, err := pipe()
	if err != nil {
		return nil, err
	}
	s.out = w
	s.output, err = newOutput(r)
	return s, err
}

// started closes the workload's ends that are not needed once it has them.
func (s *stdio) started() {
	s.in.Close()
	s.out.Close()
}

// stderr is the end of what the workload wrote to its standard error.
func (s *stdio) stderr() string {
	const most = 4 << 10
	st, err := s.err.Stat()
	if err != nil {
		return ""
	}
	b := make([]byte, min(st.Size(), most))
	n, _ := s.err.ReadAt(b, st.Size()-int64(len(b)))
	return strings.TrimSpace(string(b[:n]))
}

// failure is the error of a workload that has ended with status.
func (s *stdio) failure(status string) error {
	return &InstanceError{Err: fmt.Errorf("it ended by itself: %s", status), Output: s.stderr()}
}

func (s *stdio) Close() error {
	var errs []error
	if s.output != nil {
		errs = append(errs, s.output.Close())
	}
	for _, f := range []*os.File{s.in, s.out, s.err} {
		if f == nil {
			continue
		}
		if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
