package images

import (
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// open reads the image of a manifest.
func (s *Store) open(name string, d v1.Descriptor) (*Image, error) {
	img, err := s.V1(d)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image %s: its configuration: %w", name, err)
	}
	mediaType, err := img.MediaType()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	size, err := img.Size()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	return &Image{
		Name: name, Digest: d.Digest.String(), Config: cfg, img: img, store: s,
		descriptor: v1.Descriptor{MediaType: mediaType, Size: size, Digest: d.Digest},
	}, nil
}

// Named is the image's name with the descriptor of its manifest: of an index, not
// the index.
func (i *Image) Named() Named { return Named{i.Name, i.descriptor} }

// Platform is the platform that the image says it is for; parts that it does
// not name are empty.
func (i *Image) Platform() v1.Platform {
	return normalize(v1.Platform{OS: i.Config.OS, Architecture: i.Config.Architecture, Variant: i.Config.Variant})
}

// Manifest is the image's manifest. It is not to be changed.
func (i *Image) Manifest() (*v1.Manifest, error) { return i.img.Manifest() }

// V1 is the image as package go-containerregistry knows images.
func (i *Image) V1() v1.Image { return i.img }

// content is a partial.CompressedImageCore: the image of a store's blobs.
type content struct {
	store     *Store
	mediaType types.MediaType
	raw       []byte
	manifest  v1.Manifest
}

func (c *content) RawManifest() ([]byte, error) { return c.raw, nil }

func (c *content) MediaType() (types.MediaType, error) {
	if c.mediaType == "" {
		return c.manifest.MediaType, nil
	}
	return c.mediaType, nil
}

func (c *content) RawConfigFile() ([]byte, error) { return c.store.readBlob(c.manifest.Config) }

func (c *content) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range append([]v1.Descriptor{c.manifest.Config}, c.manifest.Layers...) {
		if d.Digest == h {
			return layerBlob{c.store, d}, nil
		}
	}
	return nil, fmt.Errorf("the manifest names no blob %s", h)
}

// layerBlob is a partial.CompressedLayer.
type layerBlob struct {
	store *Store
	d     v1.Descriptor
}

func (l layerBlob) Digest() (v1.Hash, error)            { return l.d.Digest, nil }
func (l layerBlob) Size() (int64, error)                { return l.d.Size, nil }
func (l layerBlob) MediaType() (types.MediaType, error) { return l.d.MediaType, nil }
func (l layerBlob) Compressed() (io.ReadCloser, error)  { return l.store.Blob(l.d.Digest) }
func (l layerBlob) Descriptor() (*v1.Descriptor, error) { return &l.d, nil }
