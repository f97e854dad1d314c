package qmp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDial(t *testing.T) {
	m := dial(t, (*server).hold)
	if got := m.Version(); got != "7.2.22" {
		t.Errorf("version %q", got)
	}
	if got := m.Events(); len(got) > 0 {
		t.Errorf("events %v", got)
	}
	select {
	case <-m.Done():
		t.Error("done already")
	default:
	}
}

func TestDialFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script func(*server)
		is     error
		want   string
	}{
		{"no greeting", (*server).hold, context.DeadlineExceeded, "deadline exceeded"},
		{"half a greeting", func(s *server) { io.WriteString(s, `{"QMP":`); s.hold() }, context.DeadlineExceeded, "deadline exceeded"},
		{"no capabilities", func(s *server) { s.say(greeting); s.hold() }, context.DeadlineExceeded, "deadline exceeded"},
		{"garbage", func(s *server) { s.say("SSH-2.0-OpenSSH_9.2"); s.hold() }, nil, "invalid character 'S'"},
		{"end before the greeting", func(s *server) {}, nil, "QEMU closed the connection"},
		{"end in the greeting", func(s *server) { io.WriteString(s, `{"QMP":`) }, io.ErrUnexpectedEOF, ""},
		{"end after the greeting", func(s *server) { s.say(greeting); s.hear() }, nil, "QEMU closed the connection"},
		{"refused", func(s *server) {
			s.say(greeting)
			s.hear()
			s.say(`{"error": {"class": "GenericError", "desc": "not today"}}`)
			s.hold()
		}, nil, "not today"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := serve(t, tt.script)
			patience := hurry
			if tt.is == context.DeadlineExceeded {
				patience = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := Dial(ctx, path)
			wantError(t, err, tt.is, "waiting for QEMU's QMP greeting at "+path+": ", tt.want)
			noneLeft(t)
			// The end of the script, which serve waits for, shows that the
			// connection is closed as well.
		})
	}
}

func TestDialNobody(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "qmp")
	_, err := Dial(t.Context(), missing)
	wantError(t, err, fs.ErrNotExist, "connecting to QMP at "+missing)

	// What a QEMU that was killed leaves.
	l, err := net.Listen("unix", missing)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	_, err = Dial(t.Context(), missing)
	wantError(t, err, unix.ECONNREFUSED, "connecting to QMP at "+missing)
	noneLeft(t)
}

// TestDialCancelled: a context without a deadline ends it as well, and the
// error says why it did.
func TestDialCancelled(t *testing.T) {
	died := errors.New("QEMU has exited with status 1")
	ctx, cancel := context.WithCancelCause(t.Context())
	path := serve(t, func(s *server) { cancel(died); s.hold() })
	_, err := Dial(ctx, path)
	wantError(t, err, died, "QMP greeting at "+path)
	noneLeft(t)
}

// TestDialAtTheLastMoment: the context ends while the connection is agreed on.
// Whatever wins, nothing is left.
func TestDialAtTheLastMoment(t *testing.T) {
	for i := range 150 {
		ctx, cancel := context.WithCancel(t.Context())
		at := func(moment int) {
			if i%3 == moment {
				cancel()
			}
		}
		path := serve(t, func(s *server) {
			s.say(greeting)
			s.hear()
			at(0)
			s.say(empty)
			at(1)
			s.say(event("RESUME"), empty, event("STOP")) // an answer to nothing is in the way
			s.hold()
		})
		m, err := Dial(ctx, path)
		at(2)
		if err == nil {
			closeSoon(t, m)
		} else {
			wantError(t, err, context.Canceled)
		}
		noneLeft(t)
	}
}
