package breakage

import (
	"fmt"
	"strings"
	"time"

	"vmctr/report/result/isolation"
)

// Facts are what is known of a fault.
type Facts struct {
	Kind, Of string
	// Machine says that the instance has a kernel of its own, whose memory and processes
	// are not the host's.
	Machine bool
	// Pids is the limit of its processes, 0 for none.
	Pids int64
	// Heard is what the instance has said.
	Heard []Report
	// Ended is how it ended by itself, "" if it did not; Killed that the kernel killed it
	// for want of memory, and Global that this was not for a limit of its own.
	Ended  string
	Killed bool
	Global bool
	// Late says that it was still there when its time was over.
	Late bool
	// Lost is how the host ended, or that it did not report; "" for a host that lives.
	Lost      string
	Witnesses []isolation.Witness
}

// Judge says what became of it.
func (f Facts) Judge() isolation.Fault {
	r := isolation.Fault{Kind: f.Kind, Of: f.Of, Witnesses: f.Witnesses}
	for _, h := range f.Heard {
		if f.Kind == "panic" && h.Call != "" {
			r.Attempts = append(r.Attempts, isolation.FaultAttempt{Call: h.Call, Errno: h.Errno})
		}
	}
	if f.Lost != "" {
		r.Outcome, r.Why = isolation.Lost, f.sentence(f.trying(), f.Lost)
		return r
	}
	var what string
	r.Outcome, what = f.own(r.Attempts)
	if late, ok := f.disturbed(); ok {
		r.Outcome = isolation.Disturbed
		what = f.sentence(what, late)
	} else {
		what = f.sentence(what, f.answered())
	}
	r.Why = what
	return r
}

// own is what became of the instance alone.
func (f Facts) own(attempts []isolation.FaultAttempt) (isolation.FaultOutcome, string) {
	last := f.last()
	if last.Late {
		// It is slow where a machine is emulated and its host busy.
		what := fmt.Sprintf("nothing had held it when its own time was over, %v", MostTime)
		if last.Bytes > 0 {
			what += fmt.Sprintf("; %d MiB were touched", last.Bytes>>20)
		}
		return isolation.TooSlow, what
	}
	switch f.Kind {
	case "panic":
		refused := 0
		var each []string
		for _, a := range attempts {
			if a.Errno != "" {
				refused++
				each = append(each, a.Call+": "+a.Errno)
			} else {
				each = append(each, a.Call+": not refused")
			}
		}
		tried := strings.Join(each, "; ")
		switch {
		case f.Machine && f.Ended != "" && !last.Done:
			return isolation.Held, f.sentence(f.trying(), "its own kernel ended: "+f.Ended)
		case len(attempts) > 0 && refused == len(attempts) && last.Done:
			return isolation.NotPossible, "all that was tried was refused: " + tried
		case f.Ended != "" && !last.Done:
			return isolation.Held, f.sentence(tried, f.trying(), "it ended: "+f.Ended)
		}
		return isolation.NotHeld, tried
	case "memory":
		touched := fmt.Sprintf("%d MiB were touched", last.Bytes>>20)
		switch {
		case f.Killed && f.Global:
			// It could have been any other.
			return isolation.Disturbed, "the host had no memory left, and its kernel killed this one, after " + touched
		case f.Killed:
			return isolation.Held, "its kernel killed it for want of memory, after " + touched
		case last.Errno != "":
			return isolation.Held, fmt.Sprintf("it got no more memory (%s) after %s", last.Errno, touched)
		case last.Done && !f.Machine:
			return isolation.NotHeld, touched + ", which is its own bound"
		case f.Ended != "":
			return isolation.Held, "it ended after " + touched + ": " + f.Ended
		}
		return isolation.Held, touched
	case "forks":
		switch {
		case last.Done && last.Refused > 0:
			return isolation.Held, fmt.Sprintf("it had %d processes at once; %d more were refused (%s)", last.Most, last.Refused, last.Errno)
		case last.Done && f.Pids > last.Most:
			return isolation.TooSlow, fmt.Sprintf("it came to %d processes in its time, and its limit is %d", last.Most, f.Pids)
		case last.Done && f.Machine:
			return isolation.Held, fmt.Sprintf("it had %d processes at once, all within the machine", last.Most)
		case last.Done:
			return isolation.NotHeld, fmt.Sprintf("it had %d processes at once, and none was refused", last.Most)
		case f.Killed && f.Global:
			return isolation.Disturbed, "the host had no memory left, and its kernel killed this one"
		case f.Killed:
			return isolation.Held, "its kernel killed it for want of memory"
		}
	}
	switch {
	case f.Ended != "":
		return isolation.Held, "it ended: " + f.Ended
	case f.Late:
		return isolation.Held, "it was still there when its time was over, and could be ended"
	}
	return isolation.NotHeld, "it goes on"
}

// last is the last that it has said; its trial apart.
func (f Facts) last() (r Report) {
	for _, h := range f.Heard {
		if h.Trying == "" {
			r = h
		}
	}
	return r
}

// trying is what it was about to do when it was heard last.
func (f Facts) trying() string {
	if n := len(f.Heard); n > 0 && f.Heard[n-1].Trying != "" {
		return "the last that was heard of it: " + f.Heard[n-1].Trying
	}
	return ""
}

// disturbed tells what became of a witness that was disturbed.
func (f Facts) disturbed() (string, bool) {
	for _, w := range f.Witnesses {
		who := witnesses[w.Who]
		switch {
		case w.Ended:
			return who + " has ended", true
		case w.Failed > 0:
			return fmt.Sprintf("%s could not work %d times (%s)", who, w.Failed, w.Error), true
		case w.LongestNs > max(int64(late), 4*w.BeforeNs):
			return fmt.Sprintf("%s was silent for %s, and for %s at most before", who, seconds(w.LongestNs), seconds(w.BeforeNs)), true
		}
	}
	return "", false
}

var witnesses = map[string]string{"host": "the host", "neighbour": "its neighbour"}

// answered tells how well the witnesses could work.
func (f Facts) answered() string {
	var all []string
	for _, w := range f.Witnesses {
		all = append(all, fmt.Sprintf("%s answered %d times, at most %s apart", witnesses[w.Who], w.Beats, seconds(w.LongestNs)))
	}
	return strings.Join(all, ", ")
}

func seconds(ns int64) string { return time.Duration(ns).Round(10 * time.Millisecond).String() }

// sentence joins what there is.
func (f Facts) sentence(parts ...string) string {
	var all []string
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			all = append(all, p)
		}
	}
	return strings.Join(all, "; ")
}
