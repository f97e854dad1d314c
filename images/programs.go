package images

import (
	"context"
	"maps"
	"path"
	"runtime"
	"slices"
)

// PutPrograms stores an image that is the workload's but for the program: it has those
// given, by their names in the folder /bench, and starts the one called main.
func (s *Store) PutPrograms(ctx context.Context, name, main string, programs map[string][]byte) (*Image, error) {
	layers := workloadLayers(nil)
	files := []file{{"bench/", 0o755, nil}}
	for _, n := range slices.Sorted(maps.Keys(programs)) {
		files = append(files, file{"bench/" + n, 0o755, programs[n]})
	}
	layers[1].about, layers[1].files = "programs", files
	cfg := workloadConfig(runtime.GOARCH)
	cfg.Config.Entrypoint, cfg.Config.Cmd = []string{path.Join("/bench", main)}, nil
	img, err := layers.image(cfg)
	if err != nil {
		return nil, err
	}
	return s.Put(ctx, name, img)
}
