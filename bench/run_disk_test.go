package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRunDisk: two machines at once have the same disk, and each its own overlay over
// it: the disk stays as it is, bit for bit. What is given to be written is written,
// and what is not, is not.
func TestRunDisk(t *testing.T) {
	root := machineShell(t)
	for _, name := range []string{"dd", "head"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	content := bytes.Repeat([]byte("base\n"), 100_000) // no whole number of sectors
	disk := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	base := disk("the base: raw, with a comma")
	const script = `head -n 1 /dev/vda /dev/vdb; cat /sys/block/vdb/size
		echo $word | dd of=/dev/vda conv=fsync; head -n 1 /dev/vda
		test ! -b /dev/vdc || echo written | dd of=/dev/vdc conv=fsync
		echo written | dd of=/dev/vdb conv=fsync || echo cannot`
	var group sync.WaitGroup
	for _, tt := range []struct {
		word  string
		disks []string
	}{
		{"one", []string{base, base + ":ro", disk("written") + ":rw"}},
		{"two", []string{base + ":overlay", base + ":ro"}},
	} {
		group.Go(func() {
			args := []string{"--on", "vm-q35", "-e", "word=" + tt.word}
			for _, d := range tt.disks {
				args = append(args, "--disk", d)
			}
			out, stderr, code := benchRun(t, append(args, root, "sh", "-c", script)...)
			want := "==> /dev/vda <==\nbase\n\n==> /dev/vdb <==\nbase\n977\n" + tt.word + "\ncannot\n"
			if code != 0 || out != want {
				t.Errorf("status %d, output %q, want %q; %s", code, out, want, stderr)
			}
		})
	}
	group.Wait()
	for name, want := range map[string][]byte{base: content, filepath.Join(dir, "written"): append([]byte("written\n"), content[8:]...)} {
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got[:len(want)], want) {
			t.Errorf("%s begins with %.20q, want %.20q (%v)", name, got, want, err)
		}
	}

	// QEMUs tell each other by locks of bytes what they do with a file: who writes has
	// a shared one of byte 101 (QEMU, block/file-posix.c, RAW_PERM_LOCK_BASE).
	f, err := os.OpenFile(base, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: 101, Len: 1}); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := benchRun(t, "--on", "vm-q35", "--disk", base, root, "true"); code != exitRun || !strings.Contains(stderr, "another process using the image ["+base+"]") {
		t.Errorf("a disk that another writes to: status %d, %s", code, stderr)
	}
}
