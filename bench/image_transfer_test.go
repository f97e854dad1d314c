package main

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"vmctr/images/registry"
)

// screen is a buffer that several write to.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestTransfer: a bar on a terminal, lines elsewhere.
func TestTransfer(t *testing.T) {
	blob := func(digit string, size int64) v1.Descriptor {
		return v1.Descriptor{MediaType: types.OCILayer, Size: size, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(digit, 64)}}
	}
	a, b, c := blob("a", 4<<20), blob("b", 100), blob("c", 0)
	manifest := v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: blob("d", 1).Digest}
	for _, terminal := range []bool{false, true} {
		var s screen
		x := newTransfer(&s, terminal)
		x.event(registry.Event{Blob: manifest, State: registry.Moving})
		x.event(registry.Event{Blob: a, State: registry.Moving, Done: 1 << 20})
		x.event(registry.Event{Blob: c, State: registry.Moving})
		x.event(registry.Event{Blob: b, State: registry.Present})
		x.event(registry.Event{Blob: a, State: registry.Retrying, Err: errors.New("reset")})
		x.event(registry.Event{Blob: a, State: registry.Moving, Done: 2 << 20})
		if terminal {
			for end := time.Now().Add(10 * time.Second); !strings.Contains(s.text(), "2.0MiB / 4.0MiB"); {
				if time.Now().After(end) {
					t.Fatalf("no bar: %q", s.text())
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		x.event(registry.Event{Blob: a, State: registry.Complete})
		x.close()
		for _, line := range []string{
			"bbbbbbbbbbbb: already here, 100 B\n", "aaaaaaaaaaaa: interrupted, trying again: reset\n", "aaaaaaaaaaaa: complete, 4.00 MiB\n",
		} {
			if !strings.Contains(s.text(), line) {
				t.Errorf("terminal %v: no %q in %q", terminal, line, s.text())
			}
		}
		if strings.Contains(s.text(), "[=") != terminal || strings.Contains(s.text(), "dddd") {
			t.Errorf("terminal %v: %q", terminal, s.text())
		}
	}
}
