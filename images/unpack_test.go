package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func dir(name string, mode int64) entry           { return entry{tar.TypeDir, name, mode, ""} }
func reg(name string, mode int64, c string) entry { return entry{tar.TypeReg, name, mode, c} }
func symlink(name, target string) entry           { return entry{tar.TypeSymlink, name, 0o777, target} }
func link(name, target string) entry              { return entry{tar.TypeLink, name, 0o644, target} }

func TestUnpack(t *testing.T) {
	for _, tt := range []struct {
		name    string
		entries []entry
		want    map[string]string
	}{
		{"nothing", nil, map[string]string{}},

		{"folder, file, link", []entry{dir("d/", 0o750), reg("d/f", 0o640, "hello"), symlink("d/l", "f")},
			map[string]string{"d": "drwxr-x---", "d/f": "-rw-r----- hello", "d/l": "-> f"}},
		{"mode of the root", []entry{dir("./", 0o711)}, map[string]string{".": "drwx--x--x"}},
		{"implied parents", []entry{reg("a/b/c", 0o600, "")},
			map[string]string{"a": "drwxr-xr-x", "a/b": "drwxr-xr-x", "a/b/c": "-rw------- "}},
		{"set-user-ID, set-group-ID, sticky", []entry{reg("su", 0o6755, "x"), dir("tmp", 0o1777)},
			map[string]string{"su": "ugrwxr-xr-x x", "tmp": "dtrwxrwxrwx"}},
		{"read-only", []entry{reg("f", 0o400, "x"), dir("d", 0o500)},
			map[string]string{"f": "-r-------- x", "d": "dr-x------"}},
		// The root of an image is its own.
		{"absolute name", []entry{reg("/etc/passwd", 0o644, "root")},
			map[string]string{"etc": "drwxr-xr-x", "etc/passwd": "-rw-r--r-- root"}},
		{"parent within", []entry{reg("./a/../b", 0o644, "b")}, map[string]string{"b": "-rw-r--r-- b"}},
		{"links keep their target", []entry{symlink("abs", "/etc/passwd"), symlink("up", "../../x"), symlink("dangling", "nothing")},
			map[string]string{"abs": "-> /etc/passwd", "up": "-> ../../x", "dangling": "-> nothing"}},
		{"through a link within", []entry{dir("usr/lib", 0o755), symlink("lib", "usr/lib"), reg("lib/f", 0o644, "f")},
			map[string]string{"usr": "drwxr-xr-x", "usr/lib": "drwxr-xr-x", "lib": "-> usr/lib", "usr/lib/f": "-rw-r--r-- f"}},

		// A link that leads out of the image leads to its root, as in a container.
		{"through a link outside", []entry{dir("folder", 0o755), symlink("out", ".."), reg("out/secret", 0o644, "new"), reg("out/folder/f", 0o644, "f")},
			map[string]string{"folder": "drwxr-xr-x", "out": "-> ..", "secret": "-rw-r--r-- new", "folder/f": "-rw-r--r-- f"}},
		{"folders through a link outside", []entry{symlink("out", "../.."), dir("out/folder", 0o700), dir("out/a/b", 0o755)},
			map[string]string{"out": "-> ../..", "folder": "drwx------", "a": "drwxr-xr-x", "a/b": "drwxr-xr-x"}},
		{"link through a link outside", []entry{symlink("out", "/"), symlink("out/evil", "/")}, map[string]string{"out": "-> /", "evil": "-> /"}},
		{"through a chain of links", []entry{dir("d", 0o755), symlink("a", "d/b"), symlink("d/b", "../c"), symlink("c", "d/../.."), reg("a/evil", 0o644, "")},
			map[string]string{"d": "drwxr-xr-x", "a": "-> d/b", "d/b": "-> ../c", "c": "-> d/../..", "evil": "-rw-r--r-- "}},
		{"a folder by two names", []entry{dir("usr/lib", 0o700), symlink("lib", "usr/lib"), dir("lib/x", 0o711), dir("usr/lib/x", 0o750)},
			map[string]string{"usr": "drwxr-xr-x", "usr/lib": "drwx------", "lib": "-> usr/lib", "usr/lib/x": "drwxr-x---"}},
		{"a link that changes while it is open", []entry{dir("a", 0o755), dir("b", 0o755), symlink("l", "a"), reg("l/1", 0o644, ""), symlink("l", "b"), reg("l/2", 0o644, "")},
			map[string]string{"a": "drwxr-xr-x", "b": "drwxr-xr-x", "l": "-> b", "a/1": "-rw-r--r-- ", "b/2": "-rw-r--r-- "}},
		{"a folder that changes while it is open", []entry{reg("a/b/1", 0o644, ""), reg("a", 0o644, ""), dir("a", 0o755), reg("a/b/2", 0o644, "")},
			map[string]string{"a": "drwxr-xr-x", "a/b": "drwxr-xr-x", "a/b/2": "-rw-r--r-- "}},

		{"hard link", []entry{reg("d/f", 0o640, "f"), link("l", "d/f"), link("/abs", "/d/f"), link("up", "d/../d/f")},
			map[string]string{"d": "drwxr-xr-x", "d/f": "-rw-r----- f", "l": "-rw-r----- f", "abs": "-rw-r----- f", "up": "-rw-r----- f"}},
		{"hard link to itself", []entry{reg("f", 0o640, "f"), link("f", "f")}, map[string]string{"f": "-rw-r----- f"}},
		{"hard link replaces file and folder", []entry{reg("f", 0o640, "f"), reg("x", 0o600, "x"), reg("y/in", 0o600, ""), link("x", "f"), link("y", "f")},
			map[string]string{"f": "-rw-r----- f", "x": "-rw-r----- f", "y": "-rw-r----- f"}},
		// It is the link that gets a second name.
		{"hard link to a link", []entry{symlink("s", "../secret"), link("l", "s")}, map[string]string{"s": "-> ../secret", "l": "-> ../secret"}},
		{"file replaces hard link", []entry{reg("f", 0o640, "f"), link("l", "f"), reg("l", 0o600, "new")}, map[string]string{"f": "-rw-r----- f", "l": "-rw------- new"}},

		{"FIFO", []entry{{tar.TypeFifo, "fifo", 0o620, ""}}, map[string]string{"fifo": "prw--w----"}},
		{"devices in dev", []entry{dir("dev", 0o755), {tar.TypeChar, "dev/null", 0o666, ""}, {tar.TypeBlock, "./dev/a/sda", 0o660, ""}}, map[string]string{"dev": "drwxr-xr-x"}},

		{"whiteout", []entry{reg("a/.wh.b", 0o644, "")}, map[string]string{"a": "drwxr-xr-x", "a/b": "Dc---------"}},
		{"whiteout of what the layer has", []entry{reg("a/b", 0o644, ""), reg("a/.wh.b", 0o644, "")}, map[string]string{"a": "drwxr-xr-x", "a/b": "-rw-r--r-- "}},
		{"whiteout, then a file", []entry{reg("a/.wh.b", 0o644, ""), reg("a/b", 0o644, "")}, map[string]string{"a": "drwxr-xr-x", "a/b": "-rw-r--r-- "}},
		{"whiteout by a folder's name", []entry{dir("a/.wh.b/", 0o755)}, map[string]string{"a": "drwxr-xr-x", "a/b": "Dc---------"}},
		{"the books of AUFS", []entry{dir(".wh..wh.plnk", 0o700), reg(".wh..wh.plnk/1.2", 0o644, ""), reg("a/.wh..wh.aufs", 0o644, ""), dir("a/.wh..wh.orph/x", 0o755)}, map[string]string{}},
		{"not quite whiteouts", []entry{reg("a.wh.b", 0o644, ""), reg("wh.", 0o644, ""), reg(".whx", 0o644, "")},
			map[string]string{"a.wh.b": "-rw-r--r-- ", "wh.": "-rw-r--r-- ", ".whx": "-rw-r--r-- "}},
		{"a long name", []entry{reg(strings.Repeat(strings.Repeat("n", 200)+"/", 3)+"f", 0o644, "")},
			map[string]string{strings.Repeat("n", 200): "drwxr-xr-x", strings.Repeat("n", 200) + "/" + strings.Repeat("n", 200): "drwxr-xr-x",
				strings.Repeat(strings.Repeat("n", 200)+"/", 2) + strings.Repeat("n", 200): "drwxr-xr-x", strings.Repeat(strings.Repeat("n", 200)+"/", 3) + "f": "-rw-r--r-- "}},

		{"file replaces file", []entry{reg("x", 0o600, "long before"), reg("x", 0o644, "new")}, map[string]string{"x": "-rw-r--r-- new"}},
		{"file replaces folder", []entry{reg("x/in", 0o644, ""), reg("x", 0o644, "f")}, map[string]string{"x": "-rw-r--r-- f"}},
		{"file replaces link", []entry{reg("f", 0o600, "f"), symlink("x", "f"), reg("x", 0o644, "new")},
			map[string]string{"f": "-rw------- f", "x": "-rw-r--r-- new"}},
		{"link replaces folder", []entry{reg("x/in", 0o644, ""), symlink("x", "y")}, map[string]string{"x": "-> y"}},
		{"folder replaces file", []entry{reg("x", 0o644, "f"), dir("x", 0o700), reg("x/in", 0o600, "")},
			map[string]string{"x": "drwx------", "x/in": "-rw------- "}},
		{"folder replaces link", []entry{dir("d", 0o755), symlink("x", "d"), dir("x", 0o700), reg("x/in", 0o600, "")},
			map[string]string{"d": "drwxr-xr-x", "x": "drwx------", "x/in": "-rw------- "}},
		{"folder keeps its content", []entry{reg("x/in", 0o644, "in"), dir("x", 0o700)},
			map[string]string{"x": "drwx------", "x/in": "-rw-r--r-- in"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := newOutside(t)
			if err := Unpack(t.Context(), bytes.NewReader(archive(t, tt.entries...)), out.into()); err != nil {
				t.Fatal(err)
			}
			if _, ok := tt.want["."]; !ok {
				tt.want["."] = "drwxr-xr-x"
			}
			if diff := cmp.Diff(tt.want, tree(t, out.into())); diff != "" {
				t.Error(diff)
			}
			out.check(t)
		})
	}
}

func TestUnpackRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		entries []entry // OUTSIDE is the path of the folder around
		want    string
	}{
		{"parent", []entry{reg("../evil", 0o644, "")}, `entry "../evil": the name leaves the image`},
		{"parent of a folder", []entry{dir("a", 0o755), reg("a/../../evil", 0o644, "")}, "the name leaves the image"},
		{"only parent", []entry{dir("..", 0o777)}, "the name leaves the image"},
		{"absolute parent", []entry{reg("/../evil", 0o644, "")}, "the name leaves the image"},
		{"parent of a link", []entry{symlink("../evil", "secret")}, "the name leaves the image"},

		{"through a link to a path of the host", []entry{symlink("out", "OUTSIDE"), reg("out/evil", 0o644, "")}, `its folder "out": it is a symbolic link that leads nowhere`},
		{"through a link in a loop", []entry{symlink("a", "b"), symlink("b", "a"), reg("a/evil", 0o644, "")}, `entry "a/evil": `},
		{"through a file", []entry{reg("a", 0o644, ""), reg("a/b", 0o644, "")}, `entry "a/b": opening its folder "a": not a directory`},
		{"the root as a file", []entry{reg("keep", 0o644, ""), reg(".", 0o644, "")}, `entry ".": `},
		{"the root as a link", []entry{symlink("./", "..")}, `entry "./": `},

		{"hard link", []entry{link("evil", "../secret")}, `entry "evil": hard link to "../secret": the name leaves the image`},
		{"hard link to a path of the host", []entry{link("evil", "OUTSIDE/secret")}, "secret\", which the layer does not hold"},
		{"hard link through a link", []entry{symlink("out", ".."), link("evil", "out/secret")}, `hard link to "out/secret", which the layer does not hold`},
		{"hard link to the root", []entry{link("evil", "/")}, `hard link to "/": it is the image's root`},
		{"hard link to a folder", []entry{dir("d", 0o755), link("evil", "d")}, `hard link to "d", which is a folder`},
		{"hard link below a file", []entry{reg("f", 0o644, ""), link("evil", "f/x")}, `hard link to "f/x", which the layer does not hold`},
		{"hard link to a whiteout", []entry{reg(".wh.x", 0o644, ""), link("evil", "x")}, `hard link to "x", which the layer removes`},
		{"hard link by the name of a whiteout", []entry{reg(".wh.x", 0o644, ""), link("evil", ".wh.x")}, `hard link to ".wh.x", which is a mark`},
		{"hard link in the place of its target's folder", []entry{reg("d/f", 0o644, ""), link("d", "d/f")}, "in the folder that it would replace"},

		{"character device", []entry{{tar.TypeChar, "null", 0o666, ""}}, `entry "null": a device node outside of dev/`},
		{"character device below another dev", []entry{{tar.TypeChar, "a/dev/null", 0o666, ""}}, `a device node outside of dev/`},
		{"block device", []entry{{tar.TypeBlock, "sda", 0o666, ""}}, `entry "sda": a device node`},
		{"unknown type", []entry{{'Z', "x", 0o666, ""}}, `entry "x": type "Z" is none that a layer holds`},

		{"whiteout of a parent", []entry{reg("a/.wh...", 0o644, "")}, `entry "a/.wh...": a whiteout for "..", which leaves its folder`},
		{"whiteout of its folder", []entry{reg("a/.wh..", 0o644, "")}, `a whiteout for "."`},
		{"whiteout of nothing", []entry{reg("a/.wh.", 0o644, "")}, `a whiteout for ""`},
		{"below a whiteout", []entry{dir("a/.wh.b", 0o755), reg("a/.wh.b/c", 0o644, "")}, `the name is below ".wh.b", which is a whiteout`},
		{"whiteout outside", []entry{reg("../.wh.secret", 0o644, "")}, "the name leaves the image"},
		{"whiteout of the whole image", []entry{reg(".wh..wh..opq", 0o644, "")}, "which overlayfs cannot do"},
		{"a long name", []entry{reg(strings.Repeat("n", 300), 0o644, "")}, "file name too long"},
		{"a very long name", []entry{reg(strings.Repeat("n/", 100_000)+"f", 0o644, "")}, `n/..."`},
		{"a deep name", []entry{dir(strings.Repeat("d/", 256), 0o755)}, "over the limit of a layer: the depth of a path is at most 255 names"},
		{"a deep name by links", []entry{dir(strings.Repeat("d/", 200), 0o755), symlink("l", strings.Repeat("d/", 200)), reg("l/"+strings.Repeat("d/", 60)+"f", 0o644, "")}, "the depth of a path is at most 255"},
		{"a long path", []entry{reg(strings.Repeat(strings.Repeat("d", 200)+"/", 16)+"f", 0o644, "")}, "the length of a path is at most 3072 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := newOutside(t)
			for i := range tt.entries {
				tt.entries[i].content = strings.ReplaceAll(tt.entries[i].content, "OUTSIDE", out.dir)
			}
			err := Unpack(t.Context(), bytes.NewReader(archive(t, tt.entries...)), out.into())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			out.check(t)
		})
	}
}

// TestUnpackOnHostile unpacks one layer over another, as Rootfs does: the
// lower one's links lead outside.
func TestUnpackOnHostile(t *testing.T) {
	lower := []entry{symlink("file", "../secret"), symlink("folder", "../folder"), symlink("absolute", "OUTSIDE/secret")}
	for _, tt := range []struct {
		name  string
		upper entry
		want  string // of the error; "" is none
		at    string // what the upper's name then is
	}{
		{"file on a link", reg("file", 0o666, "new"), "", "-rw-rw-rw- new"},
		{"file on an absolute link", reg("absolute", 0o666, "new"), "", "-rw-rw-rw- new"},
		{"folder on a link", dir("folder", 0o777), "", "drwxrwxrwx"},
		{"folder on a link to a file", dir("file", 0o777), "", "drwxrwxrwx"},
		{"link on a link", symlink("folder", "/"), "", "-> /"},
		{"file below a link", reg("folder/evil", 0o666, ""), "too many levels of symbolic links", ""},
		{"folder below a link", dir("folder/evil", 0o777), "too many levels of symbolic links", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := newOutside(t)
			for _, l := range lower {
				if err := os.Symlink(strings.ReplaceAll(l.content, "OUTSIDE", out.dir), filepath.Join(out.into(), l.name)); err != nil {
					t.Fatal(err)
				}
			}
			err := Unpack(t.Context(), bytes.NewReader(archive(t, tt.upper)), out.into())
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if got := tree(t, out.into())[tt.upper.name]; got != tt.at {
				t.Errorf("%s is %q, want %q", tt.upper.name, got, tt.at)
			}
			out.check(t)
		})
	}
}

func TestUnpackBroken(t *testing.T) {
	whole := archive(t, reg("a", 0o644, strings.Repeat("content", 1000)))
	for _, tt := range []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"not an archive", bytes.Repeat([]byte("no tar "), 200), "reading the archive: archive/tar: invalid tar header"},
		{"ends in a header", whole[:100], "reading the archive: unexpected EOF"},
		{"ends in a file", whole[:1024], `entry "a": unexpected EOF`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Unpack(t.Context(), bytes.NewReader(tt.bytes), t.TempDir())
			if err == nil || err.Error() != tt.want {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestUnpackCancelled(t *testing.T) {
	why := errors.New("the run is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	into := filepath.Join(t.TempDir(), "layer")
	if err := Unpack(ctx, bytes.NewReader(archive(t, reg("a", 0o644, ""))), into); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	if _, err := os.Lstat(filepath.Join(into, "a")); err == nil {
		t.Error("it was unpacked nevertheless")
	}
}

func TestUnpackTimes(t *testing.T) {
	into := t.TempDir()
	if err := Unpack(t.Context(), bytes.NewReader(archive(t, reg("f", 0o444, "f"), dir("d", 0o555))), into); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"f", "d"} {
		info, err := os.Stat(filepath.Join(into, name))
		if err != nil {
			t.Fatal(err)
		}
		if !info.ModTime().Equal(stamp) {
			t.Errorf("%s: modified %v, want %v", name, info.ModTime(), stamp)
		}
	}
}

func TestUnpackOwner(t *testing.T) {
	needRoot(t)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "d", Mode: 0o755, Uid: 1, Gid: 2},
		// The kernel clears both bits when the owner changes (chown(2)).
		{Typeflag: tar.TypeReg, Name: "su", Mode: 0o6755, Uid: 1000, Gid: 100},
		{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "su", Uid: 3, Gid: 4},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	into := t.TempDir()
	if err := Unpack(t.Context(), &b, into); err != nil {
		t.Fatal(err)
	}
	type owned struct {
		UID, GID uint32
		Mode     string
	}
	got := map[string]owned{}
	for _, name := range []string{"d", "su", "l"} {
		info, err := os.Lstat(filepath.Join(into, name))
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		got[name] = owned{st.Uid, st.Gid, info.Mode().String()}
	}
	want := map[string]owned{"d": {1, 2, "drwxr-xr-x"}, "su": {1000, 100, "ugrwxr-xr-x"}, "l": {3, 4, "Lrwxrwxrwx"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// needRoot skips a test that gives files away, or fails it where BENCH_REQUIRE
// says that root is there.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "root") {
		t.Fatal("BENCH_REQUIRE holds root, and this is not root")
	}
	t.Skip("chown(2) needs root: run as root: sudo scripts/test")
}
