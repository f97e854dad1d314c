package experiment

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vmctr/report/result"
)

const page = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"

// server answers each connection with the next of answers, the last one for ever; an
// empty answer only closes it. It listens from the time that it is told to.
func server(t *testing.T, after time.Duration, answers ...string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	serve := func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if n > 0 && len(answers) > 1 {
				answers = answers[1:]
			}
			if answers[0] != "" {
				c.Read(make([]byte, 4096))
				io.WriteString(c, answers[0])
			}
			c.Close()
		}
	}
	if after == 0 {
		go serve()
		t.Cleanup(func() { l.Close() })
		return at
	}
	l.Close()
	done := make(chan struct{})
	timer := time.AfterFunc(after, func() {
		defer close(done)
		if l, err = net.Listen("tcp4", at.String()); err != nil {
			t.Error(err)
			return
		}
		go serve()
	})
	t.Cleanup(func() {
		if !timer.Stop() {
			<-done
			l.Close()
		}
	})
	return at
}

// TestResponse: the second end of a start comes when the workload answers, whatever it
// did before.
func TestResponse(t *testing.T) {
	for _, tt := range []struct {
		name    string
		after   time.Duration // that it listens
		answers []string
		unseen  bool
	}{
		{"at once", 0, []string{page}, false},
		{"it listens late", 50 * time.Millisecond, []string{page}, true},
		{"it hangs up first", 0, []string{"", "", page}, true},
		{"it is busy first", 0, []string{"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", page}, true},
		{"it breaks off first", 0, []string{page[:len(page)-1], page}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, healthy)
			f.change = func(i *instance) { i.address = server(t, tt.after, tt.answers...) }
			s, _, err := measure(t, startup, f)
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Sorted(maps.Keys(s.Values)); !slices.Equal(got, []string{"first_instruction_ns", "http_ns", "http_unseen_ns"}) {
				t.Fatalf("values %v", s.Values)
			}
			first, http, unseen := s.Values["first_instruction_ns"], s.Values["http_ns"], s.Values["http_unseen_ns"]
			if http <= first || tt.after > 0 && http < float64(tt.after) {
				t.Errorf("the first instruction came after %g ns, the response after %g, of a workload that listens %v later", first, http, tt.after)
			}
			if unseen > 0 != tt.unseen || unseen >= http {
				t.Errorf("it can have come %g ns earlier, of %g", unseen, http)
			}
		})
	}
}

// TestNoResponse: a workload that never answers is waited for until the sample's
// deadline, and the error says what the last try met.
func TestNoResponse(t *testing.T) {
	f := newFake(t, healthy)
	f.change = func(i *instance) {
		i.address = server(t, 0, "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}
	late := errors.New("too late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, late)
	defer cancel()
	s, fault, err := measureIn(ctx, startup, f)
	if !errors.Is(err, late) || !strings.Contains(err.Error(), "waiting for the first HTTP response from 127.0.0.1:") || !strings.Contains(err.Error(), "500 Broken") {
		t.Errorf("error %v", err)
	}
	if fault != result.HarnessFault { // the fake does not say that it has ended
		t.Errorf("fault %q", fault)
	}
	if _, ok := s.Values["http_ns"]; ok {
		t.Errorf("values %v", s.Values)
	}
}
