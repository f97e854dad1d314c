package images

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// entry is one entry of an archive that a test makes, hostile ones with it:
// the writer of archive/tar checks no names.
type entry struct {
	kind    byte // tar.Type*
	name    string
	mode    int64
	content string // of a file; of a link, its target
}

var stamp = time.Unix(1_000_000_000, 0)

// archive is a tar archive whose entries belong to who runs the test.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Typeflag: e.kind, Name: e.name, Mode: e.mode, ModTime: stamp, Uid: os.Geteuid(), Gid: os.Getegid()}
		if e.kind == tar.TypeReg {
			h.Size = int64(len(e.content))
		} else {
			h.Linkname = e.content
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if e.kind == tar.TypeReg {
			if _, err := w.Write([]byte(e.content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tree is what is below dir: each name, with its mode and its content or
// target. The folder itself is ".".
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		m[name] = info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			m[name] += " " + string(b)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			m[name] = "-> " + target
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// outside is the folder around the one that is unpacked into, with things that
// a hostile archive would like to change.
type outside struct {
	dir    string
	before map[string]string
}

func newOutside(t testing.TB) *outside {
	t.Helper()
	o := &outside{dir: t.TempDir()}
	for _, err := range []error{
		os.WriteFile(filepath.Join(o.dir, "secret"), []byte("secret"), 0o600),
		os.Mkdir(filepath.Join(o.dir, "folder"), 0o700),
		os.Mkdir(o.into(), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	o.before = o.state(t)
	return o
}

// into is where to unpack.
func (o *outside) into() string { return filepath.Join(o.dir, "layer") }

// state is all but the layer, with the change times (ctime), which no chmod,
// chown or utimes leaves as they were.
func (o *outside) state(t testing.TB) map[string]string {
	t.Helper()
	m := tree(t, o.dir)
	for name := range m {
		if name == "layer" || strings.HasPrefix(name, "layer/") {
			delete(m, name)
			continue
		}
		info, err := os.Lstat(filepath.Join(o.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		m[name] += fmt.Sprintf(" owner %d:%d, %d links, changed %v", st.Uid, st.Gid, st.Nlink, st.Ctim)
	}
	return m
}

// check tells whether something outside was changed or added.
func (o *outside) check(t testing.TB) {
	t.Helper()
	if diff := cmp.Diff(o.before, o.state(t)); diff != "" {
		t.Errorf("outside of the folder:\n%s", diff)
	}
}
