package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestFamiliarName(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	for _, tt := range []struct{ ref, want string }{
		{"debian", "debian:latest"},
		{"debian:12", "debian:12"},
		{"library/debian", "debian:latest"},
		{"team/app:1", "team/app:1"},
		{"localhost:5000/a", "localhost:5000/a:latest"},
		{"127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"},
		{"example.com/x", "example.com/x:latest"},
		{"debian@" + digest, "debian@" + digest},
		{"Debian", ""},
		{"", ""},
		{"./debian", ""},
		{"a:b:c", ""},
	} {
		got, err := FamiliarName(tt.ref)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%q: %q, %v; want %q", tt.ref, got, err, tt.want)
		}
	}
}

// forPlatform is an image of one layer with a platform.
func forPlatform(t testing.TB, arch string) v1.Image {
	t.Helper()
	img := image(t, archive(t, reg("arch", 0o644, arch)))
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", arch
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

func index(t testing.TB, arches ...string) v1.ImageIndex {
	t.Helper()
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range arches {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add: forPlatform(t, arch), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return idx
}

func TestImageOfPlatform(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.PutIndex(t.Context(), "many", index(t, "s390x", "arm64", "amd64")); err != nil {
		t.Fatal(err)
	}
	put(t, s, "one", forPlatform(t, "s390x"))
	put(t, s, "any", image(t, archive(t, reg("f", 0o644, ""))))
	for _, tt := range []struct {
		ref, platform string
		want          string // architecture, or of the error
	}{
		{"many", "linux/amd64", "amd64"},
		{"many:latest", "linux/arm64/v8", "arm64"},
		{"many", "", HostPlatform().Architecture},
		{"many", "linux/386", "the image many:latest is not for linux/386, but for linux/s390x, linux/arm64, linux/amd64"},
		{"one", "s390x", "s390x"},
		{"one", "", "the image one:latest is not for linux/" + HostPlatform().Architecture + ", but for linux/s390x"},
		{"any", "linux/riscv64", ""},
		{"none", "", `no image named "none" in the store: it has any:latest, many:latest, one:latest`},
		{"NONE", "", "is no name of an image"},
	} {
		var p v1.Platform
		if tt.platform != "" {
			var err error
			if p, err = ParsePlatform(tt.platform); err != nil {
				t.Fatal(err)
			}
		}
		img, err := s.Image(tt.ref, p)
		if err != nil {
			if tt.want == "" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s for %s: %v, want %s", tt.ref, tt.platform, err, tt.want)
			}
			continue
		}
		if img.Platform().Architecture != tt.want {
			t.Errorf("%s for %s is for %v", tt.ref, tt.platform, img.Platform())
		}
	}
	all, err := s.Children("many")
	if err != nil || len(all) != 3 {
		t.Errorf("%d children, %v", len(all), err)
	}
	// By the digits of its digest, too.
	n, err := s.Named("many")
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{n.Descriptor.Digest.String(), n.Descriptor.Digest.Hex[:12], "sha256:" + n.Descriptor.Digest.Hex[:12]} {
		if got, err := s.Named(ref); err != nil || got.Name != "many:latest" {
			t.Errorf("%s: %v, %v", ref, got, err)
		}
	}
}

// TestTagRefuses: no name stands for an image of which something is missing.
func TestTagRefuses(t *testing.T) {
	s := open(t, t.TempDir())
	img := put(t, s, "whole", forPlatform(t, "amd64"))
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Named("whole")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Discard(m.Layers[0].Digest); err != nil {
		t.Fatal(err)
	}
	w := writer(t, s)
	if err := w.Tag("half", d.Descriptor); err == nil || !strings.Contains(err.Error(), m.Layers[0].Digest.String()) {
		t.Errorf("without a layer: %v", err)
	}
	if err := w.Tag("nothing", descriptor("nothing")); err == nil {
		t.Error("without a manifest")
	}
	if all, err := s.Names(); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if err := s.Remove("half"); !errors.As(err, new(*NotFoundError)) {
		t.Error(err)
	}
	if err := s.Remove("whole"); err != nil {
		t.Error(err)
	}
	if all, err := s.Names(); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// TestNamesAtOnce: of names given at the same time none is lost, and whoever
// reads meanwhile reads a whole list.
func TestNamesAtOnce(t *testing.T) {
	dir := t.TempDir()
	img := forPlatform(t, "amd64")
	put(t, open(t, dir), "first", img)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if _, err := open(t, dir).Put(t.Context(), fmt.Sprintf("image%d", i), img); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			b, err := os.ReadFile(filepath.Join(dir, "oci", "index.json"))
			if err != nil || !json.Valid(b) {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
	wg.Wait()
	if all, err := open(t, dir).Names(); err != nil || len(all) != 11 {
		t.Errorf("%d names, %v", len(all), err)
	}
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	shared, own := archive(t, reg("shared", 0o644, "s")), archive(t, reg("own", 0o644, "o"))
	s := open(t, dir)
	a, b := put(t, s, "a", image(t, shared)), put(t, s, "b", image(t, shared, own))
	for _, i := range []*Image{a, b} {
		if _, err := i.Unpack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Rootfs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	prune := func(dry bool) Pruned {
		t.Helper()
		p, err := s.Prune(t.Context(), dry)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := prune(false); p != (Pruned{}) {
		t.Errorf("with all named: %+v", p)
	}
	if err := s.Remove("b"); err != nil {
		t.Fatal(err)
	}
	d := descriptor("a blob that never came whole")
	w := writer(t, open(t, dir))
	if err := w.Ingest(t.Context(), d, (&source{content: "a blob that never came whole", fail: 5}).fetch); err == nil {
		t.Fatal("not cut")
	}
	want := Pruned{Blobs: 3, Partials: 1, Layers: 2} // manifest, configuration, layer; its folder, and the merged tree

	// Nothing goes while somebody writes.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Prune(ctx, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside a writer: %v", err)
	}
	w.Close()

	for _, dry := range []bool{true, false} {
		p := prune(dry)
		if p.Bytes < 3*4096 {
			t.Errorf("it freed %d bytes", p.Bytes)
		}
		p.Bytes = 0
		if diff := cmp.Diff(want, p); diff != "" {
			t.Errorf("dry %v: %s", dry, diff)
		}
	}
	if got := names(t, dir, "layers"); len(got) != 1 || got[0] != strings.TrimPrefix(a.DiffIDs()[0], "sha256:") {
		t.Errorf("layers: %q", got)
	}
	if problems, err := s.Verify(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if got := stored(t, dir); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// TestSweep: what a killed process leaves goes with the next start, but for what
// somebody is making, or can go on with.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	img := put(t, s, "kept", image(t, archive(t, reg("f", 0o644, ""))))
	if _, err := img.Unpack(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := strings.Repeat("ab", 32)
	left := []string{"ingest/" + newPrefix + "123", "layers/" + id + ".part", "disks/" + id + ".erofs.part", "layers/" + id + removing}
	kept := []string{"ingest/" + id, "layers/" + strings.TrimPrefix(img.DiffIDs()[0], "sha256:")}
	for _, name := range left {
		if err := os.MkdirAll(filepath.Join(dir, name, "folder"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, kept[0]), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	there := func(names []string) (n int) {
		for _, name := range names {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				n++
			}
		}
		return n
	}
	w, err := s.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := there(left); n != 0 {
		t.Errorf("the next writer leaves %d", n)
	}
	if err := os.WriteFile(filepath.Join(dir, left[0]), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if swept, err := open(t, dir).Sweep(); err != nil || len(swept) != 0 || there(left) != 1 {
		t.Errorf("beside a writer it removed %q, %v", swept, err)
	}
	w.Close()
	if swept, err := open(t, dir).Sweep(); err != nil || len(swept) != 1 || there(left) != 0 {
		t.Errorf("it removed %q, %v", swept, err)
	}
	if n := there(kept); n != len(kept) {
		t.Errorf("of what is to stay, %d are there", n)
	}
}

// TestVerify finds each kind of damage, says where, and a pull mends it.
func TestVerify(t *testing.T) {
	img := image(t, archive(t, reg("f", 0o644, "content")))
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	layer := m.Layers[0].Digest
	for _, tt := range []struct {
		name   string
		damage func(path string) error
		want   string
	}{
		{"changed", func(p string) error { return os.WriteFile(p, make([]byte, m.Layers[0].Size), 0o644) }, "has the digest sha256:"},
		{"shorter", func(p string) error { return os.Truncate(p, 10) }, "and only 10 came"},
		{"gone", os.Remove, "is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			put(t, s, "good", image(t, archive(t, reg("other", 0o644, ""))))
			put(t, s, "bad", img)
			if err := tt.damage(s.blobPath(layer)); err != nil {
				t.Fatal(err)
			}
			problems, err := s.Verify(t.Context())
			if err != nil || len(problems) != 1 || problems[0].Image != "bad:latest" || problems[0].Blob != layer || !strings.Contains(problems[0].Err.Error(), tt.want) {
				t.Fatalf("%v, %v", problems, err)
			}
			if problems, err := s.Verify(t.Context(), "good"); err != nil || len(problems) != 0 {
				t.Errorf("%v, %v", problems, err)
			}
			if err := s.Discard(layer); err != nil && tt.name != "gone" {
				t.Error(err)
			}
			put(t, s, "bad", img)
			if problems, err := s.Verify(t.Context()); err != nil || len(problems) != 0 {
				t.Errorf("mended: %v, %v", problems, err)
			}
		})
	}
	if _, err := open(t, t.TempDir()).Verify(t.Context(), "none"); !errors.As(err, new(*NotFoundError)) {
		t.Error(err)
	}
}
