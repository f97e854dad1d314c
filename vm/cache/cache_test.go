package cache

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	path := filepath.Join(dir, "file")
	if err := Write(path, text("one")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := Write(path, func(w io.Writer) error { text("half")(w); return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(path); string(b) != "one" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	left, err := os.ReadDir(dir)
	if len(left) != 1 || err != nil {
		t.Errorf("there are %v, %v", left, err)
	}
}

// TestIdentity: whatever is done to a file, or put in its place, is seen.
func TestIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]string{}
	look := func(what string) {
		t.Helper()
		id, err := Identity(path)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := seen[id]; ok {
			t.Errorf("%s is taken for: %s", what, before)
		}
		seen[id] = what
		time.Sleep(20 * time.Millisecond) // more than a tick of the kernel's clock
	}
	write("one")
	look("as written")
	write("two")
	look("written over")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	look("with other rights")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	write("two")
	look("another file")
	if Settled(path) {
		t.Error("what was written a moment ago can be relied on")
	}
	if _, err := Identity(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that there is not: %v", err)
	}
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{
		"new": time.Minute, "middle": time.Hour, "large": 2 * time.Hour, "old": 100 * time.Hour,
		"x" + part + "1": time.Minute, "x" + part + "2": 2 * time.Hour,
	} {
		path := filepath.Join(dir, name)
		size := 10
		if name == "large" {
			size = 1000
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		used := time.Now().Add(-age)
		if err := os.Chtimes(path, used, used); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"of-old": "old", "of-new": "new"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	// Who has one open reads on.
	f, err := Open(filepath.Join(dir, "new"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names := func(paths []string) (list []string) {
		for _, p := range paths {
			list = append(list, filepath.Base(p))
		}
		return list
	}
	l := Limits{Age: 50 * time.Hour, Bytes: 500}
	want := []string{"x" + part + "2", "large", "old"}
	for _, dry := range []bool{true, false} {
		removed, bytes, err := Prune(dir, l, dry)
		if err != nil {
			t.Fatal(err)
		}
		if bytes != 1020 {
			t.Errorf("%d bytes", bytes)
		}
		if diff := cmp.Diff(want, names(removed), sorted); diff != "" {
			t.Errorf("dry %v: %s", dry, diff)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "of-old")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link to what was removed: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "of-new")); err != nil {
		t.Error(err)
	}
	if _, _, err := Prune(dir, Limits{}, false); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); len(b) != 10 || err != nil {
		t.Errorf("of the removed file %d bytes are read, %v", len(b), err)
	}
	if left, err := os.ReadDir(dir); len(left) != 1 || err != nil { // what is being written
		t.Errorf("left are %v, %v", left, err)
	}
	if removed, _, err := Prune(filepath.Join(dir, "none"), l, false); len(removed) > 0 || err != nil {
		t.Errorf("no folder: %q, %v", removed, err)
	}
}

var sorted = cmp.Transformer("sort", func(list []string) map[string]bool {
	set := map[string]bool{}
	for _, s := range list {
		set[s] = true
	}
	return set
})
