package kernel

import (
	"os"
	"path/filepath"
	"testing"
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
			got, err := HasPVH(c.elf)
			if got != c.want || err != nil {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	_, err := HasPVH([]byte("text"))
	wantError(t, err, "PVH")
}

func TestELF(t *testing.T) {
	dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "made", "here")
	write := func(content []byte) *Kernel {
		files(t, dir, map[string][]byte{"vmlinuz": content})
		return &Kernel{Release: "6.1.0", Image: filepath.Join(dir, "vmlinuz")}
	}
	k := write(bzImage("6.1.0", payload(t, "lz4", vmlinux())))
	first, err := k.ELF(cache)
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
	second, err := k.ELF(cache)
	after, _ := os.Stat(second)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("it was not used again: %s, %v", second, err)
	}
	// Another kernel in the same place.
	third, err := write(bzImage("6.1.0", payload(t, "lz4", vmlinux(note("Xen", 18))))).ELF(cache)
	if err != nil || third == first {
		t.Errorf("%s, %v", third, err)
	}
	// What cannot be unpacked leaves nothing behind.
	_, err = write(bzImage("6.1.0", []byte("nonsense"))).ELF(cache)
	wantError(t, err, k.Image)
	left, err := os.ReadDir(cache)
	if len(left) != 2 || err != nil {
		t.Errorf("the cache has %v, %v", left, err)
	}
}
