package images

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestScratch: it lasts as long as its process, and what a killed one left is removed.
func TestScratch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "scratch")
	if swept, err := SweepScratch(t.Context(), dir); err != nil || swept != nil {
		t.Errorf("where there is none: %q, %v", swept, err)
	}
	s, err := NewScratch(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if swept, err := SweepScratch(t.Context(), dir); err != nil || swept != nil {
		t.Errorf("one in use: %q, %v", swept, err)
	}
	killed, err := NewScratch(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	killed.lock.Close() // as the kernel does at its end
	if swept, err := SweepScratch(t.Context(), dir); err != nil || !slices.Equal(swept, []string{killed.path}) {
		t.Errorf("one of a killed process: %q, %v, want %q", swept, err, killed.path)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "lock" {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestWithData: the layer has its files, is the same whenever it is made, and comes out
// of a store as it should.
func TestWithData(t *testing.T) {
	base, err := Workload([]byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := WithData(base, 3, 3000)
	if err != nil {
		t.Fatal(err)
	}
	again, err := WithData(base, 3, 3000)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := img.Digest()
	if two, err := again.Digest(); err != nil || one != two {
		t.Errorf("made again it is %v, not %v (%v)", two, one, err)
	}
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stored, err := s.Put(t.Context(), "more", img)
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := stored.Unpack(t.Context())
	if err != nil || len(dirs) != 3 {
		t.Fatalf("unpacked: %q, %v", dirs, err)
	}
	var contents [][]byte
	for _, name := range []string{"000000", "000001", "000002"} {
		b, err := os.ReadFile(filepath.Join(dirs[2], "bench/more", name))
		if err != nil || len(b) != 1000 {
			t.Fatalf("%s has %d bytes, %v", name, len(b), err)
		}
		contents = append(contents, b)
	}
	if slices.Equal(contents[0], contents[1]) {
		t.Error("two files are equal")
	}
	if p, err := stored.Process(nil); err != nil || p.Args[0] != "/bench/workload" {
		t.Errorf("it starts %q, %v", p.Args, err)
	}
}
