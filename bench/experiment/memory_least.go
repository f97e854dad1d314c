package experiment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result"
)

// memoryLeast is the least memory in which the workload still starts: the limit of a
// container's control group, or the RAM of a machine. It is searched for in a fixed list
// of sizes by bisection, one try a round; the tries that are left then go to the two
// sizes between which the border lies, so that each has been tried several times.
var memoryLeast = Experiment{
	Name:     "memory-least",
	About:    "the smallest memory limit, and the smallest RAM of a machine, in which the workload still starts",
	Weight:   6,
	From:     "standard",
	most:     12,
	deadline: 90 * time.Second, // a try has its own, and what is prepared for it, and its end, take time as well
	trials: func(s Subject, _ Limits) []harness.Trial {
		// A plain process has no limit: its memory is the host's.
		if _, none := s.Prepared.Facts().Details["limits"]; none {
			return nil
		}
		patience, sizes := 5*time.Second, limitSizes
		if isMachine(s) {
			patience, sizes = 20*time.Second, ramSizes
		}
		t := &tries{subject: s, patience: patience, search: newSearch(below(sizes, s.Workload.Memory))}
		return []harness.Trial{{Measure: t.measure}}
	},
}

// The sizes that are tried. They are 1.5 times or less apart, in round numbers, so the
// answer is no finer than that.
var (
	limitSizes = []int64{ // of a control group
		512 << 10, 768 << 10, 1 << 20, 1536 << 10, 2 << 20, 2560 << 10, 3 << 20, 3584 << 10, 4 << 20, 5 << 20, 6 << 20, 7 << 20, 8 << 20, 10 << 20, 12 << 20,
		14 << 20, 16 << 20, 20 << 20, 24 << 20, 32 << 20, 48 << 20, 64 << 20, 96 << 20, 128 << 20, 192 << 20, 256 << 20,
	}
	ramSizes = []int64{ // of a machine
		1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20, 24 << 20, 32 << 20, 40 << 20, 48 << 20, 56 << 20, 64 << 20, 72 << 20, 80 << 20, 88 << 20, 96 << 20,
		104 << 20, 112 << 20, 120 << 20, 128 << 20, 144 << 20, 160 << 20, 192 << 20, 224 << 20, 256 << 20,
	}
)

// below are the sizes below that in which the workload has been seen to start, and that.
func below(sizes []int64, seen int64) []int64 {
	n := 0
	for n < len(sizes) && sizes[n] < seen {
		n++
	}
	return append(sizes[:n:n], seen)
}

// What becomes of a try.
const (
	starts  = "starts"  // it has said who it is and, where it can be reached, served a request
	killed  = "killed"  // the kernel ended it since memory was out
	gaveUp  = "gave up" // it ended by itself: a program that gets no memory, a kernel that panics
	stuck   = "stuck"   // neither, within the deadline of the try
	refused = "refused" // the runtime, or QEMU, would not start it
)

type tries struct {
	subject  Subject
	patience time.Duration
	search   *search
}

// measure is one try.
func (t *tries) measure(ctx context.Context) (s result.Sample, err error) {
	at := t.search.next()
	size := t.search.sizes[at]
	s.Values = map[string]float64{"memory_bytes": float64(size)}
	begin := harness.Now()
	s.Outcome, s.Why, err = t.try(ctx, size, s.Values)
	if err != nil {
		return s, err
	}
	s.Values["try_ns"] = float64(harness.Now() - begin)
	t.search.record(at, s.Outcome == starts)
	return s, nil
}

// try starts the workload with so much memory. An error is that of the harness: it cannot
// be told what became of it.
func (t *tries) try(ctx context.Context, size int64, values map[string]float64) (outcome, why string, err error) {
	tooLong := fmt.Errorf("it was not up within %v", t.patience)
	limited, cancel := context.WithTimeoutCause(ctx, t.patience, tooLong)
	defer cancel()
	what := func(seen error, i platform.Instance) (string, string, error) {
		if ctx.Err() != nil {
			return "", "", context.Cause(ctx)
		}
		o, w := classify(seen, i, limited.Err() != nil)
		return o, w, nil
	}
	p, err := t.subject.Variant(limited, fmt.Sprintf("%d KiB", size>>10), func(w *platform.Workload) error { w.Memory = size; return nil })
	if err != nil {
		return what(err, nil)
	}
	begin := harness.Now()
	i, err := p.Start(limited)
	if err != nil {
		return what(err, nil)
	}
	defer func() {
		if stopErr := i.Stop(context.WithoutCancel(ctx)); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stopping the instance: %w", stopErr))
		}
	}()
	err = comesUp(limited, i, begin, values)
	if err == nil {
		return starts, "", nil
	}
	return what(err, i)
}

// comesUp waits until the workload has said who it is, and served a request, as far as it can.
func comesUp(ctx context.Context, i platform.Instance, begin int64, values map[string]float64) error {
	at, err := i.Output().FirstInstruction(ctx)
	if err != nil {
		return err
	}
	values["first_instruction_ns"] = float64(at - begin)
	if _, err := i.Output().Identity(ctx); err != nil {
		if errors.Is(err, platform.ErrNoSystem) {
			return nil
		}
		return err
	}
	address, err := i.Address(ctx)
	if errors.Is(err, platform.ErrNoNetwork) {
		return nil
	}
	if err == nil {
		_, _, err = firstResponse(ctx, address, begin)
	}
	return err
}

// mostWhy bounds what is kept of a console.
const mostWhy = 600

// short is a text of which only so much is kept.
func short(text string) string {
	text = strings.TrimSpace(text)
	if n := len(text); n > mostWhy { // its beginning says what happened, and its end why
		text = strings.ToValidUTF8(text[:mostWhy/3]+" ... "+text[n-mostWhy*2/3:], "")
	}
	return text
}

// classify tells what became of an instance that is not up; it is nil where there is none.
func classify(seen error, i platform.Instance, late bool) (outcome, why string) {
	why = seen.Error()
	ended := platform.IsInstanceFault(seen)
	var kills int64
	if i != nil {
		// The group says what its processes cannot. It may be gone with them.
		if c, ok := i.(platform.Charged); ok {
			kills, _ = c.OutOfMemoryKills()
		}
		if !late {
			if own := i.Err(); own != nil {
				why, ended = own.Error(), true
			}
		}
	}
	switch {
	case kills > 0 || saysOutOfMemory(why):
		return killed, short(why)
	case late:
		return stuck, short(why)
	case ended:
		return gaveUp, short(why)
	}
	return refused, short(why)
}

// saysOutOfMemory tells by the words of a runtime, or of a guest's kernel, that processes
// were killed for want of memory. Before an instance is stopped, nobody else sends SIGKILL, of
// which a runtime says 128 + 9.
func saysOutOfMemory(text string) bool {
	text = strings.ToLower(text)
	for _, words := range []string{"over its memory limit", "out of memory: killed", "out of memory and no killable", "system is deadlocked on memory", "oom-kill", "oom killed", "signal: killed", "exit status 137"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// A search looks for the smallest of some sizes in which the workload starts. That it
// starts in the largest is known.
type search struct {
	sizes []int64
	seen  []struct{ started, failed int }
	fails int // the largest size that counts as too small; -1 for none
	opens int // the smallest that counts as large enough
}

func newSearch(sizes []int64) *search {
	return &search{sizes: sizes, seen: make([]struct{ started, failed int }, len(sizes)), fails: -1, opens: len(sizes) - 1}
}

// next is the size to try: the middle of those of which nothing is known and, when the
// border is found, of its two sides the one that was tried less.
func (s *search) next() int {
	if s.opens-s.fails > 1 {
		return s.fails + (s.opens-s.fails)/2
	}
	count := func(at int) int { return s.seen[at].started + s.seen[at].failed }
	if s.fails >= 0 && cmp.Compare(count(s.fails), count(s.opens)) < 0 {
		return s.fails
	}
	return s.opens
}

// record takes what a try came to. A size counts as what most of its tries came to, as the
// first one did if they are even; where that changes, the border moves by it.
func (s *search) record(at int, started bool) {
	n := &s.seen[at]
	if started {
		n.started++
	} else {
		n.failed++
	}
	switch {
	case n.started > n.failed && at < s.opens:
		s.opens = at
		if s.fails >= at {
			s.fails = at - 1
			for s.fails >= 0 && s.seen[s.fails].failed == 0 {
				s.fails--
			}
		}
	case n.failed > n.started && at > s.fails:
		s.fails = at
		if s.opens <= at {
			s.opens = at + 1
			for s.opens < len(s.sizes)-1 && s.seen[s.opens].started == 0 {
				s.opens++
			}
			s.opens = min(s.opens, len(s.sizes)-1)
		}
	}
}
