package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	interfering "vmctr/bench/isolation/interference"
	"vmctr/bench/platform"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// neighbour is one that runs, as who gives it its order sees it.
type neighbour struct {
	i     platform.Instance
	line  int // of its output, the next
	conn  net.Conn
	began time.Time
	cut   string // it has ended before it was told to
}

// heard waits for what it says next.
func (n *neighbour) heard(ctx context.Context, patience time.Duration) (r interfering.Report, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the neighbour has said nothing for %v", patience))
	defer cancel()
	text, err := n.i.Output().Line(ctx, n.line)
	if errors.Is(err, platform.ErrEnded) {
		if own := n.i.Err(); own != nil {
			err = own
		}
	}
	if err != nil {
		return r, err
	}
	n.line++
	return r, json.Unmarshal(text, &r)
}

func (n *neighbour) ready(ctx context.Context) error {
	n.line = 1
	_, err := n.heard(ctx, silence)
	return err
}

// begin gives it its order, and waits until it works.
func (n *neighbour) begin(ctx context.Context, o interfering.Order) error {
	ctx, cancel := context.WithTimeoutCause(ctx, silence, fmt.Errorf("the neighbour has not begun within %v", silence))
	defer cancel()
	dial, _, err := wayTo(ctx, n.i)
	if err != nil {
		return err
	}
	if n.conn, err = dial(ctx); err != nil {
		return fmt.Errorf("connecting to the neighbour: %w", errors.Join(context.Cause(ctx), err))
	}
	if err := json.NewEncoder(n.conn).Encode(o); err != nil {
		n.conn.Close()
		return err
	}
	if _, err = n.heard(ctx, silence); err != nil {
		n.conn.Close()
	}
	n.began = time.Now()
	return err
}

// works tells whether it has not ended yet.
func (n *neighbour) works() bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := n.i.Output().Line(ctx, n.line)
	return errors.Is(err, context.Canceled)
}

// end tells it to stop, and writes down what has become of it.
func (n *neighbour) end(ctx context.Context, kind string, in *isolation.Interference, values map[string]float64) {
	n.conn.Close()
	r, err := n.heard(ctx, silence)
	in.Fate, in.FateWhy = fate(kind, r, err, n.i.Output().Ended())
	if n.cut != "" {
		in.FateWhy = n.cut + ": " + in.FateWhy
	}
	if err == nil {
		values["neighbour_worked_ns"], values["neighbour_cpu_ns"] = float64(r.Ns), float64(r.CPUNs)
	}
}

// fate is what has become of a neighbour, by what it reports, or by the error that there is
// in place of that.
func fate(kind string, r interfering.Report, err error, ended bool) (fate, why string) {
	bytes := func(n int64) string { return result.FormatValue(float64(n), "bytes") }
	ns := func(n int64) string { return result.FormatValue(float64(n), "ns") }
	switch {
	case err != nil && saysOutOfMemory(err.Error()):
		return isolation.Killed, short(err.Error())
	case err != nil && ended:
		return isolation.Ended, short(err.Error())
	case err != nil:
		return isolation.Stopped, "it did not say what it had done, and was killed: " + short(err.Error())
	case r.Error != "":
		return isolation.Ended, short(r.Error)
	}
	parts := []string{fmt.Sprintf("it had %s of processor time in %s", ns(r.CPUNs), ns(r.Ns))}
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	fate = isolation.Stopped
	switch kind {
	case "alloc":
		say("it held %s at most", bytes(r.Most))
		if r.Killed > 0 {
			fate = isolation.Killed
			say("the kernel killed the process that allocates %d times, and it was started anew each time", r.Killed)
		} else if r.Refused > 0 {
			fate = isolation.Refused
			say("%s %d times", r.Errno, r.Refused)
		}
	case "fork":
		say("it started %d processes, at most %d of them at once", r.Did, r.Most)
		if r.Refused > 0 {
			fate = isolation.Refused
			say("fork was refused %d times: %s", r.Refused, r.Errno)
		}
	case "sync":
		say("it wrote %s", bytes(r.Did))
		if r.Refused > 0 {
			say("its file was cut %d times: %s", r.Refused, r.Errno)
		}
	case "flood":
		say("it sent %s", bytes(r.Did))
	}
	if r.Ceiling && fate == isolation.Stopped && kind != "sync" {
		say("no wall kept it from more, but its own ceiling")
	}
	return fate, strings.Join(parts, "; ")
}
