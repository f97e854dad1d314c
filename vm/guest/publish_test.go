package main

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

func loopback(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func address(l *net.TCPListener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

// TestPublish: what is written arrives whole, each side can end before the other, and
// a port that nobody serves is refused.
func TestPublish(t *testing.T) {
	inside, outside := loopback(t), loopback(t)
	go publish(outside, address(inside))
	go func() {
		for {
			c, err := inside.AcceptTCP()
			if err != nil {
				return
			}
			// It answers when the question has ended, and not before.
			all, _ := io.ReadAll(c)
			c.Write([]byte(strings.ToUpper(string(all))))
			c.Close()
		}
	}()
	ask := func(text string) (string, error) {
		c, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(address(outside)))
		if err != nil {
			return "", err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(hurry))
		if _, err := io.WriteString(c, text); err != nil {
			return "", err
		}
		c.CloseWrite()
		all, err := io.ReadAll(c)
		return string(all), err
	}
	for _, text := range []string{"", "a", strings.Repeat("0123456789abcdef", 1<<16)} {
		if got, err := ask(text); got != strings.ToUpper(text) || err != nil {
			t.Errorf("%d bytes: %d came back, %v", len(text), len(got), err)
		}
	}
	inside.Close()
	if got, err := ask(""); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("nobody listens: %q, %v", got, err)
	}
}

func TestPublished(t *testing.T) {
	for text, want := range map[string]uint16{"80": 80, "65535": 65535, "0": 0, "65536": 0, "": 0, "http": 0} {
		g := &guest{}
		g.spec.Annotations = map[string]string{wire.Publish: text}
		if got, err := g.published(); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	if port, err := (&guest{}).published(); port != 0 || err != nil {
		t.Error(port, err)
	}
}
