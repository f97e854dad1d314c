package images

import (
	"archive/tar"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// TestFromPath: an image is the same by whatever way it comes.
func TestFromPath(t *testing.T) {
	img, err := Workload([]byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, got v1.Image, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		// An archive of docker save has a manifest of its own.
		a, _ := got.ConfigName()
		b, _ := img.ConfigName()
		if digest, err := got.Digest(); err != nil || a != b || digest != want && !strings.Contains(what, "save") {
			t.Errorf("%s: digest %v, %v; want %v", what, digest, err, want)
		}
	}
	dir := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(img, layout.WithAnnotations(map[string]string{refName: "one"})); err != nil {
		t.Fatal(err)
	}
	if !IsLayout(dir) || IsLayout(t.TempDir()) {
		t.Error("which folder is a layout?")
	}
	got, err := FromLayout(dir, "")
	check("a layout with one image", got, err)

	oci := filepath.Join(t.TempDir(), "oci.tar")
	pack(t, dir, oci)
	got, err = FromArchive(t.Context(), oci, filepath.Join(t.TempDir(), "tmp"))
	check("an archive of a layout", got, err)
	saved := filepath.Join(t.TempDir(), "saved.tar")
	if err := tarball.WriteToFile(saved, name.MustParseReference("example/one:latest"), img); err != nil {
		t.Fatal(err)
	}
	got, err = FromArchive(t.Context(), saved, filepath.Join(t.TempDir(), "tmp"))
	check("an archive of docker save", got, err)

	// A second one, in an index for several platforms.
	other, err := mutate.Config(img, v1.Config{Cmd: []string{"other"}})
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	if err := p.AppendIndex(index, layout.WithAnnotations(map[string]string{refName: "many"})); err != nil {
		t.Fatal(err)
	}
	got, err = FromLayout(dir, "many")
	check("an image for several platforms", got, err)
	for _, tt := range []struct{ dir, name, want string }{
		{dir, "", `it has 2 images: name one of ["one" "many"]`},
		{dir, "three", `no image named "three"; it has ["one" "many"]`},
		{t.TempDir(), "", "is no OCI image layout"},
	} {
		if _, err := FromLayout(tt.dir, tt.name); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %q: error %v, want %q", tt.dir, tt.name, err, tt.want)
		}
	}
	nothing := filepath.Join(t.TempDir(), "nothing.tar")
	pack(t, t.TempDir(), nothing)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{nothing, text, "missing"} {
		if _, err := FromArchive(t.Context(), path, filepath.Join(t.TempDir(), "tmp")); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", path, err)
		}
	}
}

// pack writes a folder into a tar archive.
func pack(t *testing.T, dir, to string) {
	t.Helper()
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at, _ := filepath.Rel(dir, path)
		if err := w.WriteHeader(&tar.Header{Name: at, Mode: 0o644, Size: int64(len(b)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
