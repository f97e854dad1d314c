package vm

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// A workOf is what a process, QEMU, does.
type workOf struct {
	stopped bool // by a signal
	// busy is the share of the time in which its threads ran or waited for a CPU, those
	// of the host being what they are: a guest's CPU that goes round a loop makes it 1
	// and more, one that halts until an interrupt comes next to 0.
	busy float64
	err  error
}

func (w workOf) String() string {
	switch {
	case w.err != nil:
		return fmt.Sprintf("what it does is not known (%v)", w.err)
	case w.busy < 0.1:
		return fmt.Sprintf("its CPU halts, as one does that waits for an interrupt (busy for %.0f%% of the time)", 100*w.busy)
	}
	return fmt.Sprintf("its CPU is busy (for %.0f%% of the time)", 100*w.busy)
}

// watch looks at a process for a moment.
func watch(pid int) workOf {
	const moment = 200 * time.Millisecond
	p, err := procfs.NewProc(pid)
	if err != nil {
		return workOf{err: err}
	}
	stat, err := p.Stat()
	if err != nil || stat.State == "T" || stat.State == "t" {
		return workOf{stopped: err == nil, err: err}
	}
	before, err := demand(pid)
	begin := time.Now()
	time.Sleep(moment)
	after, errAfter := demand(pid)
	if err = errors.Join(err, errAfter); err == nil && after == 0 {
		err = errors.New("this host's kernel keeps no account of it")
	}
	return workOf{busy: float64(after-before) / float64(time.Since(begin)), err: err}
}

// demand is how long the threads of a process have run or have waited for a CPU, in
// nanoseconds (/proc/PID/task/*/schedstat; Documentation/scheduler/sched-stats.rst).
func demand(pid int) (ns uint64, err error) {
	threads, err := procfs.AllThreads(pid)
	if err != nil {
		return 0, err
	}
	for _, t := range threads {
		s, err := t.Schedstat()
		if err != nil {
			continue // it has ended meanwhile
		}
		ns += s.RunningNanoseconds + s.WaitingNanoseconds
	}
	return ns, nil
}
