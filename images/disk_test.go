package images

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// layered is an image of three layers in a store, of which the second is the
// first once more.
func layered(t *testing.T, folder string) (*Store, *Image) {
	t.Helper()
	s, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	base := archive(t, dir("etc/", 0o755), reg("etc/os-release", 0o644, "ID=test\n"))
	img := image(t, base, base, archive(t, dir("bin/", 0o755), reg("bin/program", 0o755, strings.Repeat("x", 100_000))))
	stored, err := s.Put(t.Context(), "layered", img)
	if err != nil {
		t.Fatal(err)
	}
	return s, stored
}

// TestDisks: each layer becomes a disk once, whoever asks and however many at the
// same time; an interrupted one is written anew; prune takes what nobody uses.
func TestDisks(t *testing.T) {
	dir := t.TempDir()
	s, img := layered(t, dir)
	top := s.path("disks", img.Config.RootFS.DiffIDs[2].Hex+".erofs")
	if err := os.WriteFile(top+".part", bytes.Repeat([]byte("rest"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, other := layered(t, dir)
			if _, err := other.Disks(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	disks, err := img.Disks(t.Context())
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if len(disks) != 3 || disks[0] != disks[1] || disks[2] != top {
		t.Fatalf("disks %q", disks)
	}
	var names []string
	entries, err := os.ReadDir(filepath.Dir(top))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{filepath.Base(disks[0]), filepath.Base(top)}
	slices.Sort(want)
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("files %q, want %q (%v)", names, want, err)
	}
	if st, err := os.Stat(top); err != nil || st.Size() < 100_000 || st.Size() > 120_000 {
		t.Errorf("a layer of 100,000 bytes makes a disk of %d: %v", st.Size(), err)
	}

	// The disk is kept, and with it there is no need of the folder.
	before, _ := os.Stat(top)
	if err := os.RemoveAll(s.path("layers", img.Config.RootFS.DiffIDs[2].Hex)); err != nil {
		t.Fatal(err)
	}
	if _, err := img.Disks(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(top); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was written once more (%v)", err)
	}

	if err := s.Remove("layered"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(top); err != nil {
		t.Errorf("prune takes a disk that is used: %v", err)
	}
}

func TestDisksCancelled(t *testing.T) {
	_, img := layered(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := img.Disks(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, err := filepath.Glob(img.store.path("disks", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
