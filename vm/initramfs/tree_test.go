package initramfs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// needRoot skips a test that makes devices, or fails it where BENCH_REQUIRE
// says that it must run.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "root") {
		t.Fatal("BENCH_REQUIRE holds root, and this is not root")
	}
	t.Skip("making devices and owners needs root: sudo scripts/test")
}

// tree makes files by path; a folder's ends in a slash, a link's content
// begins with "->".
func tree(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else if target, ok := strings.CutPrefix(text, "->"); ok {
			err = errors.Join(err, os.Symlink(target, path))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAddTree(t *testing.T) {
	dir := tree(t, map[string]string{"b/file": "text", "b/a/": "", "a": "->/nowhere", "c": "", "not \xff UTF-8": ""})
	if err := errors.Join(
		os.Chmod(filepath.Join(dir, "c"), 0o750|os.ModeSetuid),
		os.Chmod(dir, 0o711),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	if uid == 0 {
		uid, gid = 1000, 70000
		for _, name := range []string{"a", "b", "b/file", "b/a", "fifo", "not \xff UTF-8", "."} {
			if err := os.Lchown(filepath.Join(dir, name), int(uid), int(gid)); err != nil {
				t.Fatal(err)
			}
		}
		// A change of owner would clear the set-user-ID bit: not c.
	}
	cOwner := uint32(os.Getuid())
	cGroup := uint32(os.Getgid())
	// Last, since each of the above changes a time. 1969 does not fit.
	for name, sec := range map[string]int64{"a": 5, "b/file": 77, "b/a": 78, "b": 79, "c": -1, "fifo": 80, "not \xff UTF-8": 1 << 33, ".": 81} {
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, name), []unix.Timespec{{}, {Sec: sec}}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			t.Fatal(err)
		}
	}
	want := []read{
		{Name: "a", Mode: unix.S_IFLNK | 0o777, UID: uid, GID: gid, MTime: 5, Content: "/nowhere"},
		{Name: "b", Mode: unix.S_IFDIR | 0o755, UID: uid, GID: gid, MTime: 79},
		{Name: "b/a", Mode: unix.S_IFDIR | 0o755, UID: uid, GID: gid, MTime: 78},
		{Name: "b/file", Mode: unix.S_IFREG | 0o644, UID: uid, GID: gid, MTime: 77, Content: "text"},
		{Name: "c", Mode: unix.S_IFREG | 0o4750, UID: cOwner, GID: cGroup},
		{Name: "fifo", Mode: unix.S_IFIFO | 0o600, UID: uid, GID: gid, MTime: 80},
		{Name: "not \xff UTF-8", Mode: unix.S_IFREG | 0o644, UID: uid, GID: gid, MTime: 1<<32 - 1},
	}
	t.Run("as the root", func(t *testing.T) {
		want := append([]read{{Name: ".", Mode: unix.S_IFDIR | 0o711, UID: uid, GID: gid, MTime: 81}}, want...)
		if diff := cmp.Diff(want, archive(t, func(w *Writer) error { return w.AddTree(dir, "") }), ignoreInode); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("with a prefix, through a link", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(dir, link); err != nil {
			t.Fatal(err)
		}
		below := []read{
			{Name: "run", Mode: unix.S_IFDIR | 0o755, MTime: 86400},
			{Name: "run/image", Mode: unix.S_IFDIR | 0o711, UID: uid, GID: gid, MTime: 86400},
		}
		for _, e := range want {
			e.Name, e.MTime = "run/image/"+e.Name, 86400
			below = append(below, e)
		}
		got := archive(t, func(w *Writer) error {
			w.ModTime = time.Unix(86400, 0)
			return w.AddTree(link, "run/image")
		})
		if diff := cmp.Diff(below, got, ignoreInode); diff != "" {
			t.Error(diff)
		}
	})
}

// archive is what an archive has that add fills.
func archive(t *testing.T, add func(*Writer) error) []read {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := errors.Join(add(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	return mustRead(t, b.Bytes())
}

func TestLayers(t *testing.T) {
	lower := tree(t, map[string]string{"etc/a": "lower", "etc/b": "lower", "lib": "->usr/lib", "usr/lib/x": "lower", "empty/": ""})
	upper := tree(t, map[string]string{"etc/a": "upper", "lib/y": "upper", "empty": "a file now"})
	got, err := unpack(archive(t, func(w *Writer) error {
		return errors.Join(w.AddTree(lower, ""), w.AddTree(upper, ""))
	}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/a": "upper", "etc/b": "lower", "lib/y": "upper", "usr/lib/x": "lower", "empty": "a file now",
	} {
		if got[name].Content != want {
			t.Errorf("%s has %q, want %q", name, got[name].Content, want)
		}
	}
	if _, through := got["usr/lib/y"]; through || got["lib"].Mode&unix.S_IFMT != unix.S_IFDIR {
		t.Error("the upper folder lib did not replace the lower link")
	}
}

func TestLayersRefused(t *testing.T) {
	needRoot(t)
	lower := tree(t, map[string]string{"dir/a": "lower", "file": "lower"})
	whiteout := func(dir, name string) error { return unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR, 0) }
	for _, c := range []struct {
		name, want string
		make       func(upper string) error
	}{
		{"a whiteout of a file", "whiteout", func(upper string) error { return whiteout(upper, "file") }},
		{"a whiteout of a folder", "whiteout", func(upper string) error { return whiteout(upper, "dir") }},
		{"a whiteout of nothing", "", func(upper string) error { return whiteout(upper, "nothing") }},
		{"a file over a folder", "not empty", func(upper string) error { return os.WriteFile(filepath.Join(upper, "dir"), nil, 0o644) }},
		{"an opaque folder", "opaque", func(upper string) error {
			dir := filepath.Join(upper, "dir")
			return errors.Join(os.Mkdir(dir, 0o755), unix.Setxattr(dir, "trusted.overlay.opaque", []byte("y"), 0))
		}},
		{"a device", "", func(upper string) error {
			return unix.Mknod(filepath.Join(upper, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
		}},
		{"a disk", "", func(upper string) error {
			return unix.Mknod(filepath.Join(upper, "vda"), unix.S_IFBLK|0o600, int(unix.Mkdev(254, 0)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			upper := t.TempDir()
			if err := c.make(upper); errors.Is(err, unix.EOPNOTSUPP) {
				t.Skip("the file system of TMPDIR has no trusted attributes; try another")
			} else if err != nil {
				t.Fatal(err)
			}
			w := NewWriter(io.Discard)
			err := errors.Join(w.AddTree(lower, "root"), w.AddTree(upper, "root"))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error: %v\nwant one that says: %s", err, c.want)
			}
		})
	}
}

func TestAddTreeBad(t *testing.T) {
	dir := tree(t, map[string]string{"file": ""})
	for path, want := range map[string]string{
		filepath.Join(dir, "nothing"): "no such file",
		filepath.Join(dir, "file"):    "not a directory",
	} {
		err := NewWriter(io.Discard).AddTree(path, "")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("error: %v\nwant one that says: %s, %s", err, path, want)
		}
	}
}
