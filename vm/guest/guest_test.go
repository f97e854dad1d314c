package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// hurry is how long what ought to come at once may take on a busy machine.
const hurry = 5 * time.Second

// world is what is around a guest in a test. No test powers anything off: its
// guest has another cutPower, and the real one refuses to work for a program
// that is not PID 1.
type world struct {
	t       *testing.T
	control *os.File      // the guest's end of the control port
	host    *os.File      // the other end, which keeps the guest's writes apart
	off     chan struct{} // closed when the guest powers off
	console *os.File
}

// newGuest gives a guest that has no control port yet: attach gives it one.
func newGuest(t *testing.T) (*guest, *world) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	console, err := os.Create(filepath.Join(t.TempDir(), "console"))
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = console
	w := &world{t, os.NewFile(uintptr(pair[0]), "control"), os.NewFile(uintptr(pair[1]), "host"), make(chan struct{}), console}
	t.Cleanup(func() {
		os.Stderr = stderr
		w.control.Close()
		w.host.Close()
		console.Close()
	})
	return &guest{cutPower: func() {
		close(w.off)
		runtime.Goexit() // as the real one, it does not return
	}}, w
}

// attach does what usePorts does when the port is there.
func (w *world) attach(g *guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.control = w.control
	g.flush()
}

// write reads the reports of one write, or gives io.EOF if there is no more.
func (w *world) write() ([]wire.Report, error) {
	w.t.Helper()
	w.host.SetReadDeadline(time.Now().Add(hurry))
	b := make([]byte, 1<<20)
	n, err := w.host.Read(b)
	if err != nil {
		return nil, err
	}
	if b[n-1] != '\n' {
		w.t.Errorf("a write that does not end a line: %q", b[:n])
	}
	var reports []wire.Report
	lines := json.NewDecoder(bytes.NewReader(b[:n]))
	for {
		var r wire.Report
		err := lines.Decode(&r)
		if errors.Is(err, io.EOF) {
			return reports, nil
		}
		if err != nil {
			w.t.Fatalf("a report that is not JSON: %q", b[:n])
		}
		reports = append(reports, r)
	}
}

// rest waits until the guest has powered off, and gives what it has reported,
// less Now, and printed.
func (w *world) rest() (reports []wire.Report, console string) {
	w.t.Helper()
	select {
	case <-w.off:
	case <-time.After(hurry):
		w.t.Fatal("the guest has not powered off")
	}
	w.control.Close()
	for {
		some, err := w.write()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range some {
			if r.Now <= 0 || r.Now > boottime() {
				w.t.Errorf("written at %d: %+v", r.Now, r)
			}
			r.Now = 0
			reports = append(reports, r)
		}
	}
	printed, err := os.ReadFile(w.console.Name())
	if err != nil {
		w.t.Fatal(err)
	}
	return reports, string(printed)
}
