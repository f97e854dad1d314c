package initramfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var ignoreInode = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".ino" }, cmp.Ignore())

// The bytes are those of buffer-format.rst, and cpio's own.
func TestGolden(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	w.ModTime = time.Unix(0x12345678, 0)
	if err := errors.Join(w.File("a/b", 0o644, []byte("hello")), w.Close()); err != nil {
		t.Fatal(err)
	}
	want := "070701" +
		"00000001" + "000041ED" + "00000000" + "00000000" + "00000001" + "12345678" + "00000000" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000002" + "00000000" + "a\x00" +
		"070701" +
		"00000002" + "000081A4" + "00000000" + "00000000" + "00000001" + "12345678" + "00000005" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000004" + "00000000" + "a/b\x00" + "\x00\x00" +
		"hello\x00\x00\x00" +
		"070701" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000001" + "12345678" + "00000000" +
		"00000000" + "00000000" + "00000000" + "00000000" + "0000000B" + "00000000" + "TRAILER!!!\x00" + "\x00\x00\x00"
	want += strings.Repeat("\x00", 512-len(want))
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// write writes one of everything.
func write(w *Writer) error {
	return errors.Join(
		w.Device("dev/console", 0o600, 5, 1),
		w.Dir("tmp", 0o777|fs.ModeSticky),
		w.File("bin/su", 0o755|fs.ModeSetuid|fs.ModeSetgid, []byte("program")),
		w.FileFrom("init", 0o755, 4, strings.NewReader("init and what is not read")),
		w.File("empty", 0, nil),
		w.Symlink("bin/sh", "su"),
		w.Close(),
	)
}

func TestWriter(t *testing.T) {
	var b bytes.Buffer
	if err := write(NewWriter(&b)); err != nil {
		t.Fatal(err)
	}
	want := []read{
		{Name: "dev", Mode: unix.S_IFDIR | 0o755},
		{Name: "dev/console", Mode: unix.S_IFCHR | 0o600, Rdev: [2]uint32{5, 1}},
		{Name: "tmp", Mode: unix.S_IFDIR | 0o1777},
		{Name: "bin", Mode: unix.S_IFDIR | 0o755},
		{Name: "bin/su", Mode: unix.S_IFREG | 0o6755, Content: "program"},
		{Name: "init", Mode: unix.S_IFREG | 0o755, Content: "init"},
		{Name: "empty", Mode: unix.S_IFREG},
		{Name: "bin/sh", Mode: unix.S_IFLNK | 0o777, Content: "su"},
	}
	got := mustRead(t, b.Bytes())
	if diff := cmp.Diff(want, got, ignoreInode); diff != "" {
		t.Error(diff)
	}
	if _, err := unpack(got); err != nil {
		t.Error(err)
	}
	var again bytes.Buffer
	if err := write(NewWriter(&again)); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Errorf("the same calls gave other bytes: %v", err)
	}
}

// TestCpio lists an archive with the program whose format it is.
func TestCpio(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("needs cpio; try: apt-get install cpio")
	}
	var b bytes.Buffer
	if err := write(NewWriter(&b)); err != nil {
		t.Fatal(err)
	}
	list := exec.Command(cpio, "--list", "--quiet")
	list.Stdin = &b
	out, err := list.CombinedOutput()
	if want := "dev\ndev/console\ntmp\nbin\nbin/su\ninit\nempty\nbin/sh\n"; string(out) != want || err != nil {
		t.Errorf("%v, %v:\n%swant:\n%s", list, err, out, want)
	}
}

func TestRefused(t *testing.T) {
	file := func(name string) func(*Writer) error {
		return func(w *Writer) error { return w.File(name, 0o644, nil) }
	}
	for _, c := range []struct {
		name, want string
		add        func(*Writer) error
	}{
		{"empty", "not a clean path", file("")},
		{"the root", "not a clean path", file(".")},
		{"absolute", "absolute", file("/etc/passwd")},
		{"parent", "leaves the root", file("../etc/passwd")},
		{"only parent", "leaves the root", file("..")},
		{"parent within", "not a clean path", file("a/../../b")},
		{"slash at the end", "not a clean path", file("a/")},
		{"NUL", "NUL", file("a\x00b")},
		{"trailer", "ends the archive", file("TRAILER!!!")},
		{"long", "4095", file(strings.Repeat("a/", 2047) + "aa")},
		{"too large", "4 GiB", func(w *Writer) error { return w.FileFrom("a", 0, math.MaxUint32+1, nil) }},
		{"negative", "does not fit", func(w *Writer) error { return w.FileFrom("a", 0, -1, nil) }},
		{"too short", "ends after 3 of 4 bytes", func(w *Writer) error { return w.FileFrom("a", 0, 4, strings.NewReader("abc")) }},
		{"cannot be read", "broken", func(w *Writer) error { return w.FileFrom("a", 0, 4, io.MultiReader(strings.NewReader("a"), broken{})) }},
		{"no target", "no path", func(w *Writer) error { return w.Symlink("a", "") }},
		{"long target", "no path", func(w *Writer) error { return w.Symlink("a", strings.Repeat("a", 4096)) }},
		{"target with NUL", "no path", func(w *Writer) error { return w.Symlink("a", "b\x00c") }},
		{"major", "no device", func(w *Writer) error { return w.Device("a", 0, 1<<12, 0) }},
		{"minor", "no device", func(w *Writer) error { return w.Device("a", 0, 0, 1<<20) }},
		{"time", "1970", func(w *Writer) error { w.ModTime = time.Unix(-1, 0); return w.Dir("a", 0) }},
		{"below a file", `"dir/file" above it`, file("dir/file/a")},
		{"far below a file", `"dir/file" above it`, file("dir/file/a/b/c")},
		{"below a link", `"link" above it`, file("link/a")},
		{"in place of a folder", "not empty", file("dir")},
		{"in place of a device", "device 1, 3", func(w *Writer) error { return w.Device("null", 0, 1, 5) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewWriter(io.Discard)
			if err := errors.Join(w.File("dir/file", 0, nil), w.Symlink("link", "dir"), w.Device("null", 0, 1, 3)); err != nil {
				t.Fatal(err)
			}
			err := c.add(w)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error: %v\nwant one that says: %s", err, c.want)
			}
			if again := w.Dir("b", 0); again != err {
				t.Errorf("after it: %v", again)
			}
			if closed := w.Close(); closed != err {
				t.Errorf("closing: %v", closed)
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error)  { return 0, errors.New("broken") }
func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestWriteFails(t *testing.T) {
	w := NewWriter(broken{})
	err := errors.Join(w.File("a", 0, make([]byte, 1<<20)), w.Close())
	if err == nil || !strings.Contains(err.Error(), "broken") {
		t.Error(err)
	}
	if err := write(NewWriter(broken{})); err == nil || !strings.Contains(err.Error(), "writing its end: broken") {
		t.Error(err)
	}
}

func TestClosed(t *testing.T) {
	w := NewWriter(io.Discard)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Dir("a", 0) == nil || w.Close() == nil {
		t.Error("it can be used after Close")
	}
}

// What comes again must arrive in the guest.
func TestAgain(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := errors.Join(
		w.File("file", 0o600, []byte("old and longer")), w.File("file", 0o644, []byte("new")),
		w.Dir("dir", 0o700), w.File("dir/a", 0, nil), w.Dir("dir", 0o755),
		w.Symlink("link", "old"), w.Symlink("link", "new"),
		w.Dir("becomes-file", 0o755), w.File("becomes-file", 0o644, nil),
		w.File("becomes-dir", 0o644, nil), w.File("becomes-dir", 0o644, nil), w.Dir("becomes-dir", 0o755), w.File("becomes-dir/a", 0, nil),
		w.Device("null", 0o600, 1, 3), w.Device("null", 0o666, 1, 3),
		w.Close(),
	); err != nil {
		t.Fatal(err)
	}
	got, err := unpack(mustRead(t, b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if got["file"].Content != "new" || got["dir"].Mode != unix.S_IFDIR|0o755 || got["link"].Content != "new" {
		t.Errorf("%+v", got)
	}
}

// FuzzWriter writes what it is told, three bytes per entry, and checks that the
// kernel would take all that the Writer took.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x01\x02\x03\x02\x03\x04"))
	f.Add([]byte("\x01\x01\x00\x01\x06\x00\x00\x00\x00\x03\x01\x00"))
	names := []string{"a", "a/b", "a/b/c", "b", "b/a", "a/c", "/a", "..", "a/TRAILER!!!", "TRAILER!!!", "\xff"}
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		w := NewWriter(&out)
		want := make(map[string]read)
		for ; len(b) >= 3; b = b[3:] {
			name := names[int(b[1])%len(names)]
			e := read{Name: name}
			var err error
			perm := uint32(b[2])
			switch b[0] % 4 {
			case 0:
				e.Mode, err = unix.S_IFDIR|perm, w.Dir(name, fs.FileMode(perm))
			case 1:
				e.Mode, e.Content = unix.S_IFREG|perm, string(b)
				err = w.File(name, fs.FileMode(perm), b)
			case 2:
				e.Mode, e.Content = unix.S_IFLNK|0o777, string(b)
				err = w.Symlink(name, e.Content)
			case 3:
				e.Mode, e.Rdev = unix.S_IFCHR, [2]uint32{perm, 1}
				err = w.Device(name, 0, perm, 1)
			}
			if err != nil {
				return
			}
			want[name] = e
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := unpack(mustRead(t, out.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		for name, e := range want {
			if got[name] != e {
				t.Errorf("%q is %+v, and should be %+v", name, got[name], e)
			}
		}
	})
}
