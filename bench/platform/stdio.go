package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/peers/peer"
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
	if s.in, err = peer.NoInput(); err != nil {
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

// Delay measures the way through a pipe: from before a line is written to the
// time that it is stamped with, the median of a few. The pipe is another than
// the workload's, and read in the same way.
func (s *stdio) Delay(ctx context.Context) (time.Duration, error) {
	r, w, err := pipe()
	if err != nil {
		return 0, err
	}
	defer w.Close()
	o, err := newOutput(r)
	if err != nil {
		return 0, err
	}
	defer o.Close()
	return medianOf(func(n int) (time.Duration, error) {
		// The reader has gone to sleep again, as it is when a workload starts.
		time.Sleep(time.Millisecond)
		begin := now()
		if _, err := w.WriteString("\n"); err != nil {
			return 0, err
		}
		l, err := o.line(ctx, n)
		return time.Duration(l.at - begin), err
	})
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
