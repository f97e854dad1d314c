package breakage

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/report/result/isolation"
)

// The pace of a witness, and for how long it goes on at most.
const (
	pace    = 200 * time.Millisecond
	witness = 10 * time.Minute
)

// late is how long a witness may be silent, unless it was so before: far longer than it
// takes to start a process in an emulated machine on a busy host.
const late = 2 * time.Second

// A Beat is a line of a witness.
type Beat struct {
	Error string `json:"error,omitempty"` // why it could not work
}

// Breathe does what others need too, again and again, and says each time whether it could:
// it takes a MiB of memory, and starts a process.
func Breathe(out io.Writer) error {
	say := json.NewEncoder(out)
	for begin := time.Now(); time.Since(begin) < witness; {
		next := time.Now().Add(pace)
		var b Beat
		if err := breath(); err != nil {
			b.Error = err.Error()
		}
		if err := say.Encode(b); err != nil {
			return err
		}
		time.Sleep(time.Until(next))
	}
	return nil
}

func breath() error {
	b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	defer unix.Munmap(b)
	p, err := os.StartProcess("/proc/self/exe", []string{"inside", NothingVerb}, &os.ProcAttr{})
	if err != nil {
		return err
	}
	st, err := p.Wait()
	if err == nil && !st.Success() {
		err = fmt.Errorf("the process that it started: %v", st)
	}
	return err
}

// A Watch listens to a witness.
type Watch struct {
	who   string
	ready chan struct{}

	mu     sync.Mutex
	last   time.Time // when it was heard last
	before time.Duration
	during bool
	w      isolation.Witness
}

// NewWatch is for a witness that has just begun. who is isolation.Witness's.
func NewWatch(who string) *Watch { return &Watch{who: who, ready: make(chan struct{})} }

// Ready waits until the witness has been heard for a while: how often when nothing breaks
// is what it is held against.
func (w *Watch) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the witness %s was not heard %d times within %v", w.who, enough, patience))
	defer cancel()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

const (
	enough   = 5 // beats
	patience = 20 * time.Second
)

// Heard takes what the witness says.
func (w *Watch) Heard(b Beat) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.silence(now)
	w.last = now
	if w.w.Beats++; w.w.Beats == enough && !w.during {
		close(w.ready)
	}
	if b.Error != "" {
		w.w.Failed++
		w.w.Error = b.Error
	}
}

// Listen gives it what a witness prints, until that ends.
func (w *Watch) Listen(out io.Reader) {
	for in := bufio.NewScanner(out); in.Scan(); {
		var b Beat
		if json.Unmarshal(in.Bytes(), &b) == nil { // its first line is none
			w.Heard(b)
		}
	}
	w.Ended()
}

func (w *Watch) silence(now time.Time) {
	if w.last.IsZero() {
		return // it starts
	}
	gap := now.Sub(w.last)
	if w.during {
		w.w.LongestNs = max(w.w.LongestNs, int64(gap))
	} else {
		w.before = max(w.before, gap)
	}
}

// Ended says that nothing more comes of it.
func (w *Watch) Ended() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.w.Ended = true
}

// Begin is the begin of a fault.
func (w *Watch) Begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	ended := w.w.Ended
	w.w, w.during = isolation.Witness{Who: w.who, BeforeNs: int64(w.before), Ended: ended}, true
}

// Result is what it has said since. A silence that lasts counts.
func (w *Watch) Result() isolation.Witness {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silence(time.Now())
	return w.w
}

// Settle is how long a witness is still listened to after a fault.
const Settle = 2 * pace
