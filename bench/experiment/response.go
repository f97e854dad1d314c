package experiment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"vmctr/bench/harness"
)

// A client that begins to call before there is anybody to answer gets refusals, or
// nothing at all. It then tries anew, after a pause that is a small part of the time that
// has passed since the start: so a start of 2 ms is not told to 10, and a machine
// that boots for 2 s is not kept busy by refusing.
const (
	leastPause = 100 * time.Microsecond
	pausePart  = 200
	// tryFor is how long one try may take. A packet that is lost is not waited for, since
	// TCP sends it again after a second only (RFC 6298).
	tryFor = 250 * time.Millisecond
)

// firstResponse asks the workload for its page until it comes (firstAnswer).
func firstResponse(ctx context.Context, address netip.AddrPort, begin int64) (at, unseen int64, err error) {
	at, unseen, err = firstAnswer(ctx, begin, func(ctx context.Context) error { return request(ctx, address) })
	if err != nil {
		err = fmt.Errorf("waiting for the first HTTP response from %v: %w", address, err)
	}
	return at, unseen, err
}

// firstAnswer asks until the answer comes, and tells when it had (harness.Now), and how
// much earlier it could have come unseen: the time since the last try began that failed,
// 0 if the first one succeeded.
func firstAnswer(ctx context.Context, begin int64, ask func(context.Context) error) (at, unseen int64, err error) {
	var failed int64
	var last error
	for {
		try := harness.Now()
		if err := ask(ctx); err == nil && ctx.Err() == nil {
			at = harness.Now()
			if failed != 0 {
				unseen = at - failed
			}
			return at, unseen, nil
		} else if ctx.Err() == nil {
			failed, last = try, err
		}
		pause := time.NewTimer(max(leastPause, time.Duration(harness.Now()-begin)/pausePart))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return 0, 0, errors.Join(context.Cause(ctx), last)
		}
	}
}

// request is one try, over a connection of its own.
func request(ctx context.Context, address netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	var d net.Dialer
	return requestOver(ctx, func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", address.String()) })
}

// requestOver is one request, over a connection that dial makes for it.
func requestOver(ctx context.Context, dial func(context.Context) (net.Conn, error)) error {
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://workload/", nil)
	if err != nil {
		return err
	}
	r, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("the workload answers %s", r.Status)
	}
	return nil
}
