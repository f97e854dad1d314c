package images

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// A Source is where the content of images comes from: a registry, a layout.
type Source struct {
	// Manifest reads a manifest, or an index, that is not in the store.
	Manifest func(ctx context.Context, d v1.Descriptor) ([]byte, error)
	// Blob brings a configuration or a layer, by [Writer.Ingest]. It is called
	// from several goroutines at once.
	Blob func(ctx context.Context, d v1.Descriptor) error
	// Children chooses which of the images of an index are brought.
	Children func(index []v1.Descriptor) ([]v1.Descriptor, error)
	// Parallel is how many blobs come at once, one without it.
	Parallel int
}

// The bounds of what a manifest may ask for. They are far beyond any real image,
// and there so that a hostile one asks for no more than a disk and a minute.
const (
	maxDepth  = 3        // an index of indexes
	maxImages = 256      // of an index
	maxLayers = 1000     // of an image; overlayfs joins no more than 500
	maxLayer  = 64 << 30 // bytes
)

// Fetch brings what a manifest, or an index, leads to: the index as it is and
// those of its images that the source chooses, their configurations and layers.
// The content has no name in the end, [Writer.Tag] gives it one. What is there
// after an error is not asked for again.
//
// A manifest is stored when all that it names is there, and never before: the
// store may have a name for its index, of which another platform's image was
// fetched earlier, and would be damaged.
func (w *Writer) Fetch(ctx context.Context, d v1.Descriptor, from Source) error {
	var f fetched
	if err := w.fetchManifest(ctx, d, from, 0, &f); err != nil {
		return err
	}
	group, blobCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, from.Parallel))
	once := map[v1.Hash]bool{}
	for _, b := range f.blobs {
		if once[b.Digest] {
			continue
		}
		once[b.Digest] = true
		group.Go(func() error {
			if err := from.Blob(blobCtx, b); err != nil {
				return fmt.Errorf("blob %s: %w", b.Digest, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, m := range f.manifests {
		if err := w.ingestBytes(ctx, m.d, m.raw); err != nil {
			return fmt.Errorf("manifest %s: %w", m.d.Digest, err)
		}
	}
	return nil
}

// fetched is what a descriptor leads to.
type fetched struct {
	manifests []rawManifest // each after those that it names
	blobs     []v1.Descriptor
}

type rawManifest struct {
	d   v1.Descriptor
	raw []byte
}

// fetchManifest reads manifests, and lists what they need.
func (w *Writer) fetchManifest(ctx context.Context, d v1.Descriptor, from Source, depth int, f *fetched) error {
	if err := checkDescriptor(d, maxManifest); err != nil {
		return err
	}
	if !d.MediaType.IsIndex() && !d.MediaType.IsImage() {
		return &MediaTypeError{d.MediaType}
	}
	read := from.Manifest
	if w.store.Has(d.Digest) {
		read = func(context.Context, v1.Descriptor) ([]byte, error) { return w.store.readBlob(d) }
	}
	raw, err := read(ctx, d)
	if err == nil {
		sum := sha256.New()
		sum.Write(raw)
		err = checkContent(d, int64(len(raw)), sum)
	}
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	m, err := parseManifest(d, raw)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if !d.MediaType.IsIndex() {
		f.blobs = append(append(f.blobs, *m.Config), m.Layers...)
		f.manifests = append(f.manifests, rawManifest{d, raw})
		return nil
	}
	if depth == maxDepth {
		return fmt.Errorf("index %s: it is in an index in an index in an index, and no image needs that", d.Digest)
	}
	children, err := from.Children(m.Manifests)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := w.fetchManifest(ctx, child, from, depth+1, f); err != nil {
			return err
		}
	}
	f.manifests = append(f.manifests, rawManifest{d, raw})
	return nil
}

// A MediaTypeError is content of a type that is no image that can be used.
type MediaTypeError struct{ MediaType types.MediaType }

func (e *MediaTypeError) Error() string {
	switch {
	case e.MediaType.IsSchema1():
		return "it has a manifest of Docker's schema 1, which registries gave up in 2017 to 2024 and which this program does not read: who has the image pushes it again with a Docker that is newer than 1.10"
	case e.MediaType == "":
		return "its manifest does not say of which type it is"
	}
	return fmt.Sprintf("it is no container image but of the type %q", e.MediaType)
}

// anyManifest is what a manifest and an index have together. One document that
// is both would be one image to one program and another to the next, with the
// same digest (CVE-2021-41190): it is refused.
type anyManifest struct {
	SchemaVersion int64           `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	Config        *v1.Descriptor  `json:"config"`
	Layers        []v1.Descriptor `json:"layers"`
	Manifests     []v1.Descriptor `json:"manifests"`
	FSLayers      json.RawMessage `json:"fsLayers"`
}

// parseManifest reads a manifest, or an index, and checks all that it names.
func parseManifest(d v1.Descriptor, raw []byte) (*anyManifest, error) {
	var m anyManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	isIndex := d.MediaType.IsIndex()
	switch {
	case m.MediaType != "" && m.MediaType != d.MediaType:
		return nil, fmt.Errorf("who names it says that it is of the type %q, and it says %q", d.MediaType, m.MediaType)
	case m.FSLayers != nil || m.SchemaVersion == 1:
		return nil, &MediaTypeError{types.DockerManifestSchema1}
	case isIndex && (m.Layers != nil || m.Config != nil), !isIndex && m.Manifests != nil:
		return nil, errors.New("it is the manifest of an image and an index of images at once")
	case len(m.Manifests) > maxImages:
		return nil, fmt.Errorf("it has %d images, more than %d", len(m.Manifests), maxImages)
	case len(m.Layers) > maxLayers:
		return nil, fmt.Errorf("it has %d layers, more than %d", len(m.Layers), maxLayers)
	case isIndex:
		return &m, nil
	case m.Config == nil:
		return nil, errors.New("it names no configuration")
	}
	if err := checkDescriptor(*m.Config, maxManifest); err != nil {
		return nil, fmt.Errorf("its configuration: %w", err)
	}
	for n, l := range m.Layers {
		if err := checkDescriptor(l, maxLayer); err != nil {
			return nil, fmt.Errorf("layer %d: %w", n+1, err)
		}
		if !l.MediaType.IsDistributable() {
			return nil, fmt.Errorf("layer %d, %s, is of the type %q: it may not be copied, is at %q and not where the image is, and is part of an image for Windows most likely", n+1, l.Digest, l.MediaType, l.URLs)
		}
	}
	return &m, nil
}

// checkDescriptor refuses what no descriptor of an image says.
func checkDescriptor(d v1.Descriptor, most int64) error {
	if err := checkHash(d.Digest); err != nil {
		return err
	}
	if d.Size < 0 || d.Size > most {
		return fmt.Errorf("blob %s has %d bytes, it says, and %d are the most that is sensible", d.Digest, d.Size, most)
	}
	return nil
}

// ForPlatform chooses the image for a platform, and no other one. The name is
// for the error, a [*PlatformError].
func ForPlatform(name string, p v1.Platform) func([]v1.Descriptor) ([]v1.Descriptor, error) {
	return func(list []v1.Descriptor) ([]v1.Descriptor, error) {
		d, have := Choose(list, p)
		if d == nil {
			return nil, &PlatformError{Name: name, Want: p, Have: have}
		}
		return []v1.Descriptor{*d}, nil
	}
}

// ForAll chooses all images of an index.
func ForAll(list []v1.Descriptor) ([]v1.Descriptor, error) { return slices.Clone(list), nil }
