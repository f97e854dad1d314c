package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fuzzLimits end what would only take time.
var fuzzLimits = Limits{Bytes: 1 << 20, Entries: 200, Depth: 20, Path: 500, Free: 1}

// unpackHostile unpacks an archive beside things that it would like to change, in
// both ways, and looks for what was made or changed outside, and for what the
// host would follow or open in it.
func unpackHostile(t *testing.T, out *outside, archive []byte) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, merge := range []bool{overlaid, merged} {
		u, err := newUnpacker(out.into(), fuzzLimits, merge)
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(u.layer(ctx, bytes.NewReader(archive)), u.close())
		t.Log(err)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		out.check(t)
		err = filepath.WalkDir(out.into(), func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			var st unix.Stat_t
			if err := unix.Lstat(path, &st); err != nil {
				return err
			}
			switch kind := st.Mode & unix.S_IFMT; {
			case kind == unix.S_IFDIR, kind == unix.S_IFREG, kind == unix.S_IFLNK, kind == unix.S_IFIFO:
			case isWhiteout(&st) && !merge:
			case isWhiteout(&st): // of the first time
			default:
				t.Errorf("%s is of type %o, device %x", path, kind, st.Rdev)
			}
			if name, _ := filepath.Rel(out.into(), path); len(name) > fuzzLimits.Path || strings.Count(name, "/") >= fuzzLimits.Depth {
				t.Errorf("%s is over the limits", name)
			}
			return nil
		})
		if err != nil && !errors.Is(err, os.ErrPermission) {
			t.Error(err)
		}
	}
	if err := removeTree(out.into()); err != nil {
		t.Error(err)
	}
}

// FuzzUnpack unpacks archives of all kinds of entries, three bytes for each,
// whose names and targets are put together from what hostile ones are made of.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{1, 0x23, 0x10, 4, 0x23, 0x60})             // a -> ../ and the file a/secret
	f.Add([]byte{3, 0x23, 0x70, 4, 0x23, 0x50})             // a -> /.../folder and the file a/evil
	f.Add([]byte{1, 0x23, 0x24, 1, 0x24, 0x23, 2, 0x33, 0}) // a -> b -> a and the folder a/a
	f.Add([]byte{1, 0x23, 0x10, 5, 0x25, 0x36, 0, 0x25, 0}) // a -> ../, evil a second name of a/secret, and the file evil
	f.Add([]byte{0, 0x93, 0, 2, 0x33, 0, 6, 0x13, 0x33})    // the whiteout of a, and the folder a/a
	f.Fuzz(func(t *testing.T, program []byte) {
		out := newOutside(t)
		parts := []string{"", "..", ".", "a", "b", "evil", "secret", "folder", "layer", ".wh.a", "..a", "c", ".wh..wh..opq", ".wh...", "dev", ".wh..wh.plnk"}
		name := func(b byte) string {
			return parts[int(b>>4)%len(parts)] + "/" + parts[int(b&15)%len(parts)]
		}
		var entries []entry
		for ; len(program) >= 3 && len(entries) < 100; program = program[3:] {
			e := entry{kind: tar.TypeReg, name: name(program[1]), mode: 0o6777}
			switch program[0] % 9 {
			case 1:
				e.kind, e.content = tar.TypeSymlink, name(program[2])
			case 2:
				e.kind = tar.TypeDir
			case 3:
				e.kind, e.content = tar.TypeSymlink, filepath.Join(out.dir, name(program[2]))
			case 4: // a deeper name
				e.name += "/" + name(program[2])
			case 5:
				e.kind, e.content = tar.TypeLink, name(program[2])
			case 6: // a deeper name
				e.kind, e.content = tar.TypeLink, name(program[2])+"/"+name(program[1])
			case 7:
				e.kind = tar.TypeFifo
			case 8:
				e.kind = tar.TypeChar
			}
			if e.kind != tar.TypeDir { // archive/tar writes no such name with a slash at its end
				e.name = strings.TrimRight(e.name, "/")
			}
			entries = append(entries, e)
		}
		unpackHostile(t, out, archive(t, entries...))
	})
}

// FuzzUnpackBytes unpacks whatever bytes there are. So that they are more often
// an archive, each block that looks like a header gets its checksum.
func FuzzUnpackBytes(f *testing.F) {
	f.Add(archive(f, dir("d", 0o755), reg("d/f", 0o4755, "content"), link("l", "d/f"), symlink("s", "../secret"), reg("s", 0o644, "x"), reg("d/.wh.f", 0o644, "")))
	f.Add(archive(f, symlink("out", "../../../.."), reg("out/secret", 0o644, "x"), link("evil", "out/secret")))
	f.Add(headers(f, tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("long/", 30) + "f", Mode: 0o644, PAXRecords: with("user.a", "b")},
		tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "../x"}}, tar.Header{Typeflag: tar.TypeReg, Name: "f", Format: tar.FormatGNU}))
	f.Add(append(rawEntry('x', "pax", "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n28 GNU.sparse.name=../evil\n30 GNU.sparse.realsize=99999\n"), rawEntry('0', "f", "1\n0\n5\n"+strings.Repeat("\x00", 505)+"hello")...))
	f.Add(append(rawEntry('L', "././@LongLink", "../../secret\x00"), rawEntry('0', "f", "x")...))
	f.Add(rawEntry('S', "sparse", ""))
	f.Fuzz(func(t *testing.T, given []byte) {
		b := slices.Clone(given)
		for at := 0; at+512 <= len(b); at += 512 {
			h := b[at : at+512]
			if !bytes.HasPrefix(h[257:], []byte("ustar")) {
				continue
			}
			copy(h[148:], "        ")
			sum := 0
			for _, c := range h {
				sum += int(c)
			}
			copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		}
		unpackHostile(t, newOutside(t), b)
	})
}
