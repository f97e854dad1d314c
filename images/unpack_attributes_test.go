package images

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// headers is a tar archive of these, with the content "content" for files.
func headers(t testing.TB, hs ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range hs {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len("content"))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte("content")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// with is a record of pax.
func with(attribute, value string) map[string]string {
	return map[string]string{"SCHILY.xattr." + attribute: value}
}

// xattrs are the extended attributes of a file.
func xattrs(t testing.TB, path string) map[string]string {
	t.Helper()
	list, value := make([]byte, 4096), make([]byte, 4096)
	n, err := unix.Llistxattr(path, list)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimRight(string(list[:n]), "\x00"), "\x00") {
		if name == "" || name == "security.selinux" {
			continue
		}
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatal(name, err)
		}
		got[name] = string(value[:n])
	}
	return got
}

// capability is that of setcap cap_net_raw=ep (capabilities(7)).
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func TestUnpackXattrs(t *testing.T) {
	own := func(h tar.Header) tar.Header { h.Uid, h.Gid = os.Geteuid(), os.Getegid(); return h }
	needs := map[string]string{"security.capability": capability}
	if !givesAway() {
		needs = map[string]string{}
	}
	for _, tt := range []struct {
		name string
		h    tar.Header
		want map[string]string // of the entry x
	}{
		{"of users", tar.Header{Typeflag: tar.TypeReg, Mode: 0o444, PAXRecords: with("user.a", "1")}, map[string]string{"user.a": "1"}},
		{"of a folder", tar.Header{Typeflag: tar.TypeDir, Mode: 0o555, PAXRecords: with("user.a", "1")}, map[string]string{"user.a": "1"}},
		{"of a link", tar.Header{Typeflag: tar.TypeSymlink, Linkname: "y", PAXRecords: with("user.a", "1")}, map[string]string{}},
		{"capability", tar.Header{Typeflag: tar.TypeReg, Mode: 0o755, PAXRecords: with("security.capability", capability)}, needs},
		{"trusted", tar.Header{Typeflag: tar.TypeReg, Mode: 0o755, PAXRecords: with("trusted.a", "1")}, map[string]string{}},
		{"a security module's label", tar.Header{Typeflag: tar.TypeReg, Mode: 0o755, PAXRecords: with("security.ima", "1")}, map[string]string{}},
		{"list of rights", tar.Header{Typeflag: tar.TypeReg, Mode: 0o755, PAXRecords: with("system.posix_acl_access", "1")}, map[string]string{}},
		{"ours", tar.Header{Typeflag: tar.TypeReg, Mode: 0o755, PAXRecords: with("user.bench.owner", "7:7")}, map[string]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			into := t.TempDir()
			tt.h.Name = "x"
			if err := Unpack(t.Context(), bytes.NewReader(headers(t, own(tt.h))), into); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, xattrs(t, filepath.Join(into, "x"))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnpackAttributesRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		h    tar.Header
		want string
	}{
		{"a forged opaque folder", tar.Header{Typeflag: tar.TypeDir, PAXRecords: with("trusted.overlay.opaque", "y")}, `entry "x": extended attribute "trusted.overlay.opaque": it is a mark of overlayfs`},
		{"a forged redirect", tar.Header{Typeflag: tar.TypeDir, PAXRecords: with("trusted.overlay.redirect", "/etc")}, "it is a mark of overlayfs"},
		{"a forged whiteout", tar.Header{Typeflag: tar.TypeReg, PAXRecords: with("user.overlay.whiteout", "y")}, "it is a mark of overlayfs"},
		{"a long attribute", tar.Header{Typeflag: tar.TypeReg, PAXRecords: with("user.a", strings.Repeat("a", 100_000))}, `extended attribute "user.a" of 100000 bytes`},
		{"no such owner", tar.Header{Typeflag: tar.TypeReg, Uid: 1<<32 - 1}, "its owner 4294967295:0 is none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := newOutside(t)
			tt.h.Name = "x"
			err := Unpack(t.Context(), bytes.NewReader(headers(t, tt.h)), out.into())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			out.check(t)
		})
	}
}

// TestUnpackOpaque: a folder that hides lower ones has the mark of overlayfs,
// however the archive says it.
func TestUnpackOpaque(t *testing.T) {
	for _, tt := range []struct {
		name    string
		entries []entry
	}{
		{"after its folder", []entry{dir("d", 0o755), reg("d/.wh..wh..opq", 0o644, "")}},
		{"before its folder", []entry{reg("d/.wh..wh..opq", 0o644, ""), dir("d", 0o755)}},
		{"without its folder", []entry{reg("d/.wh..wh..opq", 0o644, "")}},
		{"a whiteout, then a folder", []entry{reg(".wh.d", 0o644, ""), dir("d", 0o755)}},
		{"a folder, then a whiteout", []entry{dir("d", 0o755), reg(".wh.d", 0o644, "")}},
		{"a folder, a whiteout, a folder", []entry{dir("d", 0o755), reg(".wh.d", 0o644, ""), dir("d", 0o755), reg("d/f", 0o644, "")}},
		{"a whiteout, then what is in a folder", []entry{reg(".wh.d", 0o644, ""), reg("d/f", 0o644, "")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			into := t.TempDir()
			if err := Unpack(t.Context(), bytes.NewReader(archive(t, tt.entries...)), into); err != nil {
				t.Fatal(err)
			}
			mark := "trusted.overlay.opaque"
			if !givesAway() {
				mark = "user.overlay.opaque"
			}
			if got := xattrs(t, filepath.Join(into, "d")); got[mark] != "y" {
				t.Errorf("d has %v, want %s", got, mark)
			}
		})
	}
}

// TestUnpackRecordsOwners: without root it is written down whose a file is.
func TestUnpackRecordsOwners(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("for an ordinary user: TestNoRoot runs it")
	}
	into := t.TempDir()
	h := func(kind byte, name string, uid, gid int) tar.Header {
		return tar.Header{Typeflag: kind, Name: name, Mode: 0o555, Uid: uid, Gid: gid}
	}
	if err := Unpack(t.Context(), bytes.NewReader(headers(t,
		h(tar.TypeReg, "root", 0, 0), h(tar.TypeReg, "other", 100, 4_000_000_000), h(tar.TypeDir, "d", 0, 42), h(tar.TypeReg, "implied/mine", os.Geteuid(), os.Getegid()))), into); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"root": "0:0", "other": "100:4000000000", "d": "0:42", "implied": "0:0", "implied/mine": "", ".": "0:0"} {
		if got := xattrs(t, filepath.Join(into, name))[ownerAttribute]; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestUnpackSame: the same archive gives the same tree with the same times,
// folders with them that no entry describes.
func TestUnpackSame(t *testing.T) {
	into := t.TempDir()
	b := headers(t, tar.Header{Typeflag: tar.TypeReg, Name: "a/b/f", Mode: 0o644, ModTime: stamp},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "a/l", Linkname: "b", ModTime: stamp},
		tar.Header{Typeflag: tar.TypeFifo, Name: "a/p", ModTime: stamp})
	if err := Unpack(t.Context(), bytes.NewReader(b), into); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]time.Time{".": time.Unix(0, 0), "a": stamp, "a/b": stamp, "a/b/f": stamp, "a/l": stamp, "a/p": stamp} {
		if st, err := os.Lstat(filepath.Join(into, name)); err != nil || !st.ModTime().Equal(want) {
			t.Errorf("%s: %v, %v, want %v", name, st.ModTime(), err, want)
		}
	}
}

// rawEntry is an entry that archive/tar does not write.
func rawEntry(kind byte, name, content string) []byte {
	h := make([]byte, 512)
	copy(h, name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00", len(content), 0))
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return append(append(h, content...), make([]byte, (512-len(content)%512)%512)...)
}

// TestUnpackSparse: holes stay holes, and the content is the same.
func TestUnpackSparse(t *testing.T) {
	// As GNU tar --format=pax --sparse writes it (tar(5), "GNU.sparse.major").
	const size = 64 << 20
	sparse := "2\n1048576\n5\n67108864\n0\n"
	content := sparse + strings.Repeat("\x00", 512-len(sparse)) + "hello"
	var b bytes.Buffer
	// archive/tar writes none, so its records are those of another name.
	record := func(k, v string) string {
		r := fmt.Sprintf(" %s=%s\n", k, v)
		n := len(r) + 2
		if n > 99 {
			n++
		}
		return fmt.Sprintf("%d%s", n, r)
	}
	pax := record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.name", "holes") + record("GNU.sparse.realsize", fmt.Sprint(size))
	b.Write(rawEntry('x', "PaxHeaders", pax))
	b.Write(rawEntry('0', "GNUSparseFile.0/holes", content))
	b.Write(make([]byte, 1024))
	into := t.TempDir()
	if err := Unpack(t.Context(), &b, into); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(into, "holes"), &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != size || st.Blocks*512 > size/8 {
		t.Errorf("%d bytes in %d, want %d in far fewer", st.Size, st.Blocks*512, size)
	}
	f, err := os.Open(filepath.Join(into, "holes"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 7)
	if _, err := f.ReadAt(got, 1<<20-1); err != nil || string(got) != "\x00hello\x00" {
		t.Errorf("%q, %v", got, err)
	}
}
