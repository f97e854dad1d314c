package images

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestReadyLabel(t *testing.T) {
	var c v1.Config
	if _, ok, err := ReadyOf(c); ok || err != nil {
		t.Errorf("an image that says nothing: %v, %v", ok, err)
	}
	want := Ready{Port: 5432, Send: "\x00\x00\x00\x17\x00\x03", Expect: "R"}
	if err := want.Label(&c); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := ReadyOf(c); got != want || !ok || err != nil {
		t.Errorf("%+v, %v, %v; want %+v", got, ok, err, want)
	}
	for label, want := range map[string]string{
		"x": "invalid character", "{}": "it takes a port", `{"port": 70000}`: "no port 70000", `{"line": "x", "send": "y"}`: "takes a port",
	} {
		if _, _, err := ReadyOf(v1.Config{Labels: map[string]string{readyLabel: label}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("label %s: %v, want %q", label, err, want)
		}
	}
}

// TestReadyProbe asks servers of several kinds.
func TestReadyProbe(t *testing.T) {
	serve := func(answer func(net.Conn)) int {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				answer(c)
				c.Close()
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
		return l.Addr().(*net.TCPAddr).Port
	}
	says := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			io.ReadFull(c, make([]byte, 4)) // PING, or the end
			io.WriteString(c, text)
		}
	}
	for _, tt := range []struct {
		name   string
		answer func(net.Conn)
		ready  Ready
		want   string // in the error
	}{
		{"a connection is enough", func(net.Conn) {}, Ready{}, ""},
		{"it answers", says("+PONG\r\n"), Ready{Send: "PING", Expect: "+PONG"}, ""},
		{"it says something else", says("-LOADING\r\n"), Ready{Send: "PING", Expect: "+PONG"}, `answers "-LOAD", not "+PONG"`},
		{"it says less", says("+P"), Ready{Send: "PING", Expect: "+PONG"}, `answers "+P"`},
		{"it says nothing", func(c net.Conn) { io.Copy(io.Discard, c) }, Ready{Send: "PING", Expect: "+PONG"}, "deadline exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.ready.Port = serve(tt.answer)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			err := tt.ready.Probe(ctx, "127.0.0.1")
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	t.Run("nobody is there", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if err := (Ready{Port: port}).Probe(t.Context(), "127.0.0.1"); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%v", err)
		}
	})
}
