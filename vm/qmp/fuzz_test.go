package qmp

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// FuzzServer: whatever a server says, a command ends by its deadline, and
// closing does at once.
func FuzzServer(f *testing.F) {
	for _, s := range []string{
		"",
		empty + "\n",
		empty + "\n" + empty + "\n" + empty + "\n",
		`{"error": {"class": "GenericError", "desc": "no"}}` + "\n",
		`{"error": {}}` + "\n",
		`{"return": {}, "id": 1}` + "\n",
		event("STOP") + "\n" + empty + "\n" + event("SHUTDOWN") + "\n",
		`{"event": "STOP", "timestamp": {"seconds": -9223372036854775808, "microseconds": 9223372036854775807}}` + "\n",
		`{"event": 1}` + "\n" + `{"event": "", "return": null}` + "\n",
		"[]\r\nnull\n\x00\xff\n",
		strings.Repeat("x", 1<<16+1),
	} {
		for where := range byte(4) {
			f.Add([]byte(s), where)
		}
	}
	f.Fuzz(func(t *testing.T, said []byte, where byte) {
		uninvited, ends := where&1 != 0, where&2 != 0
		m := dial(t, func(s *server) {
			if !uninvited {
				s.hear()
			}
			s.Write(said)
			if !ends {
				s.hold()
			}
		})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			start := time.Now()
			b, err := m.Run(ctx, "query-status", nil)
			cancel()
			if took := time.Since(start); took > hurry {
				t.Errorf("Run took %v", took)
			}
			var refused *CommandError
			switch {
			case err == nil && !json.Valid(b):
				t.Errorf("the reply is not JSON: %q", b)
			case errors.Is(err, context.DeadlineExceeded) && !m.isClosed():
				// On a busy machine, the time was up before it was sent.
			case err != nil && !errors.As(err, &refused):
				wantClosed(t, m, "") // since what comes next could be anything's reply
			}
		}
		m.Events()
	})
}
