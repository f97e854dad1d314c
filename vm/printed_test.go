package vm

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBoundPrinted: a guest that prints without end fills no memory, and its first and
// last words are kept.
func TestBoundPrinted(t *testing.T) {
	f, err := memfd("console")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() { boundPrinted(done, f); close(ended) }()
	defer func() { close(done); <-ended }()
	write := func(text string) {
		t.Helper()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("the first words\n")
	for range 16 {
		write(strings.Repeat("x", 1<<20))
	}
	occupied := func() int64 {
		t.Helper()
		st, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return st.Sys().(*syscall.Stat_t).Blocks * 512
	}
	const most = 2*printedEnd + 1<<16 // whole pages
	for begin := time.Now(); occupied() > most; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("it occupies %d bytes, want at most %d", occupied(), most)
		}
	}
	write("the last words\n")
	first := make([]byte, 16)
	if _, err := f.ReadAt(first, 0); !bytes.Equal(first, []byte("the first words\n")) || err != nil {
		t.Errorf("it begins with %q, %v", first, err)
	}
	if last := tail(f, 15); last != "the last words" {
		t.Errorf("it ends with %q", last)
	}
}
