package build

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// packaged is a Debian package that a test makes.
type packaged struct {
	version, arch string // "1.0-1" and "all" if they are not given
	control       string // fields after Package, Version and Architecture
	info          map[string]string
	files         []tar.Header
	content       map[string]string
}

// deb makes a package, compressed as the suffix says.
func (p packaged) deb(t testing.TB, name, suffix string) []byte {
	t.Helper()
	control := "Package: " + name + "\nVersion: " + cmp.Or(p.version, "1.0-1") + "\nArchitecture: " + cmp.Or(p.arch, "all") + "\nMaintainer: Nobody <nobody@example.org>\nDescription: test\n" + p.control
	info := []tar.Header{{Name: "./control", Typeflag: tar.TypeReg, Mode: 0o644}}
	contents := map[string]string{"./control": control}
	for n, c := range p.info {
		info = append(info, tar.Header{Name: "./" + n, Typeflag: tar.TypeReg, Mode: 0o644})
		contents["./"+n] = c
	}
	return ar(t,
		"debian-binary", []byte("2.0\n"),
		"control.tar"+suffix, compressed(t, suffix, archive(t, info, contents)),
		"data.tar"+suffix, compressed(t, suffix, archive(t, p.files, p.content)),
	)
}

func archive(t testing.TB, headers []tar.Header, content map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content[h.Name]))
		}
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1e9, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, content[h.Name])
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func compressed(t testing.TB, suffix string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch suffix {
	case "":
		return content
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	}
	if err == nil {
		_, err = w.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ar makes an archive of pairs of name and content.
func ar(t testing.TB, members ...any) []byte {
	t.Helper()
	b := []byte("!<arch>\n")
	for i := 0; i < len(members); i += 2 {
		content := members[i+1].([]byte)
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", members[i], 0, 0, 0, 0o100644, len(content))
		b = append(b, content...)
		if len(content)%2 == 1 {
			b = append(b, '\n')
		}
	}
	return b
}

// write puts a package on the disk.
func write(t testing.TB, content []byte) debFile {
	t.Helper()
	f := debFile{filepath.Join(t.TempDir(), "x.deb"), fmt.Sprintf("%x", sha256.Sum256(content))}
	if err := os.WriteFile(f.path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

var hello = packaged{
	control: "Depends: libc6\nMulti-Arch: same\n",
	info:    map[string]string{"md5sums": "0  usr/bin/hello\n", "postinst": "#!/bin/sh\n", "conffiles": "/etc/hello\n"},
	files: []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./bin/hello", Typeflag: tar.TypeReg, Mode: 0o4755},
		{Name: "./bin/hallo", Typeflag: tar.TypeLink, Linkname: "./bin/hello", Mode: 0o4755},
		{Name: "./etc/hello", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "./usr/share/doc/hello/README", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "./usr/share/doc/hello/copyright", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "./usr/games/hi", Typeflag: tar.TypeSymlink, Linkname: "../../bin/hello", Mode: 0o777},
	},
	content: map[string]string{"./bin/hello": "program", "./etc/hello": "x=1\n", "./usr/share/doc/hello/copyright": "free"},
}

func TestReadDeb(t *testing.T) {
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		t.Run("data.tar"+suffix, func(t *testing.T) {
			d, err := ReadDeb(bytes.NewReader(hello.deb(t, "hello", suffix)))
			if err != nil {
				t.Fatal(err)
			}
			if v := d.Control.Get("package"); v != "hello" {
				t.Errorf("Package: %q", v)
			}
			if _, ok := d.Info["control"]; ok || string(d.Info["conffiles"]) != "/etc/hello\n" {
				t.Errorf("info: %q", d.Info)
			}
			var names []string
			for {
				h, err := d.Data.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, h.Name)
			}
			if len(names) != len(hello.files) {
				t.Errorf("files: %q", names)
			}
		})
	}
}

func TestReadDebMembers(t *testing.T) {
	control := archive(t, []tar.Header{{Name: "control", Typeflag: tar.TypeReg, Mode: 0o644}}, map[string]string{"control": "Package: p\nVersion: 1\nArchitecture: all\n"})
	data := archive(t, nil, nil)
	version := []byte("2.0\n")
	for _, tt := range []struct {
		name string
		deb  []byte
		want string // in the error; "" for none
	}{
		{"members that dpkg passes over", ar(t, "debian-binary", version, "_gpgorigin", []byte("odd"), "control.tar", control, "_x", version, "data.tar", data), ""},
		{"names that end in a slash", ar(t, "debian-binary/", version, "control.tar/", control, "data.tar/", data), ""},
		{"nothing", nil, "does not begin as an ar archive"},
		{"another archive", []byte("PK\x03\x04........"), "does not begin as an ar archive"},
		{"no members", ar(t), "ends where a member should begin"},
		{"another format", ar(t, "debian-binary", []byte("3.0\n")), `format is "3.0\n"`},
		{"another order", ar(t, "debian-binary", version, "data.tar", data, "control.tar", control), `"data.tar" is where control.tar should be`},
		{"no files", ar(t, "debian-binary", version, "control.tar", control), "looking for data.tar"},
		{"another compression", ar(t, "debian-binary", version, "control.tar.lz4", control), `compressed by ".lz4"`},
		{"no compression", ar(t, "debian-binary", version, "control.tar.xz", control), "control.tar.xz"},
		{"a size that is none", bytes.Replace(ar(t, "debian-binary", version), []byte("4         `"), []byte("-4        `"), 1), "bad header"},
		{"cut off", ar(t, "debian-binary", version, "control.tar", control)[:300], "control.tar"},
		{"a path in control.tar", ar(t, "debian-binary", version, "control.tar", archive(t, []tar.Header{{Name: "../control", Typeflag: tar.TypeReg}}, nil)), `holds "../control"`},
		{"no control file", ar(t, "debian-binary", version, "control.tar", archive(t, nil, nil)), `its Package is ""`},
		{"a name that is a path", ar(t, "debian-binary", version, "control.tar", archive(t, []tar.Header{{Name: "control", Typeflag: tar.TypeReg}}, map[string]string{"control": "Package: ../../x\nVersion: 1\nArchitecture: all\n"})), "its Package is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadDeb(bytes.NewReader(tt.deb))
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.Is(err, errDeb) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestParseStanza(t *testing.T) {
	s, err := parseStanza([]byte("Package: a\n# a comment\nDescription: short\n long\n .\n more\nEmpty:\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Get("DESCRIPTION"); got != "short\n long\n .\n more" {
		t.Errorf("Description: %q", got)
	}
	for _, bad := range []string{" x", "A: 1\n\nB: 2", "A: 1\na: 2", "no colon", ": x"} {
		if s, err := parseStanza([]byte("\n" + bad)); err == nil && bad != " x" {
			t.Errorf("%q is read as %q", bad, s)
		}
	}
}

// FuzzReadDeb: whatever the bytes are, there is a package or an error, and what
// is in memory is bounded.
func FuzzReadDeb(f *testing.F) {
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		f.Add(hello.deb(f, "hello", suffix))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		u := &unpackedDeb{}
		spool, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer spool.Close()
		u.spool = spool
		if err := u.read(t.Context(), bytes.NewReader(b)); err != nil {
			return
		}
		l := &layer{entries: map[string]*entry{}, packages: map[string]*unpackedDeb{}}
		after := system{}.clone()
		if err := l.merge(u, &after); err != nil {
			return
		}
		for name := range l.entries {
			if name != "" && !filepath.IsLocal(name) {
				t.Errorf("a file at %q", name)
			}
		}
	})
}

func tarFile(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}
}
