package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/zstd"
)

// importInto imports an archive and gives its images their names, or the one
// name that is given.
func importInto(t testing.TB, s *Store, r io.Reader, as string) ([]Named, error) {
	t.Helper()
	w := writer(t, s)
	list, err := w.Import(t.Context(), r)
	if err != nil {
		return nil, err
	}
	for _, n := range list {
		if n.Name == "" {
			n.Name = as
		}
		if err := w.Tag(n.Name, n.Descriptor); err != nil {
			t.Fatal(err)
		}
	}
	return list, nil
}

// sound tells whether all that a store holds is right.
func sound(t testing.TB, s *Store) {
	t.Helper()
	problems, err := s.Verify(t.Context())
	if err != nil || len(problems) > 0 {
		t.Errorf("problems %v, %v", problems, err)
	}
}

// saved is an archive as Docker wrote it before version 25: folders by layer, of
// which those that are there twice are links, and what says what they are last.
func saved(t testing.TB, list []savedImage, files ...entry) []byte {
	t.Helper()
	b, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return archive(t, append(files, entry{kind: tar.TypeReg, name: "manifest.json", mode: 0o644, content: string(b)})...)
}

// oldDocker is one of those, with two images of three layers, of which one is
// there once.
func oldDocker(t testing.TB) []byte {
	t.Helper()
	var layers []string
	for _, text := range []string{"one", "two", "three"} {
		layers = append(layers, string(archive(t, entry{kind: tar.TypeReg, name: text, mode: 0o644, content: text})))
	}
	config := func(n ...int) string {
		c := v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers"}}
		for _, i := range n {
			c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, descriptor(layers[i]).Digest)
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	file := func(name, content string) entry {
		return entry{kind: tar.TypeReg, name: name, mode: 0o644, content: content}
	}
	return saved(t, []savedImage{
		{Config: "c1.json", RepoTags: []string{"app:1", "registry.example:5000/app:1"}, Layers: []string{"a/layer.tar", "b/layer.tar"}},
		{Config: "c2.json", Layers: []string{"a/layer.tar", "c/layer.tar", "d/layer.tar"}},
	},
		file("a/VERSION", "1.0"), file("a/json", "{}"), file("a/layer.tar", layers[0]),
		file("b/layer.tar", layers[1]), file("c1.json", config(0, 1)), file("c2.json", config(0, 1, 2)),
		entry{kind: tar.TypeSymlink, name: "c/layer.tar", content: "../b/layer.tar"},
		file("./d/layer.tar", layers[2]), file("repositories", "{}"))
}

func TestImportDocker(t *testing.T) {
	plain := oldDocker(t)
	var zipped, zst bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(plain)
	zw, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	zw.Write(plain)
	if err := errors.Join(z.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	var first []Named
	for how, content := range map[string][]byte{"plain": plain, "gzip": zipped.Bytes(), "zstd": zst.Bytes()} {
		s := open(t, t.TempDir())
		// A pipe gives what it has, and cannot go back.
		list, err := importInto(t, s, struct{ io.Reader }{bytes.NewReader(content)}, "none:1")
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		if first == nil {
			first = list
		}
		if diff := cmp.Diff(first, list); diff != "" {
			t.Errorf("%s differs:\n%s", how, diff)
		}
		var got []string
		for _, n := range list {
			got = append(got, n.Name)
		}
		if !slices.Equal(got, []string{"app:1", "registry.example:5000/app:1", ""}) {
			t.Errorf("%s: names %q", how, got)
		}
		img, err := s.Image("none:1", v1.Platform{})
		if err != nil {
			t.Fatal(err)
		}
		if dirs, err := img.Unpack(t.Context()); err != nil || len(dirs) != 3 {
			t.Errorf("%s: layers %v, %v", how, dirs, err)
		}
		if l, err := img.V1().Layers(); err != nil {
			t.Error(err)
		} else if mt, _ := l[0].MediaType(); mt != types.OCIUncompressedLayer {
			t.Errorf("%s: a plain layer is a %s", how, mt)
		}
		sound(t, s)
		s.Close()
	}
}

// TestExport: what was exported is imported the same, is the same bytes each
// time, and is what others read.
func TestExport(t *testing.T) {
	s := open(t, t.TempDir())
	a := image(t, archive(t, reg("f", 0o644, "a")), archive(t, reg("g", 0o644, "b")))
	b := image(t, archive(t, reg("f", 0o644, "a")), archive(t, reg("h", 0o644, "c")))
	put(t, s, "a:1", a)
	put(t, s, "registry.example:5000/b:2", b)
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: withPlatform(t, a, "arm64"), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: withPlatform(t, a, "amd64"), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	if err := s.PutIndex(t.Context(), "many:3", index); err != nil {
		t.Fatal(err)
	}
	list, err := s.Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []Format{FormatOCI, FormatDocker} {
		var once, twice bytes.Buffer
		for _, to := range []*bytes.Buffer{&once, &twice} {
			if err := s.Export(t.Context(), to, format, list...); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Errorf("%s: two exports differ", format)
		}
		other := open(t, t.TempDir())
		got, err := importInto(t, other, &twice, "")
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if format == FormatOCI {
			if diff := cmp.Diff(list, got); diff != "" {
				t.Errorf("%s: what came back:\n%s", format, diff)
			}
		}
		sound(t, other)
		for _, n := range list { // as docker load sees it
			tag, err := name.NewTag(n.Name)
			if err != nil {
				t.Fatal(err)
			}
			img, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(once.Bytes())), nil }, &tag)
			if err != nil {
				t.Errorf("%s: %s: %v", format, n.Name, err)
				continue
			}
			if err := validate.Image(img); err != nil {
				t.Errorf("%s: %s: %v", format, n.Name, err)
			}
		}
	}
	// Of one that was pulled for one platform, that.
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.blobPath(m.Manifests[1].Digest)); err != nil {
		t.Fatal(err)
	}
	var part bytes.Buffer
	n, err := s.Named("many:3")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Export(t.Context(), &part, FormatOCI, n); err != nil {
		t.Fatal(err)
	}
	if got, err := importInto(t, open(t, t.TempDir()), &part, ""); err != nil || !cmp.Equal(got, []Named{n}) {
		t.Errorf("with one platform: %v, %v", got, err)
	}
	// A damaged blob does not go out.
	l, err := a.Layers()
	if err != nil {
		t.Fatal(err)
	}
	h, err := l[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.blobPath(h), make([]byte, len(blob(t, s, h))), 0o600); err != nil {
		t.Fatal(err)
	}
	var wrong *DigestError
	if err := s.Export(t.Context(), io.Discard, FormatOCI, list...); !errors.As(err, &wrong) {
		t.Errorf("a damaged blob: %v", err)
	}
}

// withPlatform is the image with another platform in its configuration.
func withPlatform(t testing.TB, img v1.Image, architecture string) v1.Image {
	t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", architecture
	img, err = mutate.ConfigFile(img, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestImportRefuses: what a hostile or a broken archive holds.
func TestImportRefuses(t *testing.T) {
	hex := func(content string) string { return descriptor(content).Digest.Hex }
	file := func(name, content string) entry {
		return entry{kind: tar.TypeReg, name: name, mode: 0o644, content: content}
	}
	index := func(content, mediaType string) entry {
		d := descriptor(content)
		return file("index.json", fmt.Sprintf(`{"manifests":[{"mediaType":%q,"size":%d,"digest":%q}]}`, mediaType, d.Size, d.Digest))
	}
	oci := string(types.OCIManifestSchema1)
	config := `{"rootfs":{"type":"layers","diff_ids":["sha256:` + hex("layer") + `"]}}`
	many := make([]entry, 0, maxEntries+1)
	for n := range maxEntries + 1 {
		many = append(many, entry{kind: tar.TypeDir, name: fmt.Sprint(n)})
	}
	for _, tt := range []struct {
		name    string
		entries []entry
		want    string
	}{
		{"nothing", nil, "neither manifest.json"},
		{"a blob that is another", []entry{file("blobs/sha256/"+hex("a"), "b")}, "damaged or changed"},
		{"a blob by a path", []entry{file("blobs/sha256/../../x/blobs/sha256/..", "b")}, "neither manifest.json"},
		{"a blob of another digest", []entry{file("blobs/sha256/abc", "b")}, "a SHA-256 is expected"},
		{"a blob that is not there", []entry{index("a", oci)}, "the archive holds no blobs/sha256/" + hex("a")},
		{"a manifest that is none", []entry{file("blobs/sha256/"+hex("a"), "a"), index("a", oci)}, "invalid character"},
		{"an artifact", []entry{index("a", "text/plain")}, `of the type "text/plain"`},
		{"image and index", []entry{file("blobs/sha256/"+hex(`{"layers":[],"manifests":[]}`), `{"layers":[],"manifests":[]}`), index(`{"layers":[],"manifests":[]}`, oci)}, "at once"},
		{"a name that is none", []entry{file("manifest.json", `[{"Config":"c","RepoTags":["A B"],"Layers":["l"]}]`), file("c", config), file("l", "layer")}, `"A B" is no name`},
		{"a layer that is another", []entry{file("manifest.json", `[{"Config":"c","Layers":["l"]}]`), file("c", config), file("l", "other")}, "damaged or changed"},
		{"a layer that is not there", []entry{file("manifest.json", `[{"Config":"c","Layers":["l"]}]`), file("c", config)}, `the archive holds no "l"`},
		{"a layer of the host", []entry{file("manifest.json", `[{"Config":"c","Layers":["../../../etc/passwd"]}]`), file("c", config)}, "the archive holds no"},
		{"a link to the host", []entry{file("manifest.json", `[{"Config":"c","Layers":["l"]}]`), file("c", config), {kind: tar.TypeSymlink, name: "l", content: "/etc/passwd"}}, `the archive holds no "l"`},
		{"links in a ring", []entry{file("manifest.json", `[{"Config":"c","Layers":["l"]}]`), file("c", config),
			{kind: tar.TypeSymlink, name: "l", content: "m"}, {kind: tar.TypeSymlink, name: "m", content: "l"}}, "a link to a link"},
		{"too few layers", []entry{file("manifest.json", `[{"Config":"c","Layers":[]}]`), file("c", config)}, "it has 0 layers, and its configuration names 1"},
		{"a configuration that is none", []entry{file("manifest.json", `[{"Config":"c","Layers":[]}]`), file("c", "text")}, "its configuration"},
		{"a device", []entry{{kind: tar.TypeChar, name: "x"}}, "neither a file, a folder nor a link"},
		{"a file twice", []entry{file("x", "1"), file("./x", "2")}, "it is there twice"},
		{"two lists", []entry{file("index.json", "{}"), file("index.json", "{}")}, "it is there twice"},
		{"a long list", []entry{file("manifest.json", strings.Repeat(" ", maxManifest+1))}, "more than"},
		{"a long name", []entry{file(strings.Repeat("x", maxEntryName+1), "")}, "its name has more than"},
		{"many files", many, "more than 20000 files"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			_, err := importInto(t, s, bytes.NewReader(archive(t, tt.entries...)), "x")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			sound(t, s)
		})
	}
	s := open(t, t.TempDir())
	whole := oldDocker(t)
	for _, cut := range []int{1, 511, 513, 4000, len(whole) / 2} {
		if _, err := importInto(t, s, bytes.NewReader(whole[:cut]), "x"); err == nil {
			t.Errorf("the first %d bytes of an archive were taken for all of it", cut)
		}
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(whole[:600])
	if err := z.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := importInto(t, s, &bomb, "x"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a gzip: %v", err)
	}
}

// TestImportInterrupted: an image that is there for one platform is whole,
// wherever the archive ends that has it for two.
func TestImportInterrupted(t *testing.T) {
	s, other := open(t, t.TempDir()), open(t, t.TempDir())
	if err := s.PutIndex(t.Context(), "many:1", index(t, "amd64", "arm64")); err != nil {
		t.Fatal(err)
	}
	n, err := s.Named("many:1")
	if err != nil {
		t.Fatal(err)
	}
	export := func() []byte {
		var b bytes.Buffer
		if err := s.Export(t.Context(), &b, FormatOCI, n); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	both := export()
	img, err := s.Image("many:1", v1.Platform{OS: "linux", Architecture: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	h, err := v1.NewHash(img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Discard(h); err != nil {
		t.Fatal(err)
	}
	if _, err := importInto(t, other, bytes.NewReader(export()), ""); err != nil {
		t.Fatal(err)
	}
	for cut := 700; cut < len(both)-1024; cut += 1000 {
		importInto(t, other, bytes.NewReader(both[:cut]), "") // an error, or it has enough
		sound(t, other)
	}
}

// TestImportMemory: an image of any size takes the same memory on its way.
func TestImportMemory(t *testing.T) {
	const size = 64 << 20
	r, w := io.Pipe()
	go func() {
		a := tar.NewWriter(w)
		err := a.WriteHeader(&tar.Header{Name: "l/layer.tar", Mode: 0o644, Size: size, Typeflag: tar.TypeReg})
		for block := make([]byte, 1<<20); err == nil; {
			if _, err = a.Write(block); errors.Is(err, tar.ErrWriteTooLong) {
				err = a.Close()
				break
			}
		}
		w.CloseWithError(err)
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := importInto(t, open(t, t.TempDir()), r, ""); err == nil || !strings.Contains(err.Error(), "neither manifest.json") {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("an archive of %d bytes took %d bytes of memory", size, took)
	}
}

// TestImportResumes: what an import that was cut off has left is used.
func TestImportResumes(t *testing.T) {
	s, other := open(t, t.TempDir()), open(t, t.TempDir())
	put(t, s, "a:1", image(t, archive(t, reg("f", 0o644, strings.Repeat("a", 100_000)))))
	n, err := s.Named("a:1")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Export(t.Context(), &b, FormatOCI, n); err != nil {
		t.Fatal(err)
	}
	if _, err := importInto(t, other, bytes.NewReader(b.Bytes()[:b.Len()-2000]), ""); err == nil {
		t.Fatal("an archive that was cut off was taken")
	}
	if _, err := importInto(t, other, &b, ""); err != nil {
		t.Error(err)
	}
	sound(t, other)
}

// TestLayout: images come from a layout and go to one, beside others.
func TestLayout(t *testing.T) {
	img, err := Workload([]byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	other := withPlatform(t, img, "arm64")
	for _, add := range []struct {
		img      v1.Image
		platform string
		name     string
	}{{img, "", "one"}, {img, "amd64", "many"}, {other, "arm64", "many"}, {img, "", "example/full:2"}} {
		options := []layout.Option{layout.WithAnnotations(map[string]string{refName: add.name})}
		if add.platform != "" {
			options = append(options, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: add.platform}))
		}
		if err := p.AppendImage(add.img, options...); err != nil {
			t.Fatal(err)
		}
	}
	if !IsLayout(dir) || IsLayout(t.TempDir()) {
		t.Error("which folder is a layout?")
	}
	s := open(t, t.TempDir())
	w := writer(t, s)
	for _, tt := range []struct{ tag, name string }{{"one", ""}, {"many", ""}, {"example/full:2", "example/full:2"}, {"example/full:2", "example/full:2"}} {
		list, err := w.ImportLayout(t.Context(), dir, tt.tag)
		if err != nil || len(list) != 1 || list[0].Name != tt.name {
			t.Errorf("%s: %v, %v", tt.tag, list, err)
			continue
		}
		for _, architecture := range []string{"amd64", "arm64"} {
			got, err := s.Resolve(list[0], v1.Platform{OS: "linux", Architecture: architecture})
			if has := tt.tag == "many" || architecture == "amd64"; (err == nil) != has {
				t.Errorf("%s for %s: %v", tt.tag, architecture, err)
			} else if has && architecture == "amd64" && got.Digest != want.String() {
				t.Errorf("%s: digest %s, want %s", tt.tag, got.Digest, want)
			}
		}
	}
	if _, err := w.ImportLayout(t.Context(), dir, "three"); err == nil || !strings.Contains(err.Error(), `it has no image named "three"; it has ["one" "many" "many" "example/full:2"]`) {
		t.Error(err)
	}
	if _, err := w.ImportLayout(t.Context(), t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "no file oci-layout") {
		t.Error(err)
	}

	to := filepath.Join(t.TempDir(), "to")
	n := Named{Name: "a:1", Descriptor: v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: want}}
	if n.Descriptor.Size, err = img.Size(); err != nil {
		t.Fatal(err)
	}
	if n.Descriptor.MediaType, err = img.MediaType(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a:1", "b:1", "a:1"} {
		n.Name = name
		if err := s.ExportLayout(t.Context(), to, n); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.ExportLayout(t.Context(), to, Named{Descriptor: n.Descriptor}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := layout.ImageIndexFromPath(to)
	if err != nil {
		t.Fatal(err)
	}
	m, err := got.IndexManifest()
	if err != nil || len(m.Manifests) != 3 { // a, b, and one without a name
		t.Fatalf("%v, %v", m, err)
	}
	if err := validate.Index(got); err != nil {
		t.Error(err)
	}
	if err := s.ExportLayout(t.Context(), fullFolder(t), n); err == nil || !strings.Contains(err.Error(), "index.json of its own") {
		t.Errorf("into a folder of something else: %v", err)
	}
}

// TestAnnotations: the names that others look for in an archive.
func TestAnnotations(t *testing.T) {
	for familiar, want := range map[string]string{
		"debian:12":                 strings.TrimPrefix(name.DefaultRegistry, "index.") + "/library/debian:12",
		"index.example/debian:12":   "index.example/debian:12",
		"localhost:5000/a/b:latest": "localhost:5000/a/b:latest",
	} {
		if a := annotations(familiar); a[containerdName] != want || a[refName] != familiar {
			t.Errorf("%s: %v, want %s", familiar, a, want)
		}
		if got, _ := entryName(v1.Descriptor{Annotations: annotations(familiar)}); got != familiar {
			t.Errorf("%s comes back as %s", familiar, got)
		}
	}
}

func fullFolder(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestHostileLayout: a layout leads to nothing outside, and waits for no pipe.
func TestHostileLayout(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	content := `{"schemaVersion":2}`
	if err := os.WriteFile(secret, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	d := descriptor(content)
	for name, blob := range map[string]func(path string) error{
		"link": func(path string) error { return os.Symlink(secret, path) },
		"pipe": func(path string) error { return exec.Command("mkfifo", path).Run() },
		"dir":  func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		dir := t.TempDir()
		index := fmt.Sprintf(`{"manifests":[{"mediaType":%q,"size":%d,"digest":%q}]}`, types.OCIManifestSchema1, d.Size, d.Digest)
		err := errors.Join(os.MkdirAll(filepath.Join(dir, blobFolder), 0o755),
			os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(layoutVersion), 0o644),
			os.WriteFile(filepath.Join(dir, "index.json"), []byte(index), 0o644),
			blob(filepath.Join(dir, blobFolder, d.Digest.Hex)))
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, t.TempDir())
		if _, err := writer(t, s).ImportLayout(t.Context(), dir, ""); err == nil || s.Has(d.Digest) {
			t.Errorf("%s: error %v; in the store: %v", name, err, s.Has(d.Digest))
		}
	}
}

// FuzzImport: whatever an archive holds, what is in the store after it is what
// its digest says, and nothing is beside it.
func FuzzImport(f *testing.F) {
	f.Add(oldDocker(f))
	s := open(f, f.TempDir())
	put(f, s, "a:1", image(f, archive(f, reg("f", 0o644, "a"))))
	n, err := s.Named("a:1")
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Export(f.Context(), &b, FormatOCI, n); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		s := open(t, filepath.Join(dir, "images"))
		defer s.Close()
		list, err := importInto(t, s, bytes.NewReader(resum(content)), "none")
		if err == nil {
			for _, n := range list {
				if _, err := s.Resolve(n, v1.Platform{}); err != nil {
					t.Logf("what was imported is not for this host, or no image: %v", err)
				}
			}
		}
		if got := names(t, dir); !slices.Equal(got, []string{"images"}) {
			t.Errorf("beside the store: %v", got)
		}
		for _, hex := range names(t, s.path(), "oci/blobs/sha256") {
			if got := descriptor(blob(t, s, v1.Hash{Algorithm: "sha256", Hex: hex})).Digest.Hex; got != hex {
				t.Errorf("blob %s has the digest %s", hex, got)
			}
		}
	})
}

// resum makes the checksums of an archive's headers right, where they are taken
// for headers, or else the fuzzer would be stopped by the first.
func resum(content []byte) []byte {
	b := slices.Clone(content)
	for at := 0; at+512 <= len(b); {
		h := b[at : at+512]
		if string(h[257:262]) != "ustar" {
			break
		}
		copy(h[148:156], "        ")
		var sum int64
		for _, c := range h {
			sum += int64(c)
		}
		copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
		var size int64
		fmt.Sscanf(strings.Trim(string(h[124:136]), "\x00 "), "%o", &size)
		if size < 0 || size > int64(len(b)) {
			break
		}
		at += 512 + int(size+511)/512*512
	}
	return b
}
