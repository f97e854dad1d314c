package images

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzUnpack unpacks archives of folders, files and links, three bytes per
// entry, whose names and targets are put together from what hostile ones are
// made of, and looks for what was made or changed outside. An archive of random
// bytes would only fail at its first checksum.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{1, 0x23, 0x10, 4, 0x23, 0x60})             // a -> ../ and the file a/secret
	f.Add([]byte{3, 0x23, 0x70, 4, 0x23, 0x50})             // a -> /.../folder and the file a/evil
	f.Add([]byte{1, 0x23, 0x24, 1, 0x24, 0x23, 2, 0x33, 0}) // a -> b -> a and the folder a/a
	f.Fuzz(func(t *testing.T, program []byte) {
		out := newOutside(t)
		parts := []string{"", "..", ".", "a", "b", "evil", "secret", "folder", "layer", ".wh.a", "..a", "c"}
		name := func(b byte) string {
			return parts[int(b>>4)%len(parts)] + "/" + parts[int(b&15)%len(parts)]
		}
		var entries []entry
		for ; len(program) >= 3; program = program[3:] {
			e := entry{kind: tar.TypeReg, name: name(program[1]), mode: 0o6777}
			switch program[0] % 5 {
			case 1:
				e.kind, e.content = tar.TypeSymlink, name(program[2])
			case 2:
				e.kind = tar.TypeDir
			case 3:
				e.kind, e.content = tar.TypeSymlink, filepath.Join(out.dir, name(program[2]))
			case 4: // a deeper name
				e.name += "/" + name(program[2])
			}
			if e.kind != tar.TypeDir { // archive/tar writes no such name with a slash at its end
				e.name = strings.TrimRight(e.name, "/")
			}
			entries = append(entries, e)
		}
		err := Unpack(t.Context(), bytes.NewReader(archive(t, entries...)), out.into())
		t.Log(err)
		out.check(t)
		// What the host would follow or open is not there.
		for name, mode := range tree(t, out.into()) {
			info, err := os.Lstat(filepath.Join(out.into(), name))
			if err != nil {
				t.Fatal(err)
			}
			if kind := info.Mode().Type(); kind&^(fs.ModeDir|fs.ModeSymlink) != 0 {
				t.Errorf("%s is %s", name, mode)
			}
		}
	})
}
