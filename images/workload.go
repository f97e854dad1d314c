package images

import (
	"archive/tar"
	"bytes"
	"io"
	"math/rand/v2"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// WorkloadName is the name of the image that is measured.
const WorkloadName = "workload"

// Workload builds the image that is measured, from scratch: the program in
// one layer, its data in another. The same program gives the same bytes.
func Workload(program []byte) (v1.Image, error) {
	// Incompressible, the same on every host, and not in the program's file.
	data := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte([]byte("the data of the workload image!!"))).Read(data)
	img, err := appendLayers(empty.Image,
		[]file{
			{"bench/", 0o755, nil},
			{"bench/data", 0o644, data},
			{"etc/", 0o755, nil},
			{"etc/os-release", 0o644, []byte("ID=bench\nNAME=bench\nPRETTY_NAME=\"bench workload image (from scratch)\"\n")},
			{"etc/passwd", 0o644, []byte("root:x:0:0:root:/:/bench/workload\nnobody:x:65534:65534:nobody:/:/bench/workload\n")},
			{"etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n")},
		},
		[]file{{"bench/", 0o755, nil}, {"bench/workload", 0o755, program}})
	if err != nil {
		return nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	cfg.Config.Entrypoint = []string{"/bench/workload"}
	cfg.Config.Cmd = []string{"idle"}
	cfg.Config.WorkingDir = "/bench"
	cfg.Config.Env = []string{"PATH=/bench"}
	return mutate.ConfigFile(img, cfg)
}

// file is one entry of a layer that is built here; a name with a slash at its
// end is a folder.
type file struct {
	name    string
	mode    int64
	content []byte
}

func appendLayers(img v1.Image, layers ...[]file) (v1.Image, error) {
	for _, files := range layers {
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
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return nil, err
		}
	}
	return img, nil
}
