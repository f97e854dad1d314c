package experiment

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	interfering "vmctr/bench/isolation/interference"
	"vmctr/bench/platform"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// victim is one that runs, as its client sees it.
type victim struct {
	i       platform.Instance
	sample  *result.Sample
	line    int  // of its output, the next
	waiting bool // it waits for its client
	dial    func(context.Context) (net.Conn, error)
	// patience is how long it is waited for what it says next.
	patience time.Duration
	// latencies are those of all requests, in nanoseconds, by state.
	latencies map[string][]float64
}

// silent is of a victim of which nothing was heard in time.
type silent struct {
	measure string
	why     error
}

func (e *silent) Error() string { return fmt.Sprintf("%s: %v", e.measure, e.why) }
func (e *silent) Unwrap() error { return e.why }

// next is its next line.
func (v *victim) next(ctx context.Context) (l interfering.Line, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, v.patience, fmt.Errorf("nothing was heard for %v", v.patience))
	defer cancel()
	text, err := v.i.Output().Line(ctx, v.line)
	if errors.Is(err, platform.ErrEnded) {
		if own := v.i.Err(); own != nil {
			err = own
		}
	}
	if err != nil {
		return l, err
	}
	v.line++
	if err := json.Unmarshal(text, &l); err != nil {
		return l, fmt.Errorf("the victim's line %.200q: %w", text, err)
	}
	return l, nil
}

// hello reads who it is, and finds out how it is reached.
func (v *victim) hello(ctx context.Context, s Subject) error {
	v.line = 1
	l, err := v.next(ctx)
	if err != nil {
		return err
	}
	v.sample.Interference.Files = filesOf(s, l.Files)
	if v.dial, v.sample.Interference.Network, err = wayTo(ctx, v.i); err != nil {
		return err
	}
	if isMachine(s) && v.sample.Interference.Network == hostLoopback {
		v.sample.Interference.Network = "a network that QEMU plays, and a port of the host's loopback that it forwards"
	}
	if l, err = v.next(ctx); err != nil || l.Kind != interfering.Serve {
		return fmt.Errorf("the victim waits for no client, but says %+v: %w", l, err)
	}
	v.waiting = true
	// The first requests go through code that has never run: an emulator translates it.
	_, err = v.call(ctx, windows{}, warmUp)
	return err
}

const hostLoopback = "the host's loopback"

// wayTo is how a program in an instance is connected to.
func wayTo(ctx context.Context, i platform.Instance) (dial func(context.Context) (net.Conn, error), over string, err error) {
	address, err := i.Address(ctx)
	if inner, within := i.(platform.Loopback); within && errors.Is(err, platform.ErrNoNetwork) {
		return inner.Dial, "the loopback of the container's own network", nil
	}
	if err != nil {
		return nil, "", err
	}
	over = "the instance's own network"
	if address.Addr().IsLoopback() {
		over = hostLoopback
	}
	return func(ctx context.Context) (conn net.Conn, err error) {
		for {
			// TCP itself would send a packet that is lost again after a second (RFC 6298).
			d := net.Dialer{Timeout: tryFor}
			if conn, err = d.DialContext(ctx, "tcp", address.String()); err == nil || ctx.Err() != nil {
				return conn, err
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	}, over, nil
}

// windows are rates and other values of one turn, by their names without the state.
type windows map[string][]float64

// missing is the first measure of which a turn lacks windows.
func (w windows) missing() string {
	for _, m := range isolation.Measures {
		if len(w[m.Name]) < inTurn {
			return m.Name
		}
	}
	return "the next turn"
}

// turn reads its windows of all kinds, once, and adds them to the sample; to none, if the
// state is "". One that was not finished is added as far as it came.
func (v *victim) turn(ctx context.Context, state string) error {
	w, latencies, err := v.measure(ctx)
	v.add(state, w, latencies)
	return err
}

func (v *victim) add(state string, w windows, latencies []float64) {
	if state == "" {
		return
	}
	for name, values := range w {
		v.sample.Each[state+"_"+name] = append(v.sample.Each[state+"_"+name], values...)
	}
	v.latencies[state] = append(v.latencies[state], latencies...)
}

// measure is a turn: it measures itself, and then its client measures it.
func (v *victim) measure(ctx context.Context) (w windows, latencies []float64, err error) {
	w = windows{}
	for !v.waiting {
		l, err := v.next(ctx)
		if err != nil {
			return w, nil, &silent{w.missing(), err}
		}
		if l.Kind == interfering.Serve {
			v.waiting = true
			break
		}
		if l.Ns > 0 {
			w[l.Kind] = append(w[l.Kind], l.Count/time.Duration(l.Ns).Seconds())
		}
		if l.P50Ns > 0 {
			w[l.Kind+"_p50_ns"] = append(w[l.Kind+"_p50_ns"], float64(l.P50Ns))
			w[l.Kind+"_p99_ns"] = append(w[l.Kind+"_p99_ns"], float64(l.P99Ns))
		}
	}
	latencies, err = v.call(ctx, w, window)
	return w, latencies, err
}

// call is its client's part: requests, and then a stream. Its hanging up lets the victim go on.
func (v *victim) call(ctx context.Context, w windows, window time.Duration) (latencies []float64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, v.patience, fmt.Errorf("no answer within %v", v.patience))
	defer cancel()
	conn, err := v.dial(ctx)
	if err != nil {
		return nil, &silent{"request", errors.Join(context.Cause(ctx), err)}
	}
	v.waiting = false
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for range inTurn {
		took, rate, err := requests(conn, window)
		latencies = append(latencies, took...)
		if err != nil {
			return latencies, &silent{"request", errors.Join(context.Cause(ctx), err)}
		}
		slices.Sort(took)
		w["request"] = append(w["request"], rate)
		w["request_p50_ns"] = append(w["request_p50_ns"], took[len(took)/2])
	}
	for range inTurn {
		rate, err := receive(conn, window)
		if err != nil {
			return latencies, &silent{"network", errors.Join(context.Cause(ctx), err)}
		}
		w["network"] = append(w["network"], rate)
	}
	return latencies, nil
}

// requests sends one after the other, and gives how long each took, and how many a second
// were answered.
func requests(conn net.Conn, window time.Duration) (took []float64, rate float64, err error) {
	frame := [interfering.Frame]byte{interfering.AskRequest}
	for begin := time.Now(); ; {
		frame[0] = interfering.AskRequest
		sent := time.Now()
		if _, err := conn.Write(frame[:]); err != nil {
			return took, 0, err
		}
		if _, err := io.ReadFull(conn, frame[:]); err != nil {
			return took, 0, err
		}
		took = append(took, float64(time.Since(sent)))
		if d := time.Since(begin); d >= window {
			return took, float64(len(took)) / d.Seconds(), nil
		}
	}
}

// receive has the victim send, and gives how many bytes a second came.
func receive(conn net.Conn, window time.Duration) (rate float64, err error) {
	frame := [interfering.Frame]byte{interfering.AskStream}
	binary.BigEndian.PutUint64(frame[1:], uint64(window))
	begin := time.Now()
	if _, err := conn.Write(frame[:]); err != nil {
		return 0, err
	}
	chunk := make([]byte, interfering.Chunk)
	for n := 1; ; n++ {
		if _, err := io.ReadFull(conn, chunk); err != nil {
			return 0, err
		}
		if chunk[0] == 0 {
			return float64(n) * interfering.Chunk / time.Since(begin).Seconds(), nil
		}
	}
}

// beside are the turns beside a neighbour that works. A victim that is not heard of is a
// result, and ends them.
func (v *victim) beside(ctx context.Context, n *neighbour) {
	in := v.sample.Interference
	v.sample.Outcome = "reported"
	for range turnsBeside {
		w, latencies, err := v.measure(ctx)
		if !n.works() { // it has worked for a part of this turn only, and nobody knows which
			n.cut = fmt.Sprintf("it worked for %s, and the turn of windows in which it ended is left out", result.FormatValue(float64(time.Since(n.began)), "ns"))
			w, latencies = nil, nil
		}
		v.add("beside", w, latencies)
		var s *silent
		switch {
		case errors.As(err, &s) && ctx.Err() == nil:
			v.sample.Outcome, v.sample.Why = isolation.DidNotReport, fmt.Sprintf("beside the neighbour: %v", err)
			for _, m := range isolation.Measures {
				if len(v.sample.Each["beside_"+m.Name]) == 0 {
					in.Silent = append(in.Silent, m.Name)
				}
			}
			return
		case err != nil || n.cut != "":
			return
		}
	}
}

// again are the turns once the neighbour is gone. That it is still silent is a part of the result.
func (v *victim) again(ctx context.Context) error {
	if v.sample.Outcome == isolation.DidNotReport {
		if err := v.turn(ctx, ""); err != nil {
			v.sample.Why += fmt.Sprintf("; once the neighbour was gone: %v", err)
			return err
		}
		v.sample.Why += "; once the neighbour was gone, it reported again"
	}
	for range turnsAfter {
		if err := v.turn(ctx, "after"); err != nil {
			v.sample.Outcome, v.sample.Why = isolation.DidNotReport, fmt.Sprintf("after the neighbour was gone: %v", err)
			return err
		}
	}
	return nil
}

// percentiles are of all requests of a state; the journal has no room for each of them.
func (v *victim) percentiles() {
	for state, latencies := range map[string][]float64{"alone": slices.Concat(v.latencies["before"], v.latencies["after"]), "beside": v.latencies["beside"]} {
		if len(latencies) == 0 {
			continue
		}
		v.sample.Values[state+"_requests"] = float64(len(latencies))
		for name, share := range map[string]float64{"p50": 0.5, "p99": 0.99} {
			p := result.PercentileOf(latencies, share)
			v.sample.Values[state+"_request_"+name+"_ns"] = p.Value
			if p.HasInterval() {
				v.sample.Values[state+"_request_"+name+"_low_ns"], v.sample.Values[state+"_request_"+name+"_high_ns"] = p.Low, p.High
			}
		}
	}
}
