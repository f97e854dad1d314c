package images

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPutOther: the other image is as large, has the same files and arguments, and no layer
// and no content of a large file in common with the workload's.
func TestPutOther(t *testing.T) {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := Workload(program)
	if err != nil {
		t.Fatal(err)
	}
	one, err := s.Put(t.Context(), WorkloadName, img)
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.PutOther(t.Context(), program)
	if err != nil {
		t.Fatal(err)
	}
	for n, id := range one.DiffIDs() {
		if other := two.DiffIDs()[n]; id == other {
			t.Errorf("layer %d is the same: %s", n, id)
		}
	}
	read := func(i *Image, name string) []byte {
		root, err := i.Rootfs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, name := range []string{"bench/data", "bench/workload"} {
		if a, b := read(one, name), read(two, name); len(a) != len(b) || bytes.Equal(a, b) {
			t.Errorf("%s has %d and %d bytes, equal: %v", name, len(a), len(b), bytes.Equal(a, b))
		}
	}
	// It runs: the byte that differs is one that the kernel does not look at.
	path := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(path, otherProgram(program), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, "-test.list", "PutOther").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("TestPutOther")) {
		t.Errorf("%s, %v", out, err)
	}
}
