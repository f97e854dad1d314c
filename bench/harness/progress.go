package harness

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Progress shows how far the run is and how long it still takes: a live bar on
// a terminal, a plain line now and then otherwise. A nil Progress is silent.
type Progress struct {
	w     io.Writer
	mu    sync.Mutex
	begin time.Time
	total time.Duration // the budget of the whole run
	now   string
	last  time.Time

	bars *mpb.Progress
	bar  *mpb.Bar
	stop chan struct{}
	done chan struct{}
}

// NewProgress starts to show progress on w. The total is the time that the run
// may take.
func NewProgress(w io.Writer, terminal bool, total time.Duration) *Progress {
	p := &Progress{w: w, begin: time.Now(), total: total, now: "preparing"}
	if !terminal {
		return p
	}
	// AutoRefresh: whether it is a terminal is for the caller to say.
	p.bars = mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.WithWidth(40), mpb.WithRefreshRate(200*time.Millisecond))
	p.bar = p.bars.New(int64(total), mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]"),
		mpb.BarRemoveOnComplete(),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + p.status() })))
	p.stop, p.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(p.done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-tick.C:
				// Never to the end: a complete bar would be removed.
				p.bar.SetCurrent(min(int64(time.Since(p.begin)), int64(p.total)-1))
			}
		}
	}()
	return p
}

func (p *Progress) status() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("%s, %s", p.left(), p.now)
}

// left says how long the run still takes, at most.
func (p *Progress) left() string {
	left := (p.total - time.Since(p.begin)).Round(time.Second)
	if left <= 0 {
		return "almost done"
	}
	return fmt.Sprintf("%v left at most", left)
}

// Step says what is measured now.
func (p *Progress) Step(experiment, platform string, round int, warmup bool) {
	if p == nil {
		return
	}
	kind := "round"
	if warmup {
		kind = "warm-up"
	}
	p.mu.Lock()
	p.now = fmt.Sprintf("%s %s %d: %s", experiment, kind, round+1, platform)
	show := p.bars == nil && time.Since(p.last) >= 10*time.Second
	if show {
		p.last = time.Now()
	}
	p.mu.Unlock()
	if show {
		fmt.Fprintf(p.w, "bench: %s\n", p.status())
	}
}

// Say prints a line beside the bar.
func (p *Progress) Say(format string, args ...any) {
	if p == nil {
		return
	}
	line := fmt.Sprintf("bench: "+format+"\n", args...)
	if p.bars != nil {
		io.WriteString(p.bars, line)
		return
	}
	io.WriteString(p.w, line)
}

// Close takes the bar away.
func (p *Progress) Close() {
	if p == nil || p.bars == nil {
		return
	}
	close(p.stop)
	<-p.done
	p.bar.Abort(true)
	p.bars.Wait()
	p.bars = nil
}
