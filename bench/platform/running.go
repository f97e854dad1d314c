package platform

import (
	"context"
	"os"
	"time"
)

// running is what every instance has that is a child process of ours.
type running struct {
	io     *stdio
	proc   *os.Process
	marks  []Mark
	done   chan struct{} // closed when it has ended, and status and code are set
	status string
	code   int // as os.ProcessState.ExitCode
}

// watch waits for the process in the background; the instance's Stop sees to it
// that it ends.
func watch(io *stdio, proc *os.Process, marks []Mark) *running {
	r := &running{io: io, proc: proc, marks: marks, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		st, err := proc.Wait()
		if err != nil {
			r.status, r.code = err.Error(), -1
			return
		}
		r.status, r.code = st.String(), st.ExitCode()
	}()
	return r
}

func (r *running) Output() *Output  { return r.io.output }
func (r *running) Timeline() []Mark { return r.marks }

func (r *running) Delay(ctx context.Context) (time.Duration, error) { return r.io.Delay(ctx) }

func (r *running) Err() error {
	if !endsSoon(r.done) {
		return nil
	}
	return r.io.failure(r.status)
}
