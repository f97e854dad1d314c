package qmp

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// startQEMU starts a real QEMU with no machine in it, and connects to it. It
// skips the test if there is no QEMU, or fails it where BENCH_REQUIRE says that
// there must be.
func startQEMU(t *testing.T) (m *Monitor, qemu *os.Process, exited <-chan struct{}) {
	t.Helper()
	program, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "qemu") {
			t.Fatalf("BENCH_REQUIRE holds qemu: %v", err)
		}
		t.Skipf("%v: install qemu-system-x86, or: sudo scripts/setup", err)
	}
	path := filepath.Join(t.TempDir(), "qmp")
	// QEMU gets a socket that listens already, so nothing has to wait for it.
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	f, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var output bytes.Buffer
	q := exec.CommandContext(t.Context(), program,
		"-machine", "none", "-accel", "tcg", "-display", "none", "-nodefaults", "-S",
		"-chardev", "socket,id=qmp,fd=3,server=on,wait=off", "-mon", "chardev=qmp,mode=control")
	q.ExtraFiles = []*os.File{f} // which is descriptor 3
	q.Stdout, q.Stderr = &output, &output
	if err := q.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { q.Wait(); close(ended) }()
	t.Cleanup(func() {
		<-ended // the test's context has killed it
		if t.Failed() {
			t.Logf("QEMU: %s\n%s", q.ProcessState, output.Bytes())
		}
	})
	m, err = Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSoon(t, m); noneLeft(t) })
	return m, q.Process, ended
}

// TestQEMU: what the fake server does is what QEMU does.
func TestQEMU(t *testing.T) {
	m, _, exited := startQEMU(t)
	if !regexp.MustCompile(`^[1-9]\d*\.\d+\.\d+$`).MatchString(m.Version()) {
		t.Errorf("version %q", m.Version())
	}

	wantStatus := func(want string, running bool) {
		t.Helper()
		b, err := m.Run(t.Context(), "query-status", nil)
		var got struct {
			Status  string `json:"status"`
			Running bool   `json:"running"`
		}
		if err := errors.Join(err, json.Unmarshal(b, &got)); err != nil || got.Status != want || got.Running != running {
			t.Errorf("wanted the status %q: %s, %v", want, b, err)
		}
	}
	wantStatus("prelaunch", false)

	var refused *CommandError
	_, err := m.Run(t.Context(), "nonesuch", nil)
	if !errors.As(err, &refused) {
		t.Errorf("nonesuch: %v", err)
	}
	_, err = m.Run(t.Context(), "object-add", map[string]any{"qom-type": "nonesuch", "id": "x"})
	if !errors.As(err, &refused) {
		t.Errorf("bad arguments: %v", err)
	}

	for _, c := range []struct {
		command, event, status string
	}{{"cont", "RESUME", "running"}, {"stop", "STOP", "paused"}} {
		if b, err := m.Run(t.Context(), c.command, nil); string(b) != "{}" || err != nil {
			t.Errorf("%s: %s, %v", c.command, b, err)
		}
		if e, err := m.Wait(t.Context(), c.event); e.Time.IsZero() || err != nil {
			t.Errorf("after %s: %v, %v", c.command, e, err)
		}
		wantStatus(c.status, c.event == "RESUME")
	}

	if _, err := m.Run(t.Context(), "quit", nil); err != nil {
		t.Errorf("quit: %v", err)
	}
	e, err := m.Wait(t.Context(), "SHUTDOWN")
	if e.Data["reason"] != "host-qmp-quit" || err != nil {
		t.Errorf("after quit: %v, %v", e, err)
	}
	wantClosed(t, m, "")
	soon(t, "QEMU's exit", exited)
}

// TestQEMUKilled: a QEMU that dies without a word ends what waits for it.
func TestQEMUKilled(t *testing.T) {
	m, qemu, exited := startQEMU(t)
	// QEMU has then read all that was sent, and its end is no error of the
	// connection.
	if _, err := m.Run(t.Context(), "query-status", nil); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := m.Wait(t.Context(), "SHUTDOWN")
		waited <- err
	}()
	if err := qemu.Kill(); err != nil {
		t.Fatal(err)
	}
	wantError(t, <-waited, ErrClosed)
	wantClosed(t, m, "")
	soon(t, "QEMU's exit", exited)
}
