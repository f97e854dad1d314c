package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serving starts a workload that serves, and gives its address.
func serving(t *testing.T) (*running, string) {
	t.Helper()
	r := start(t, t.TempDir(), "serve", "127.0.0.1:0")
	address, ok := strings.CutPrefix(r.line(t), "serving ")
	if !ok {
		t.Fatalf("it does not serve: %q", address)
	}
	return r, address
}

func TestServe(t *testing.T) {
	r, address := serving(t)
	client := &http.Client{Timeout: 4 * time.Second}
	defer client.CloseIdleConnections()
	get := func() error {
		response, err := client.Get("http://" + address + "/any/path?with=query")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != 200 || string(body) != "ok\n" {
			return fmt.Errorf("%s, %q, %w", response.Status, body, err)
		}
		return nil
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	// At once, and beside a client that never sends a word.
	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := get(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if s := r.end(t); s.ExitCode() != 0 || r.stderr.Len() > 0 {
		t.Errorf("%v, %q", s, &r.stderr)
	}
}

// TestServeHeads sends requests piece by piece.
func TestServeHeads(t *testing.T) {
	_, address := serving(t)
	const answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
	long := "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 3000) + "\r\n\r\n"
	for _, tt := range []struct {
		name   string
		pieces []string
		want   string
	}{
		{"whole", []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n"}, answer},
		{"no headers", []string{"GET / HTTP/1.0\r\n\r\n"}, answer},
		{"in two lines", []string{"GET / HTTP/1.1\r\n", "Host: x\r\n\r\n"}, answer},
		{"its end in two", []string{"GET / HTTP/1.1\r\nHost: x\r\n\r", "\n"}, answer},
		{"byte by byte", strings.Split("GET / HTTP/1.1\r\nHost: x\r\n\r\n", ""), answer},
		{"long, in pieces", []string{long[:1000], long[1000:2000], long[2000:]}, answer},
		{"not finished", []string{"GET / HTTP/1.1\r\nHost: x\r\n"}, ""},
		{"nothing", nil, ""},
		{"too long", []string{"GET / HTTP/1.1\r\nX: ", strings.Repeat("x", 4077)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(4 * time.Second)) // less than it waits itself
			for i, p := range tt.pieces {
				if i > 0 {
					time.Sleep(time.Millisecond) // so that it is a packet of its own
				}
				if _, err := io.WriteString(c, p); err != nil {
					t.Fatal(err)
				}
			}
			if tt.want == "" {
				if err := c.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			got, err := io.ReadAll(c)
			if err != nil || string(got) != tt.want {
				t.Errorf("it answered %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
