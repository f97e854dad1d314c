// Package images holds OCI images.
//
// An image is a manifest, a configuration, and layers: tar archives of changes
// to a file system, each named by the SHA-256 of its content (image-spec,
// "manifest.md", "config.md", "layer.md"). On disk it is kept as the OCI image
// layout (image-layout.md), which any OCI tool opens, and each layer unpacked
// once, in a folder named by its diff ID, whatever number of images and
// containers use it.
package images

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"golang.org/x/sys/unix"
)

// A Store is a folder of images: DIR/oci is the layout, DIR/layers the
// unpacked layers.
type Store struct{ dir string }

// refName is the annotation that names an image in a layout (image-spec,
// annotations.md).
const refName = "org.opencontainers.image.ref.name"

// Open opens the store in dir, and makes it where there is none.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "layers"), 0o755); err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	s := &Store{dir: dir}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	oci := filepath.Join(dir, "oci")
	if _, err := os.Stat(filepath.Join(oci, "index.json")); errors.Is(err, fs.ErrNotExist) {
		if _, err := layout.Write(oci, empty.Index); err != nil {
			return nil, fmt.Errorf("making the image store %s: %w", oci, err)
		}
	}
	return s, nil
}

// lock takes the store's lock (flock(2)), which every writer of it holds.
func (s *Store) lock() (unlock func(), err error) {
	path := filepath.Join(s.dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the image store: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// Put stores img under a name, in place of the image that had it.
func (s *Store) Put(name string, img v1.Image) (*Image, error) {
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	p, err := layout.FromPath(filepath.Join(s.dir, "oci"))
	if err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	if have, err := find(p, name); err == nil && have == digest {
		return s.image(p, name, digest)
	}
	if err := p.ReplaceImage(img, match.Name(name), layout.WithAnnotations(map[string]string{refName: name})); err != nil {
		return nil, fmt.Errorf("storing image %s: %w", name, err)
	}
	return s.image(p, name, digest)
}

func find(p layout.Path, name string) (v1.Hash, error) {
	index, err := p.ImageIndex()
	if err != nil {
		return v1.Hash{}, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return v1.Hash{}, err
	}
	for _, d := range m.Manifests {
		if d.Annotations[refName] == name {
			return d.Digest, nil
		}
	}
	return v1.Hash{}, fmt.Errorf("no image named %q in the store", name)
}

func (s *Store) image(p layout.Path, name string, digest v1.Hash) (*Image, error) {
	img, err := p.Image(digest)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	return &Image{Name: name, Digest: digest.String(), Config: cfg, img: img, store: s}, nil
}
