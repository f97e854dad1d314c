package registry

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// tries is how often one request is made at most, and how often a blob is gone
// on with while nothing of it comes.
const tries = 5

// The pauses between them: the first, twice that, and so on, each longer or
// shorter by chance, so that those who were interrupted together do not come
// back together. A registry that names a time (Retry-After, RFC 9110, section
// 10.2.3) is asked then, unless that is later than the user would wait.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 8 * time.Second
	mostPatience = time.Minute
)

// busy are the answers that say that another time there may be another one.
var busy = []int{
	http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// retry is a RoundTripper that tries again.
type retry struct {
	inner http.RoundTripper
	pause time.Duration
}

func (t *retry) RoundTrip(r *http.Request) (*http.Response, error) {
	for n := 1; ; n++ {
		resp, err := t.inner.RoundTrip(r)
		again := err != nil && isTransient(err) || err == nil && slices.Contains(busy, resp.StatusCode)
		if !again || n == tries || r.Context().Err() != nil || !rewind(r) {
			return resp, err
		}
		pause := backoff(t.pause, n)
		if err == nil {
			if asked, ok := retryAfter(resp.Header, time.Now()); ok && asked > mostPatience {
				return resp, nil // and the error says what the registry says
			} else if ok {
				pause = max(pause, asked)
			}
			io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection may be used again
			resp.Body.Close()
		}
		if err := sleep(r.Context(), pause); err != nil {
			return nil, err
		}
	}
}

// rewind makes a request's body ready to be sent once more, if there is one and
// that can be done.
func rewind(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	if r.GetBody == nil {
		return false
	}
	body, err := r.GetBody()
	r.Body = body
	return err == nil
}

// backoff is the pause after the n-th try.
func backoff(first time.Duration, n int) time.Duration {
	if first == 0 {
		first = firstPause
	}
	pause := min(first<<(n-1), longestPause)
	return pause/2 + rand.N(pause)
}

// retryAfter reads the header: seconds, or a date.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := h.Get("Retry-After")
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// isTransient tells whether a failure may be gone at the next try: a connection
// that broke, but not one that never was, and no wrong certificate.
func isTransient(err error) bool {
	if errors.Is(err, errStalled) {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return false
	}
	for _, broken := range []error{io.ErrUnexpectedEOF, io.EOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, broken) {
			return true
		}
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

var errStalled = errors.New("the answer had begun, and nothing more came for too long")

// body is that of an answer. A read of it that takes too long ends the request.
type body struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
	ctx    context.Context
	timer  *time.Timer
	most   time.Duration
}

// get makes a request whose body ends when nothing comes any more.
func get(ctx context.Context, client *http.Client, r *http.Request, patience time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := client.Do(r.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	b := &body{ReadCloser: resp.Body, cancel: cancel, ctx: ctx, most: patience}
	b.timer = time.AfterFunc(patience, func() { cancel(errStalled) })
	b.timer.Stop()
	resp.Body = b
	return resp, nil
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.most)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop() // what is done with it may take its time
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), errStalled) {
		err = errStalled
	}
	return n, err
}

func (b *body) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}
