package images

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// image makes an image of layers, each a tar archive.
func image(t testing.TB, archives ...[]byte) v1.Image {
	t.Helper()
	img := empty.Image
	for _, a := range archives {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(a)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *Store, name string, img v1.Image) *Image {
	t.Helper()
	i, err := s.Put(t.Context(), name, img)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// names lists a folder.
func names(t testing.TB, dir ...string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir...))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// stored are the images of the layout, by name, as any other OCI tool sees
// them. Each is read whole and held against its digests.
func stored(t *testing.T, dir string) map[string]string {
	t.Helper()
	index, err := layout.ImageIndexFromPath(filepath.Join(dir, "oci"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range m.Manifests {
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
		name := d.Annotations["org.opencontainers.image.ref.name"]
		if _, twice := got[name]; twice {
			t.Errorf("two images have the name %q", name)
		}
		got[name] = d.Digest.String()
	}
	return got
}

func TestPut(t *testing.T) {
	dir := t.TempDir()
	a, b := image(t, archive(t, reg("f", 0o644, "a"))), image(t, archive(t, reg("f", 0o644, "b")))
	var last *Image
	for _, step := range []struct {
		name string
		img  v1.Image
		want []string // the names that are in the store then
	}{
		{"one", a, []string{"one:latest"}},
		{"one:latest", a, []string{"one:latest"}}, // again
		{"two:1", a, []string{"one:latest", "two:1"}},
		{"one", b, []string{"one:latest", "two:1"}}, // in its place
	} {
		// Each time anew, as another process would.
		last = put(t, open(t, dir), step.name, step.img)
		digest, err := step.img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if last.Name != step.name || last.Digest != digest.String() {
			t.Errorf("it gave %s %s, want %s %s", last.Name, last.Digest, step.name, digest)
		}
		got := stored(t, dir)
		if name, _ := FamiliarName(step.name); got[name] != digest.String() || len(got) != len(step.want) {
			t.Errorf("after putting %s the store has %v, want %v", step.name, got, step.want)
		}
	}
	layers, err := last.Unpack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := tree(t, layers[0])["f"]; got != "-rw-r--r-- b" {
		t.Errorf("the image in place of another has %q", got)
	}
}

func TestOpenRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "opening the image store "+file) {
		t.Errorf("error %v", err)
	}
}

func TestImage(t *testing.T) {
	one, two := archive(t, reg("a", 0o644, strings.Repeat("a", 10_000))), archive(t, reg("b", 0o644, "b"))
	i := put(t, open(t, t.TempDir()), "test", image(t, one, two))
	size, err := i.Size(t.Context())
	if want := int64(len(one) + len(two)); size != want || err != nil {
		t.Errorf("size %d, %v, want %d", size, err, want)
	}
	layers, err := i.Unpack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The folders have the names of the diff IDs, the lowest layer first.
	var ids []string
	for _, l := range layers {
		ids = append(ids, "sha256:"+filepath.Base(l))
	}
	if diff := cmp.Diff(i.DiffIDs(), ids); diff != "" {
		t.Error(diff)
	}
	for n, want := range []map[string]string{
		{".": "drwxr-xr-x", "a": "-rw-r--r-- " + strings.Repeat("a", 10_000)},
		{".": "drwxr-xr-x", "b": "-rw-r--r-- b"},
	} {
		if diff := cmp.Diff(want, tree(t, layers[n])); diff != "" {
			t.Errorf("layer %d: %s", n, diff)
		}
	}
}

// TestUnpackedOnce: what is unpacked is used again, by whatever image and
// process. A mark in each folder would be gone if it had been made anew.
func TestUnpackedOnce(t *testing.T) {
	dir := t.TempDir()
	shared := archive(t, reg("shared", 0o644, ""))
	first := put(t, open(t, dir), "first", image(t, shared, archive(t, reg("1", 0o644, ""))))
	folders := func(i *Image) []string {
		t.Helper()
		layers, err := i.Unpack(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		root, err := i.Rootfs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return append(layers, root)
	}
	before := folders(first)
	for _, f := range before {
		if err := os.WriteFile(filepath.Join(f, "mark"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	marked := func(folder string) bool {
		_, err := os.Stat(filepath.Join(folder, "mark"))
		return err == nil
	}
	again := folders(put(t, open(t, dir), "first", image(t, shared, archive(t, reg("1", 0o644, "")))))
	if diff := cmp.Diff(before, again); diff != "" {
		t.Error(diff)
	}
	for _, f := range again {
		if !marked(f) {
			t.Errorf("%s was made anew", f)
		}
	}
	second := folders(put(t, open(t, dir), "second", image(t, shared, archive(t, reg("2", 0o644, "")))))
	if second[0] != before[0] || !marked(second[0]) {
		t.Errorf("the shared layer %s was made anew", before[0])
	}
	if marked(second[1]) || marked(second[2]) {
		t.Error("another image has the folders of the first")
	}
	if got := names(t, dir, "layers"); len(got) != 3 {
		t.Errorf("layers/ has %v, want three", got)
	}
}

func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	i := put(t, open(t, dir), "test", image(t, archive(t, reg("f", 0o644, "f"))))
	layer := filepath.Join(dir, "layers", strings.TrimPrefix(i.DiffIDs()[0], "sha256:"))
	root := filepath.Join(dir, "rootfs", strings.TrimPrefix(i.Digest, "sha256:"))
	for _, part := range []string{layer + ".part", root + ".part"} {
		if err := os.MkdirAll(filepath.Join(part, "f", "half"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	layers, err := i.Unpack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	merged, err := i.Rootfs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if layers[0] != layer || merged != root {
		t.Fatalf("unpacked into %s and %s, want %s and %s", layers[0], merged, layer, root)
	}
	for _, folder := range []string{layer, root} {
		if diff := cmp.Diff(map[string]string{".": "drwxr-xr-x", "f": "-rw-r--r-- f"}, tree(t, folder)); diff != "" {
			t.Errorf("%s: %s", folder, diff)
		}
	}
	for _, sub := range []string{"layers", "rootfs"} {
		if got := names(t, dir, sub); len(got) != 1 {
			t.Errorf("%s/ has %v, want one folder", sub, got)
		}
	}
}

// withDiffIDs is img with other diff IDs in its configuration.
func withDiffIDs(t *testing.T, img v1.Image, ids ...v1.Hash) v1.Image {
	t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.RootFS.DiffIDs = ids
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

func diffIDs(t *testing.T, img v1.Image) []v1.Hash {
	t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return cfg.RootFS.DiffIDs
}

// TestRefusedLayer: what cannot be unpacked, or is not what it says, leaves no
// folder that could be taken for a layer.
func TestRefusedLayer(t *testing.T) {
	good := archive(t, reg("good", 0o644, ""))
	lying := image(t, good, archive(t, reg("f", 0o644, "f")))
	other := image(t, archive(t, reg("other", 0o644, "")))
	lying = withDiffIDs(t, lying, diffIDs(t, lying)[0], diffIDs(t, other)[0])
	why := errors.New("the run is over")
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	for _, tt := range []struct {
		name string
		ctx  context.Context
		img  v1.Image
		want string
	}{
		{"another diff ID", t.Context(), lying, "its content has the digest sha256:"},
		{"hostile", t.Context(), image(t, good, archive(t, reg("../evil", 0o644, ""))), `entry "../evil": the name leaves the image`},
		{"not an archive", t.Context(), image(t, good, bytes.Repeat([]byte("x"), 1024)), "reading the archive"},
		{"cancelled", cancelled, image(t, archive(t, reg("f", 0o644, ""))), why.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			i := put(t, open(t, dir), "test", tt.img)
			if _, err := i.Unpack(tt.ctx); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "image test: layer "+i.DiffIDs()[len(i.DiffIDs())-1]) {
				t.Errorf("Unpack: error %v, want %q and the layer", err, tt.want)
			}
			if _, err := i.Rootfs(tt.ctx); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Rootfs: error %v, want %q", err, tt.want)
			}
			// The good layer below is whole, and stays.
			want := []string{}
			for _, id := range i.DiffIDs()[:len(i.DiffIDs())-1] {
				want = append(want, strings.TrimPrefix(id, "sha256:"))
			}
			if diff := cmp.Diff(want, names(t, dir, "layers")); diff != "" {
				t.Errorf("layers/: %s", diff)
			}
			if got := names(t, dir, "rootfs"); len(got) != 0 {
				t.Errorf("rootfs/ has %v", got)
			}
		})
	}
}

func TestMissingDiffID(t *testing.T) {
	img := image(t, archive(t, reg("a", 0o644, "")), archive(t, reg("b", 0o644, "")))
	dir := t.TempDir()
	i := put(t, open(t, dir), "test", withDiffIDs(t, img, diffIDs(t, img)[0]))
	const want = "image test: its manifest has 2 layers, and its configuration 1"
	if _, err := i.Unpack(t.Context()); err == nil || err.Error() != want {
		t.Errorf("Unpack: error %v, want %q", err, want)
	}
	if _, err := i.Rootfs(t.Context()); err == nil || err.Error() != want {
		t.Errorf("Rootfs: error %v, want %q", err, want)
	}
	if got := append(names(t, dir, "layers"), names(t, dir, "rootfs")...); len(got) != 0 {
		t.Errorf("it left %v", got)
	}
}

// TestTrailingBytes: the digest is over all of the archive, with what follows
// its end.
func TestTrailingBytes(t *testing.T) {
	i := put(t, open(t, t.TempDir()), "test", image(t, append(archive(t, reg("f", 0o644, "f")), "and more"...)))
	layers, err := i.Unpack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := tree(t, layers[0])["f"]; got != "-rw-r--r-- f" {
		t.Errorf("f is %q", got)
	}
}

func TestRootfs(t *testing.T) {
	i := put(t, open(t, t.TempDir()), "test", image(t,
		archive(t, dir("d", 0o755), reg("d/low", 0o644, "low"), reg("f", 0o644, "low"), reg("was-folder/in", 0o644, ""), reg("was-file", 0o644, ""), symlink("was-link", "d")),
		archive(t, dir("d", 0o700), reg("d/mid", 0o600, "mid"), reg("f", 0o600, "mid"), reg("was-folder", 0o644, "file"), dir("was-file", 0o755), dir("was-link", 0o755)),
		archive(t, reg("f", 0o640, "top"), reg("was-link/in", 0o644, ""))))
	root, err := i.Rootfs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		".": "drwxr-xr-x", "d": "drwx------", "d/low": "-rw-r--r-- low", "d/mid": "-rw------- mid", "f": "-rw-r----- top",
		"was-folder": "-rw-r--r-- file", "was-file": "drwxr-xr-x", "was-link": "drwxr-xr-x", "was-link/in": "-rw-r--r-- ",
	}
	if diff := cmp.Diff(want, tree(t, root)); diff != "" {
		t.Error(diff)
	}
}

// TestConcurrent has several users of one store at once, each with a lock of
// its own as processes have, and finds every folder whole at all times.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	content := strings.Repeat("content ", 10_000)
	img := image(t, archive(t, reg("a", 0o644, content)), archive(t, reg("b", 0o644, content)))
	whole := len("-rw-r--r-- ") + len(content)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			i, err := s.Put(t.Context(), "test", img)
			if err != nil {
				t.Error(err)
				return
			}
			layers, err1 := i.Unpack(t.Context())
			root, err2 := i.Rootfs(t.Context())
			if err1 != nil || err2 != nil {
				t.Error(err1, err2)
				return
			}
			for _, f := range []struct{ folder, file string }{{layers[0], "a"}, {layers[1], "b"}, {root, "a"}, {root, "b"}} {
				if got := tree(t, f.folder)[f.file]; len(got) != whole {
					t.Errorf("%s/%s has %d bytes, want %d", f.folder, f.file, len(got), whole)
				}
			}
		})
	}
	wg.Wait()
	if got := stored(t, dir); len(got) != 1 {
		t.Errorf("the store has %v", got)
	}
	if got := names(t, dir, "layers"); len(got) != 2 {
		t.Errorf("layers/ has %v, want two", got)
	}
}
