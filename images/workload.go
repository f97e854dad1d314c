package images

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// WorkloadName is the name of the image that is measured.
const WorkloadName = "workload"

// Workload builds the image that is measured, from scratch, for this host's
// architecture: its data in one layer, the program in another. The same program
// gives the same bytes.
func Workload(program []byte) (v1.Image, error) {
	return workloadLayers(program).image(workloadConfig(runtime.GOARCH))
}

// WorkloadIndex builds it for several architectures, from the program made for
// each (image-index.md). The images have the layer of data in common.
func WorkloadIndex(programs map[string][]byte) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range slices.Sorted(maps.Keys(programs)) {
		img, err := workloadLayers(programs[arch]).image(workloadConfig(arch))
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index, nil
}

// otherName is the name of the image that is held against the workload's.
const otherName = "workload-other"

// PutOther stores an image that is like that of the workload, runs the same, and has as
// many bytes, but shares no file with it: its data are others, and of the program an
// unused byte differs (EI_PAD, elf(5)).
func (s *Store) PutOther(ctx context.Context, program []byte) (*Image, error) {
	layers := workloadLayers(otherProgram(program))
	for n := range layers[0].files {
		if f := &layers[0].files[n]; f.name == "bench/data" {
			rand.NewChaCha8([32]byte([]byte("the data of the other test image"))).Read(f.content)
		}
	}
	img, err := layers.image(workloadConfig(runtime.GOARCH))
	if err != nil {
		return nil, err
	}
	return s.Put(ctx, otherName, img)
}

func otherProgram(program []byte) []byte {
	const lastOfIdent = 15
	program = bytes.Clone(program)
	if len(program) > lastOfIdent {
		program[lastOfIdent]++
	}
	return program
}

// PutWorkload stores that index under the name of the workload, unless it is
// there already: to find that out is a matter of hashing, and to build it of
// compressing.
func (s *Store) PutWorkload(ctx context.Context, programs map[string][]byte) error {
	current := true
	for arch, program := range programs {
		same, err := s.hasWorkload(arch, program)
		if err != nil {
			return err
		}
		current = current && same
	}
	if current {
		return nil
	}
	index, err := WorkloadIndex(programs)
	if err != nil {
		return err
	}
	return s.PutIndex(ctx, WorkloadName, index)
}

// hasWorkload tells whether the image of that name is the one that would be
// built. Its configuration names all its content by diff IDs. What cannot be
// read is not that image, and is built anew.
func (s *Store) hasWorkload(arch string, program []byte) (bool, error) {
	img, err := s.Image(WorkloadName, v1.Platform{OS: "linux", Architecture: arch})
	if err != nil {
		return false, nil
	}
	if s.complete(img.descriptor) != nil {
		return false, nil
	}
	cfg := workloadConfig(arch)
	if err := workloadLayers(program).describe(&cfg); err != nil {
		return false, err
	}
	want, err := json.Marshal(cfg)
	if err != nil {
		return false, err
	}
	have, err := img.img.RawConfigFile()
	return err == nil && bytes.Equal(want, have), nil
}

func workloadConfig(arch string) v1.ConfigFile {
	return v1.ConfigFile{
		OS: "linux", Architecture: arch,
		Config: v1.Config{
			Entrypoint: []string{"/bench/workload"},
			Cmd:        []string{"idle"},
			WorkingDir: "/bench",
			Env:        []string{"PATH=/bench"},
		},
	}
}

func workloadLayers(program []byte) madeLayers {
	// Incompressible, the same on every host, and not in the program's file.
	data := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte([]byte("the data of the workload image!!"))).Read(data)
	return madeLayers{
		{"1 MiB of data, and /etc", []file{
			{"bench/", 0o755, nil},
			{"bench/data", 0o644, data},
			{"etc/", 0o755, nil},
			{"etc/os-release", 0o644, []byte("ID=bench\nNAME=bench\nPRETTY_NAME=\"bench workload image (from scratch)\"\n")},
			{"etc/passwd", 0o644, []byte("root:x:0:0:root:/:/bench/workload\nnobody:x:65534:65534:nobody:/:/bench/workload\n")},
			{"etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n")},
		}},
		{"the program", []file{{"bench/", 0o755, nil}, {"bench/workload", 0o755, program}}},
	}
}

// madeLayers are layers from files in memory, the lowest first.
type madeLayers []struct {
	about string // for the image's history
	files []file
}

// file is one entry of a layer; a name with a slash at its end is a folder.
type file struct {
	name    string
	mode    int64
	content []byte
}

// describe names the layers in a configuration.
func (r madeLayers) describe(cfg *v1.ConfigFile) error {
	cfg.RootFS.Type = "layers"
	for _, l := range r {
		archive, err := archiveOf(l.files)
		if err != nil {
			return err
		}
		id, _, err := v1.SHA256(bytes.NewReader(archive))
		if err != nil {
			return err
		}
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, id)
		cfg.History = append(cfg.History, v1.History{CreatedBy: "bench: " + l.about})
	}
	return nil
}

// image is the image of these layers.
func (r madeLayers) image(cfg v1.ConfigFile) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range r {
		archive, err := archiveOf(l.files)
		if err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, err
		}
	}
	if err := r.describe(&cfg); err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, &cfg)
}

// archiveOf is a tar archive with no times and no owners in it, so that the same
// files give the same bytes.
func archiveOf(files []file) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if f.content == nil {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
