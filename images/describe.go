package images

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
)

// A Layer is what is known of one layer of an image.
type Layer struct {
	Digest    v1.Hash         `json:"digest"`  // of the blob: what a registry has
	DiffID    v1.Hash         `json:"diff_id"` // of the archive in it: what is unpacked
	MediaType types.MediaType `json:"media_type"`
	Size      int64           `json:"size"`                 // of the blob, in bytes
	Archive   int64           `json:"archive"`              // of the archive, in bytes; negative if nobody has looked
	Stored    bool            `json:"stored"`               // the blob is in the store
	Unpacked  bool            `json:"unpacked"`             // and so is its folder
	CreatedBy string          `json:"created_by,omitempty"` // from the image's history
}

// Layers are those of an image that has this manifest and this configuration,
// the lowest first. They can come from elsewhere: of a layer that is not in the
// store the size of the archive is not known.
func (s *Store) Layers(ctx context.Context, m *v1.Manifest, c *v1.ConfigFile) ([]Layer, error) {
	if len(c.RootFS.DiffIDs) != len(m.Layers) {
		return nil, fmt.Errorf("the manifest has %d layers, and the configuration %d", len(m.Layers), len(c.RootFS.DiffIDs))
	}
	layers := make([]Layer, len(m.Layers))
	for n, d := range m.Layers {
		l := Layer{Digest: d.Digest, DiffID: c.RootFS.DiffIDs[n], MediaType: d.MediaType, Size: d.Size, Archive: -1, Stored: s.Has(d.Digest)}
		if checkHash(l.DiffID) == nil {
			_, err := os.Stat(s.path("layers", l.DiffID.Hex))
			l.Unpacked = err == nil
		}
		if l.Stored {
			var err error
			if l.Archive, err = s.archiveSize(ctx, d); err != nil {
				return nil, fmt.Errorf("layer %s: %w", d.Digest, err)
			}
		}
		layers[n] = l
	}
	for _, step := range History(c) {
		if step.Layer >= 0 && step.Layer < len(layers) {
			layers[step.Layer].CreatedBy = step.CreatedBy
		}
	}
	return layers, nil
}

// Layers are the image's layers, the lowest first.
func (i *Image) Layers(ctx context.Context) ([]Layer, error) {
	m, err := i.Manifest()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", i.Name, err)
	}
	layers, err := i.store.Layers(ctx, m, i.Config)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", i.Name, err)
	}
	return layers, nil
}

// A Step is one line of an image's history (image-spec, config.md), and the
// layer that it made: its place among the layers, or -1 for none.
type Step struct {
	v1.History
	Layer int
}

// History matches the steps of a configuration with its layers, the first step
// first. A step that changed no file says so ("empty_layer"). A layer of which
// no step tells, as in an image without a history, has a step without words.
func History(c *v1.ConfigFile) []Step {
	var steps []Step
	layer := 0
	for _, h := range c.History {
		s := Step{h, -1}
		if !h.EmptyLayer && layer < len(c.RootFS.DiffIDs) {
			s.Layer = layer
			layer++
		}
		steps = append(steps, s)
	}
	for ; layer < len(c.RootFS.DiffIDs); layer++ {
		steps = append(steps, Step{Layer: layer})
	}
	return steps
}

// archiveAttribute is where the size of the archive in a blob is kept, since
// nothing else tells it but to uncompress all of it (xattr(7)). It goes with the
// blob, and no other tool minds it.
const archiveAttribute = "user.bench.archive_bytes"

// archiveSize is the size of the archive in a layer's blob, in bytes.
func (s *Store) archiveSize(ctx context.Context, d v1.Descriptor) (int64, error) {
	f, err := s.Blob(d.Digest)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [20]byte
	if n, err := unix.Fgetxattr(int(f.Fd()), archiveAttribute, b[:]); err == nil {
		if size, err := strconv.ParseInt(string(b[:n]), 10, 64); err == nil && size >= 0 {
			return size, nil
		}
	}
	r, err := s.archive(d.Digest)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	size, err := io.Copy(io.Discard, withContext{ctx, r})
	if err != nil {
		return 0, err
	}
	// Where it cannot be noted, it is found out again.
	unix.Fsetxattr(int(f.Fd()), archiveAttribute, strconv.AppendInt(nil, size, 10), 0)
	return size, nil
}
