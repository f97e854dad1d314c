package images

import (
	"bytes"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// V1 is the image of a manifest in the store, as package go-containerregistry
// knows images. It is not looked at: it may be an attestation.
func (s *Store) V1(d v1.Descriptor) (v1.Image, error) {
	raw, err := s.readBlob(d)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	c := &content{store: s, mediaType: d.MediaType, raw: raw}
	if err := json.Unmarshal(raw, &c.manifest); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	return partial.CompressedToImage(c)
}

// Index is an index in the store, as package go-containerregistry knows them.
func (s *Store) Index(d v1.Descriptor) (v1.ImageIndex, error) {
	raw, err := s.readBlob(d)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", d.Digest, err)
	}
	m, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", d.Digest, err)
	}
	return storedIndex{s, d, raw, m}, nil
}

type storedIndex struct {
	s   *Store
	d   v1.Descriptor
	raw []byte
	m   *v1.IndexManifest
}

func (i storedIndex) MediaType() (types.MediaType, error)       { return i.d.MediaType, nil }
func (i storedIndex) Digest() (v1.Hash, error)                  { return i.d.Digest, nil }
func (i storedIndex) Size() (int64, error)                      { return i.d.Size, nil }
func (i storedIndex) IndexManifest() (*v1.IndexManifest, error) { return i.m, nil }
func (i storedIndex) RawManifest() ([]byte, error)              { return i.raw, nil }

func (i storedIndex) Image(h v1.Hash) (v1.Image, error) {
	d, err := i.child(h)
	if err != nil {
		return nil, err
	}
	return i.s.V1(d)
}

func (i storedIndex) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	d, err := i.child(h)
	if err != nil {
		return nil, err
	}
	return i.s.Index(d)
}

func (i storedIndex) child(h v1.Hash) (v1.Descriptor, error) {
	for _, d := range i.m.Manifests {
		if d.Digest == h {
			return d, nil
		}
	}
	return v1.Descriptor{}, fmt.Errorf("index %s names no %s", i.d.Digest, h)
}
