package images

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

func TestHistory(t *testing.T) {
	files := func(by string) v1.History { return v1.History{CreatedBy: by} }
	nothing := func(by string) v1.History { return v1.History{CreatedBy: by, EmptyLayer: true} }
	type step struct {
		By    string
		Layer int
	}
	for _, tt := range []struct {
		name    string
		history []v1.History
		layers  int
		want    []step
	}{
		{"docker's", []v1.History{files("ADD"), nothing("CMD"), files("RUN")}, 2, []step{{"ADD", 0}, {"CMD", -1}, {"RUN", 1}}},
		{"none", nil, 2, []step{{"", 0}, {"", 1}}},
		{"too short", []v1.History{files("ADD")}, 2, []step{{"ADD", 0}, {"", 1}}},
		{"too long", []v1.History{files("ADD"), files("RUN")}, 1, []step{{"ADD", 0}, {"RUN", -1}}},
		{"no layer", []v1.History{nothing("CMD")}, 0, []step{{"CMD", -1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []step
			for _, s := range History(&v1.ConfigFile{History: tt.history, RootFS: v1.RootFS{DiffIDs: make([]v1.Hash, tt.layers)}}) {
				got = append(got, step{s.CreatedBy, s.Layer})
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLayers(t *testing.T) {
	one, two := archive(t, reg("a", 0o644, strings.Repeat("a", 10_000))), archive(t, reg("b", 0o644, "b"))
	dir := t.TempDir()
	s := open(t, dir)
	img := image(t, one, two)
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.History = []v1.History{{CreatedBy: "first"}, {CreatedBy: "env", EmptyLayer: true}, {CreatedBy: "second"}}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	i := put(t, s, "test", img)
	layers := func() []Layer {
		t.Helper()
		l, err := i.Layers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	m, err := i.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	want := []Layer{
		{Digest: m.Layers[0].Digest, DiffID: cfg.RootFS.DiffIDs[0], MediaType: m.Layers[0].MediaType, Size: m.Layers[0].Size, Archive: int64(len(one)), Stored: true, CreatedBy: "first"},
		{Digest: m.Layers[1].Digest, DiffID: cfg.RootFS.DiffIDs[1], MediaType: m.Layers[1].MediaType, Size: m.Layers[1].Size, Archive: int64(len(two)), Stored: true, CreatedBy: "second"},
	}
	for range 2 { // counted, and remembered
		if diff := cmp.Diff(want, layers()); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := i.Unpack(t.Context()); err != nil {
		t.Fatal(err)
	}
	want[0].Unpacked, want[1].Unpacked = true, true
	if diff := cmp.Diff(want, layers()); diff != "" {
		t.Error(diff)
	}
	// Of an image that is elsewhere: one layer is here.
	if err := os.Remove(s.blobPath(m.Layers[1].Digest)); err != nil {
		t.Fatal(err)
	}
	want[1].Stored, want[1].Archive = false, -1
	if diff := cmp.Diff(want, layers()); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Layers(t.Context(), m, &v1.ConfigFile{}); err == nil || err.Error() != "the manifest has 2 layers, and the configuration 0" {
		t.Errorf("error %v", err)
	}
}
