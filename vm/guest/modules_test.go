package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestOpenModules(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"full", "empty"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"full/10-c.ko", "full/02-a.ko", "full/00-z.ko", "full/01-b.ko", "file"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		want   []string
		failed error
	}{
		{"missing", nil, nil}, // the kernel has all built in
		{"empty", nil, nil},
		{"full", []string{"00-z.ko", "01-b.ko", "02-a.ko", "10-c.ko"}, nil}, // in the host's order
		{"file", nil, unix.ENOTDIR},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, tt.name)
			m, err := openModules(path)
			if tt.failed != nil {
				if !errors.Is(err, tt.failed) || !strings.Contains(err.Error(), path) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, append([]string(nil), m.names...)); diff != "" {
				t.Error(diff)
			}
			if len(tt.want) == 0 {
				if err := m.load(); err != nil {
					t.Errorf("loading nothing: %v", err)
				}
			}
		})
	}
}

// TestLoadGone: a module that cannot be loaded is named. (None is given to the
// kernel here, which is the host's.)
func TestLoadGone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, "00-virtio.ko")); err != nil {
		t.Fatal(err)
	}
	m, err := openModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = m.load()
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "loading the module 00-virtio.ko: open: ") {
		t.Errorf("%v", err)
	}

	// One that the workload does not need is no reason to stop it.
	g, w := newGuest(t)
	g.late = m
	g.loadLate()
	select {
	case <-w.off:
		t.Error("powered off")
	default:
	}
	if b, err := os.ReadFile(w.console.Name()); !strings.Contains(string(b), "00-virtio.ko") {
		t.Errorf("console: %q, %v", b, err)
	}
}
