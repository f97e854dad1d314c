package build

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var date = time.Unix(1.2e9, 0).UTC()

// build makes a layer of packages on what is below.
func build(t *testing.T, l Layer, below system, debs ...debFile) (*layer, system, error) {
	t.Helper()
	r := &Recipe{Name: "test", dir: fstest.MapFS{"beside": {Data: []byte("of the recipe")}}}
	p := part{Layer: l, recipe: r, number: 1, exclude: append([]string{"/usr/share/doc/*"}, l.Remove...), include: []string{"/usr/share/doc/*/copyright"}}
	dir := t.TempDir()
	made, after, err := makeLayer(t.Context(), p, debs, below, date, dir)
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("temporary files have names: %v", left)
	}
	if err == nil {
		t.Cleanup(func() { made.close() })
	}
	return made, after, err
}

// listing is what tar tvf shows, and the content.
func listing(t *testing.T, l *layer) (lines []string) {
	t.Helper()
	var b bytes.Buffer
	if err := l.tar(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(&b)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.After(date) {
			t.Errorf("%s is younger than the lock: %v", h.Name, h.ModTime)
		}
		if strings.HasPrefix(h.Name, "var/lib/dpkg/") {
			continue
		}
		what := map[byte]string{tar.TypeReg: fmt.Sprintf(" %q", content), tar.TypeSymlink: " -> " + h.Linkname, tar.TypeLink: " = " + h.Linkname}[h.Typeflag]
		lines = append(lines, fmt.Sprintf("%04o %d:%d %s%s", h.Mode, h.Uid, h.Gid, h.Name, what))
	}
}

func TestLayer(t *testing.T) {
	other := packaged{
		files: []tar.Header{
			{Name: "./usr/", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: "./usr/bin/", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: "./lib/x.so", Typeflag: tar.TypeReg, Mode: 0o644, ModTime: time.Unix(2e9, 0)},
			{Name: "./var/mail/", Typeflag: tar.TypeDir, Mode: 0o2775, Gid: 8},
			{Name: "./usr/share/passwd", Typeflag: tar.TypeReg, Mode: 0o600},
			{Name: "./usr/share/certs/b.crt", Typeflag: tar.TypeReg, Mode: 0o600},
			{Name: "./usr/share/certs/a.crt", Typeflag: tar.TypeReg, Mode: 0o600},
			{Name: "./usr/bin/unwanted", Typeflag: tar.TypeReg, Mode: 0o755},
			{Name: "./usr/bin/wanted", Typeflag: tar.TypeLink, Linkname: "usr/bin/unwanted"},
		},
		content: map[string]string{
			"./lib/x.so": "lib", "./usr/share/passwd": "root:x:0:0::/root:/bin/sh\n", "./usr/share/certs/a.crt": "A", "./usr/share/certs/b.crt": "B", "./usr/bin/unwanted": "same",
		},
	}
	a, b := write(t, hello.deb(t, "hello", ".xz")), write(t, other.deb(t, "other", ".gz"))
	recipe := Layer{
		Remove:  []string{"/usr/bin/unwanted", "/usr/share/certs/*"},
		Users:   []User{{Name: "u", ID: 7}},
		Folders: map[string]Folder{"/srv/u": {Mode: 0o750, Owner: "u"}},
		Files: map[string]File{
			"/etc/passwd":  {Copy: "/usr/share/passwd"},
			"/bin/script":  {Mode: 0o755, Content: "#!"},
			"/etc/beside":  {Source: "beside", Owner: "u"},
			"/etc/all.crt": {Copy: "/usr/share/certs/*.crt"},
		},
		Links: map[string]string{"/bin/sh": "hello"},
		Names: map[string][]string{"/usr/bin/hello": {"yo"}},
	}
	l, after, err := build(t, recipe, system{}, a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`0777 0:0 bin -> usr/bin`,
		`0755 0:0 etc/`,
		`0644 0:0 etc/all.crt "AB"`,
		`0644 7:7 etc/beside "of the recipe"`,
		`0644 0:0 etc/group "u:x:7:\n"`,
		`0644 0:0 etc/hello "x=1\n"`,
		`0644 0:0 etc/passwd "root:x:0:0::/root:/bin/sh\nu:x:7:7::/nonexistent:/usr/sbin/nologin\n"`,
		`0777 0:0 lib -> usr/lib`,
		`0755 0:0 srv/`,
		`0750 7:7 srv/u/`,
		`0755 0:0 usr/`,
		`0755 0:0 usr/bin/`,
		`4755 0:0 usr/bin/hallo "program"`,
		`4755 0:0 usr/bin/hello = usr/bin/hallo`,
		`0755 0:0 usr/bin/script "#!"`,
		`0777 0:0 usr/bin/sh -> hello`,
		`0755 0:0 usr/bin/wanted "same"`,
		`0777 0:0 usr/bin/yo -> hello`,
		`0755 0:0 usr/games/`,
		`0777 0:0 usr/games/hi -> ../../bin/hello`,
		`0755 0:0 usr/lib/`,
		`0644 0:0 usr/lib/x.so "lib"`,
		`0755 0:0 usr/share/`,
		`0755 0:0 usr/share/doc/`,
		`0755 0:0 usr/share/doc/hello/`,
		`0644 0:0 usr/share/doc/hello/copyright "free"`,
		`0600 0:0 usr/share/passwd "root:x:0:0::/root:/bin/sh\n"`,
		`0755 0:0 var/`,
		`0755 0:0 var/lib/`,
		`2775 0:8 var/mail/`,
	}
	if d := cmp.Diff(want, listing(t, l)); d != "" {
		t.Error(d)
	}

	// A layer upon it: its folders hide those below, and so have to look like them.
	upper, _, err := build(t, Layer{
		Files: map[string]File{"/srv/u/x": {Owner: "u"}, "/lib/y": {}, "/var/mail/root": {}},
	}, after)
	if err != nil {
		t.Fatal(err)
	}
	want = []string{
		`0755 0:0 srv/`,
		`0750 7:7 srv/u/`,
		`0644 7:7 srv/u/x ""`,
		`0755 0:0 usr/`,
		`0755 0:0 usr/lib/`,
		`0644 0:0 usr/lib/y ""`,
		`0755 0:0 var/`,
		`2775 0:8 var/mail/`,
		`0644 0:0 var/mail/root ""`,
	}
	if d := cmp.Diff(want, listing(t, upper)); d != "" {
		t.Error("the upper layer: ", d)
	}
}

// TestLayerSame: the same bytes, whatever the order of the packages.
func TestLayerSame(t *testing.T) {
	a, b := write(t, hello.deb(t, "hello", ".xz")), write(t, packaged{}.deb(t, "other", ".gz"))
	var archives [2]bytes.Buffer
	for i, debs := range [][]debFile{{a, b}, {b, a}} {
		l, _, err := build(t, Layer{}, system{}, debs...)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.tar(t.Context(), &archives[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0].Bytes(), archives[1].Bytes()) {
		t.Error("another order of the packages, another layer")
	}
}

func TestLayerRefuses(t *testing.T) {
	file := func(control, name string) packaged {
		return packaged{control: control, files: []tar.Header{{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}}}
	}
	deb := func(p packaged, name string) debFile { return write(t, p.deb(t, name, "")) }
	a := deb(file("", "./usr/bin/x"), "a")
	changed := a
	changed.sha256 = strings.Repeat("0", 64)
	for _, tt := range []struct {
		name   string
		recipe Layer
		debs   []debFile
		want   string
	}{
		{"two packages with the same file", Layer{}, []debFile{a, deb(file("", "./bin/x"), "b")}, "the packages a and b both have /usr/bin/x"},
		{"one that replaces another's", Layer{}, []debFile{a, deb(file("Replaces: z, a (<< 2)\n", "./bin/x"), "b")}, ""},
		{"one that another replaces", Layer{}, []debFile{deb(file("Replaces: z\n", "./bin/x"), "b"), deb(file("", "./usr/bin/x"), "z")}, ""},
		{"a changed file", Layer{}, []debFile{changed}, "not the one that it came with"},
		{"no such file", Layer{}, []debFile{{path: "/nonexistent/x.deb"}}, "no such file"},
		{"a device", Layer{}, []debFile{deb(packaged{files: []tar.Header{{Name: "./dev/x", Typeflag: tar.TypeChar}}}, "b")}, "is of type"},
		{"a hard link to nothing", Layer{}, []debFile{deb(packaged{files: []tar.Header{{Name: "./x", Typeflag: tar.TypeLink, Linkname: "/etc/shadow"}}}, "b")}, "does not come before"},
		{"a way out", Layer{}, []debFile{deb(file("", "../x"), "b")}, "leads out"},
		{"a file in a link", Layer{Links: map[string]string{"/usr/share": "/tmp"}, Files: map[string]File{"/usr/share/x": {}}}, nil, "is in /usr/share, which is no folder"},
		{"a copy of nothing", Layer{Files: map[string]File{"/x": {Copy: "/y"}}}, []debFile{a}, "no package of this layer has such a file"},
		{"no such file beside the recipe", Layer{Files: map[string]File{"/x": {Source: "y"}}}, nil, "file /x"},
		{"an unknown owner", Layer{Folders: map[string]Folder{"/x": {Owner: "bob"}}}, nil, "/etc/passwd: it has no bob"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := build(t, tt.recipe, system{}, tt.debs...)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestLayerOnLink: a file is not put where a layer below has a link, which it
// would hide with all that is behind.
func TestLayerOnLink(t *testing.T) {
	_, below, err := build(t, Layer{Folders: map[string]Folder{"/a": {}}, Links: map[string]string{"/b": "a"}}, system{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := build(t, Layer{Files: map[string]File{"/b/x": {}}}, below); err == nil || !strings.Contains(err.Error(), "folder /b would hide a link") {
		t.Errorf("%v", err)
	}
	if _, _, err := build(t, Layer{Folders: map[string]Folder{"/b": {}}, Files: map[string]File{"/b/x": {}}}, below); err != nil {
		t.Errorf("when it is asked for: %v", err)
	}
}

func TestDatabase(t *testing.T) {
	l, after, err := build(t, Layer{}, system{}, write(t, hello.deb(t, "hello", "")))
	if err != nil {
		t.Fatal(err)
	}
	upper, _, err := build(t, Layer{}, after, write(t, packaged{}.deb(t, "above", "")))
	if err != nil {
		t.Fatal(err)
	}
	read := func(l *layer, name string) string {
		e := l.entries["var/lib/dpkg/"+name]
		if e == nil {
			return "(none)"
		}
		b, err := e.file.bytes()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	common := "Version: 1.0-1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: test\n"
	hello := "Package: hello\nStatus: install ok installed\n" + common + "Depends: libc6\nMulti-Arch: same\nConffiles:\n /etc/hello f968f33f844c98de1d3b4fe70f2e1a0f\n\n"
	above := "Package: above\nStatus: install ok installed\n" + common + "\n"
	for _, tt := range []struct {
		l          *layer
		name, want string
	}{
		{l, "status", hello},
		{l, "info/format", "1\n"},
		{l, "info/hello:all.md5sums", "0  usr/bin/hello\n"},
		{l, "info/hello:all.list", "/.\n/bin\n/bin/hello\n/bin/hallo\n/etc/hello\n/usr/share/doc/hello/README\n/usr/share/doc/hello/copyright\n/usr/games/hi\n"},
		{upper, "status", above + hello},
		{upper, "info/format", "(none)"},
		{upper, "info/above.list", "\n"},
	} {
		if got := read(tt.l, tt.name); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if m := l.entries["var/lib/dpkg/info/hello:all.postinst"].header.Mode; m != 0o755 {
		t.Errorf("postinst has the mode %o", m)
	}
	if !slices.ContainsFunc(after.packages, func(p installed) bool { return p.name() == "hello" }) {
		t.Error("hello is not installed")
	}
}
