package images

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// PutWorkloadOn stores an image that has the layers of another one of the store and, on
// top, those of the workload: what is started is the workload, and what it is started
// from has the size and the layers of that image. It is for this host's platform.
func (s *Store) PutWorkloadOn(ctx context.Context, base string, program []byte) (*Image, error) {
	on, err := s.Image(base, HostPlatform())
	if err != nil {
		return nil, err
	}
	img, err := workloadOn(on.V1(), program)
	if err != nil {
		return nil, fmt.Errorf("putting the workload on image %s: %w", on.Name, err)
	}
	return s.Put(ctx, nameOn(on.Name), img)
}

// nameOn is the name of the image with the workload on top of another: it has no second
// colon and no digest, which names cannot have.
func nameOn(base string) string {
	base = strings.ReplaceAll(base, "@", "-")
	repository, tag := base, ""
	if i := strings.LastIndex(base, ":"); i > strings.LastIndex(base, "/") {
		repository, tag = base[:i], base[i:]
	}
	return "workload-on/" + strings.ReplaceAll(repository, ":", "-") + tag
}

func workloadOn(base v1.Image, program []byte) (v1.Image, error) {
	kind, err := base.MediaType()
	if err != nil {
		return nil, err
	}
	layerType := types.OCILayer
	if kind == types.DockerManifestSchema2 {
		layerType = types.DockerLayer
	}
	img := base
	for _, l := range workloadLayers(program) {
		var files []file
		for _, f := range l.files {
			if strings.HasPrefix(f.name, "bench/") { // the base has an /etc of its own
				files = append(files, f)
			}
		}
		archive, err := archiveOf(files)
		if err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }, tarball.WithMediaType(layerType))
		if err != nil {
			return nil, err
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "bench: " + l.about}}); err != nil {
			return nil, err
		}
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	cfg.Config = workloadConfig(cfg.Architecture).Config
	return mutate.ConfigFile(img, cfg)
}
