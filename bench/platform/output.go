package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/report/result/identity"
)

// firstLine is what the workload's first instruction writes.
const firstLine = "first-instruction"

// ErrEnded is why no more output comes.
var ErrEnded = errors.New("its output has ended")

// Output reads a workload's standard output, and stamps its lines with the
// time at which they came.
//
// One goroutine reads, in a blocking poll(2) and not through Go's network
// poller, which would add its own delay; it runs before the workload does, so
// that the stamp does not wait for the code that starts the instance. Close
// ends it.
type Output struct {
	r    *os.File
	wake *os.File // closing its other end ends the reader
	quit *os.File
	done chan struct{}
	mute bool // nothing comes after the first line (Info.NoSystem)

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each new line
	lines   []line
	err     error
}

type line struct {
	text []byte
	at   int64 // CLOCK_MONOTONIC
}

// maxOutput bounds what is kept of an instance that prints without end.
const maxOutput = 1 << 20

// newOutput reads from r, a descriptor in blocking mode, which it owns.
func newOutput(r *os.File) (*Output, error) {
	wake, quit, err := pipe()
	if err != nil {
		r.Close()
		return nil, err
	}
	o := &Output{r: r, wake: wake, quit: quit, done: make(chan struct{}), changed: make(chan struct{})}
	go o.read()
	return o, nil
}

// pipe is a pipe of which both ends are in blocking mode.
func pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

func (o *Output) read() {
	defer close(o.done)
	fds := []unix.PollFd{{Fd: int32(o.r.Fd()), Events: unix.POLLIN}, {Fd: int32(o.wake.Fd()), Events: unix.POLLIN}}
	buf := make([]byte, 64<<10)
	var rest []byte
	total := 0
	for {
		_, err := unix.Poll(fds, -1)
		at := now()
		if err == unix.EINTR {
			continue
		}
		if err == nil && fds[1].Revents != 0 {
			err = errors.New("it was closed")
		}
		n := 0
		if err == nil {
			n, err = unix.Read(int(o.r.Fd()), buf)
			if err == unix.EINTR || err == unix.EAGAIN {
				continue
			}
			if err == nil && n == 0 {
				err = ErrEnded
			}
		}
		if total += n; err == nil && total > maxOutput {
			err = fmt.Errorf("it printed more than %d bytes", maxOutput)
		}
		if err != nil {
			o.add(nil, err)
			return
		}
		rest = append(rest, buf[:n]...)
		var whole []line
		for {
			text, after, ok := bytes.Cut(rest, []byte("\n"))
			if !ok {
				break
			}
			whole = append(whole, line{bytes.Clone(text), at})
			rest = after
		}
		o.add(whole, nil)
	}
}

func (o *Output) add(ls []line, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, ls...)
	o.err = err
	close(o.changed)
	o.changed = make(chan struct{})
}

// line waits for line n, counted from 0.
func (o *Output) line(ctx context.Context, n int) (line, error) {
	for {
		o.mu.Lock()
		have, err, changed := o.lines, o.err, o.changed
		o.mu.Unlock()
		if n < len(have) {
			return have[n], nil
		}
		if err != nil {
			return line{}, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return line{}, context.Cause(ctx)
		}
	}
}

// find waits for a line with a text.
func (o *Output) find(ctx context.Context, text string) (line, error) {
	for n := 0; ; n++ {
		l, err := o.line(ctx, n)
		if err != nil || string(l.text) == text {
			return l, err
		}
	}
}

// FirstInstruction waits for the workload's first instruction, and returns
// when its signal came, in nanoseconds of CLOCK_MONOTONIC.
func (o *Output) FirstInstruction(ctx context.Context) (int64, error) {
	l, err := o.line(ctx, 0)
	if err != nil {
		return 0, fmt.Errorf("waiting for the workload's first instruction: %w", err)
	}
	if string(l.text) != firstLine {
		return 0, &InstanceError{Err: fmt.Errorf("its output begins with %.80q where the workload begins with %q", l.text, firstLine)}
	}
	return l.at, nil
}

// Line waits for line n of what it prints, counted from 0. Its end is ErrEnded.
func (o *Output) Line(ctx context.Context, n int) ([]byte, error) {
	l, err := o.line(ctx, n)
	return l.text, err
}

// Ended tells whether no more output comes: as a rule, because nobody is there to write.
func (o *Output) Ended() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err != nil
}

// begun tells whether a line has come.
func (o *Output) begun() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.lines) > 0
}

// Identity waits for what the workload says of itself.
func (o *Output) Identity(ctx context.Context) (*identity.Identity, error) {
	if o.mute {
		return nil, ErrNoSystem
	}
	l, err := o.line(ctx, 1)
	if err != nil {
		return nil, fmt.Errorf("waiting for the workload to say who it is: %w", err)
	}
	var id identity.Identity
	if err := json.Unmarshal(l.text, &id); err != nil {
		return nil, &InstanceError{Err: fmt.Errorf("the workload's account of itself, %.200q: %w", l.text, err)}
	}
	return &id, nil
}

// medianOf measures a delay several times.
func medianOf(measure func(n int) (time.Duration, error)) (time.Duration, error) {
	var all [15]time.Duration
	for n := range all {
		var err error
		if all[n], err = measure(n); err != nil {
			return 0, err
		}
	}
	slices.Sort(all[:])
	return all[len(all)/2], nil
}

// Close ends the reader.
func (o *Output) Close() error {
	o.quit.Close()
	<-o.done
	return errors.Join(o.r.Close(), o.wake.Close())
}

func now() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}
