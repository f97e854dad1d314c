package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vmctr/vm"
)

// TestKeptArchives: of what is kept for machines, clean takes what a killed run has
// left half written, or nobody has used for long; image prune takes all.
func TestKeptArchives(t *testing.T) {
	t.Setenv("BENCH_CACHE", filepath.Join(t.TempDir(), "cache"))
	dir := vm.BaseDir(cacheDir())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"used.cpio": time.Hour, "forgotten.cpio": 100 * 24 * time.Hour, "half.cpio.part-1": 2 * time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, 3<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		command []string
		says    string
		left    []string
	}{
		{[]string{"clean"}, "removed " + filepath.Join(dir, "half.cpio.part-1"), []string{"used.cpio"}},
		{[]string{"image", "prune", "--dry-run"}, "would free 3.00 MiB: 1 kept parts of an initramfs", []string{"used.cpio"}},
		{[]string{"image", "prune"}, "freed 3.00 MiB: 1 kept parts of an initramfs", nil},
	} {
		var stdout, stderr bytes.Buffer
		if code := bench(tt.command, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), tt.says) {
			t.Errorf("%q: status %d, %s, %s", tt.command, code, &stdout, &stderr)
		}
		var left []string
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			left = append(left, e.Name())
		}
		if err != nil || strings.Join(left, " ") != strings.Join(tt.left, " ") {
			t.Errorf("%q leaves %q, %v", tt.command, left, err)
		}
	}
}
