package images

import (
	"archive/tar"
	"bytes"
	"io"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// blobs are all bytes that an image consists of.
func blobs(t *testing.T, img v1.Image) [][]byte {
	t.Helper()
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	all := [][]byte{manifest, config}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		all = append(all, b)
	}
	return all
}

func TestWorkloadIsReproducible(t *testing.T) {
	var all [2][][]byte
	for i := range all {
		img, err := Workload([]byte("program"))
		if err != nil {
			t.Fatal(err)
		}
		all[i] = blobs(t, img)
	}
	for i := range all[0] {
		if !bytes.Equal(all[0][i], all[1][i]) {
			t.Errorf("blob %d is not the same twice", i)
		}
	}
	other, err := Workload([]byte("another"))
	if err != nil {
		t.Fatal(err)
	}
	b := blobs(t, other)
	if bytes.Equal(b[0], all[0][0]) || bytes.Equal(b[3], all[0][3]) {
		t.Error("another program gave the same image")
	}
	// The data need not be unpacked again for each build of the program.
	if !bytes.Equal(b[2], all[0][2]) {
		t.Error("another program gave another layer of data")
	}
}

func TestWorkload(t *testing.T) {
	img, err := Workload([]byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	type file struct {
		Kind byte
		Mode int64
		Size int64
	}
	got := make([]map[string]file, len(layers))
	for i, l := range layers {
		got[i] = map[string]file{}
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Uid != 0 || h.Gid != 0 {
				t.Errorf("%s belongs to %d:%d", h.Name, h.Uid, h.Gid)
			}
			size := h.Size
			if h.Name[:4] == "etc/" {
				size = 0 // a text, of whatever length
			}
			got[i][h.Name] = file{h.Typeflag, h.Mode, size}
		}
	}
	want := []map[string]file{
		{
			"bench/": {tar.TypeDir, 0o755, 0}, "bench/data": {tar.TypeReg, 0o644, 1 << 20},
			"etc/": {tar.TypeDir, 0o755, 0}, "etc/os-release": {tar.TypeReg, 0o644, 0}, "etc/passwd": {tar.TypeReg, 0o644, 0}, "etc/group": {tar.TypeReg, 0o644, 0},
		},
		{"bench/": {tar.TypeDir, 0o755, 0}, "bench/workload": {tar.TypeReg, 0o755, int64(len("program"))}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	image := &Image{Name: WorkloadName, Config: cfg}
	p, err := image.Process(nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Process{Args: []string{"/bench/workload", "idle"}, Env: []string{"PATH=/bench"}, Cwd: "/bench"}, p); diff != "" {
		t.Error(diff)
	}
	if cfg.OS != "linux" || cfg.Architecture != "amd64" {
		t.Errorf("it is for %s/%s", cfg.OS, cfg.Architecture)
	}
}

// TestWorkloadUnpacks unpacks it, and finds the program where its process is.
func TestWorkloadUnpacks(t *testing.T) {
	img, err := Workload([]byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := put(t, open(t, t.TempDir()), WorkloadName, img).Rootfs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := tree(t, root)
	if got["bench/workload"] != "-rwxr-xr-x program" || len(got["bench/data"]) != len("-rw-r--r-- ")+1<<20 {
		t.Errorf("bench/workload is %q, bench/data has %d bytes", got["bench/workload"], len(got["bench/data"]))
	}
}

// TestWorkloadIndex: an image for each platform, which have the data in common,
// and which is there is not built again.
func TestWorkloadIndex(t *testing.T) {
	dir := t.TempDir()
	programs := map[string][]byte{"arm64": []byte("for arm"), "amd64": []byte("for intel")}
	digests := func() map[string]string {
		t.Helper()
		s := open(t, dir)
		if err := s.PutWorkload(t.Context(), programs); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		var data []string
		for arch, program := range programs {
			i, err := s.Image(WorkloadName, v1.Platform{OS: "linux", Architecture: arch})
			if err != nil {
				t.Fatal(err)
			}
			if i.Config.Architecture != arch || i.Config.OS != "linux" {
				t.Errorf("the image for %s says that it is for %v", arch, i.Platform())
			}
			got[arch] = i.Digest
			data = append(data, i.DiffIDs()[0])
			if ok, err := s.hasWorkload(arch, program); !ok || err != nil {
				t.Errorf("%s would be built again: %v", arch, err)
			}
			if ok, err := s.hasWorkload(arch, []byte("a third")); ok || err != nil {
				t.Errorf("%s with another program would not be built: %v", arch, err)
			}
		}
		if data[0] != data[1] {
			t.Errorf("the layers of data are %v", data)
		}
		return got
	}
	first := digests()
	if diff := cmp.Diff(first, digests()); diff != "" {
		t.Error(diff)
	}
	index, err := layout.ImageIndexFromPath(filepath.Join(dir, "oci"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil { // as another OCI tool reads it
		t.Error(err)
	}
	if got := names(t, dir, "oci/blobs/sha256"); len(got) != 1+2*2+3 {
		t.Errorf("%d blobs, want an index, two manifests, two configurations and three layers", len(got))
	}
	// A layer that is lost is made again.
	i, err := open(t, dir).Image(WorkloadName, v1.Platform{OS: "linux", Architecture: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := i.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir).Discard(m.Layers[1].Digest); err != nil {
		t.Fatal(err)
	}
	digests()
	if !open(t, dir).Has(m.Layers[1].Digest) {
		t.Error("a layer that was lost is not made again")
	}
	programs["arm64"] = []byte("another")
	if second := digests(); second["arm64"] == first["arm64"] || second["amd64"] != first["amd64"] {
		t.Errorf("with another program for arm64: %v, before %v", second, first)
	}
}
