package kernel

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vmctr/vm/cache"
)

func TestHasPVH(t *testing.T) {
	entry := []byte{0, 0, 0, 1}
	for _, c := range []struct {
		name string
		elf  []byte
		want bool
	}{
		{"the note", vmlinux(note("Xen", 18, entry...)), true},
		{"behind others", vmlinux(note("GNU", 3, 1, 2, 3, 4, 5), note("Linux", 0), note("Xen", 18, entry...)), true},
		{"no note", vmlinux(), false},
		{"another type", vmlinux(note("Xen", 6, entry...)), false},
		{"another owner", vmlinux(note("GNU", 18, entry...)), false},
		{"no address", vmlinux(note("Xen", 18)), false},
		{"cut off", vmlinux(note("Xen", 18, entry...)[:16]), false},
		{"a size beyond the end", vmlinux(changed(note("Xen", 18, entry...), func(b []byte) { le.PutUint32(b[4:], 0xffffffff) })), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := HasPVH(bytes.NewReader(c.elf))
			if got != c.want || err != nil {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	_, err := HasPVH(strings.NewReader("text"))
	wantError(t, err, "PVH")
}

func FuzzHasPVH(f *testing.F) {
	f.Add(vmlinux(note("GNU", 3, 1, 2, 3, 4, 5), note("Xen", 18, 0, 0, 0, 1)))
	f.Add(vmlinux(note("Xen", 18, 0, 0, 0, 1)[:16]))
	f.Add(ko("name=virtio"))
	f.Fuzz(func(t *testing.T, b []byte) {
		pvh, err := HasPVH(bytes.NewReader(b))
		// What says that it has an entry has its owner's name somewhere.
		if pvh && (err != nil || !bytes.Contains(b, []byte(noteOwner))) {
			t.Errorf("%v", err)
		}
	})
}

func TestELF(t *testing.T) {
	dir, kept := t.TempDir(), filepath.Join(t.TempDir(), "made", "here")
	write := func(content []byte) *Kernel {
		files(t, dir, map[string][]byte{"vmlinuz": content})
		return &Kernel{Release: "6.1.0", Image: filepath.Join(dir, "vmlinuz")}
	}
	k := write(bzImage("6.1.0", payload(t, "lz4", vmlinux())))
	first, err := k.ELF(kept)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(first); string(got) != string(vmlinux()) || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	second, err := k.ELF(kept)
	after, _ := os.Stat(second)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("it was not used again: %s, %v", second, err)
	}
	// Another kernel in the same place.
	third, err := write(bzImage("6.1.0", payload(t, "lz4", vmlinux(note("Xen", 18))))).ELF(kept)
	if err != nil || third == first {
		t.Errorf("%s, %v", third, err)
	}
	// What cannot be unpacked leaves nothing behind.
	_, err = write(bzImage("6.1.0", []byte("nonsense"))).ELF(kept)
	wantError(t, err, k.Image)
	left, err := os.ReadDir(kept)
	if len(left) != 2 || err != nil {
		t.Errorf("the cache has %v, %v", left, err)
	}
}

// TestELFKnown: a kernel that has been there for a while is read once, until it is
// another.
func TestELFKnown(t *testing.T) {
	t.Parallel() // it waits most of its time
	dir, kept := t.TempDir(), t.TempDir()
	k := &Kernel{Release: "6.1.0", Image: filepath.Join(dir, "vmlinuz")}
	write := func(notes ...[]byte) {
		t.Helper()
		files(t, dir, map[string][]byte{"vmlinuz": bzImage("6.1.0", payload(t, "lz4", vmlinux(notes...)))})
		for begin := time.Now(); !cache.Settled(k.Image); time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > time.Minute {
				t.Fatal("it never settles")
			}
		}
	}
	unpacked := func() string {
		t.Helper()
		path, err := k.ELF(kept)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	write()
	first := unpacked()
	links, err := filepath.Glob(filepath.Join(kept, "of-file-*"))
	if len(links) != 1 || err != nil {
		t.Fatalf("links %q, %v", links, err)
	}
	if second := unpacked(); second != first {
		t.Errorf("it is %s, and was %s", second, first)
	}
	// A link that leads nowhere, or elsewhere, is not followed.
	for _, target := range []string{"vmlinux-none", "../vmlinux-x", "/etc/passwd"} {
		if err := errors.Join(os.Remove(links[0]), os.Symlink(target, links[0])); err != nil {
			t.Fatal(err)
		}
		if again := unpacked(); again != first {
			t.Errorf("with a link to %s it is %s, and was %s", target, again, first)
		}
		if to, err := os.Readlink(links[0]); to != filepath.Base(first) {
			t.Errorf("the link to %s is now one to %s, %v", target, to, err)
		}
	}
	write(note("Xen", 18))
	if third := unpacked(); third == first {
		t.Error("another kernel is taken for the first")
	}
}
