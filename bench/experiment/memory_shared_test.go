package experiment

import (
	"os"
	"path/filepath"
	"testing"

	"vmctr/bench/platform"
)

// TestHasImage: a machine without a system has none to share.
func TestHasImage(t *testing.T) {
	machine := platform.Facts{Accelerator: "tcg", Parts: []platform.Part{{Name: "guest kernel"}}}
	for _, tt := range []struct {
		facts platform.Facts
		parts []platform.Part
		want  bool
	}{
		{platform.Facts{}, nil, true},
		{machine, nil, false},
		{machine, []platform.Part{{Name: "initramfs", WithImage: true}}, true},
	} {
		tt.facts.Parts = append(tt.facts.Parts[:len(tt.facts.Parts):len(tt.facts.Parts)], tt.parts...)
		if got := hasImage(Subject{Prepared: factual{facts: tt.facts}}); got != tt.want {
			t.Errorf("%+v: %v", tt.facts, got)
		}
	}
}

type factual struct {
	platform.Prepared
	facts platform.Facts
}

func (f factual) Facts() platform.Facts { return f.facts }

// TestCachedBelow: files that were just written are in the page cache, whole.
func TestCachedBelow(t *testing.T) {
	dir := t.TempDir()
	size := int64(3 * os.Getpagesize())
	for _, name := range []string{"a", "folder/b"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if got, err := cachedBelow(dir); err != nil || got != 2*size {
		t.Errorf("%d bytes, %v; want %d", got, err, 2*size)
	}
}
