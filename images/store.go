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
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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

// An Image is one image of a store.
type Image struct {
	Name   string
	Digest string // of its manifest, "sha256:..."
	Config *v1.ConfigFile

	img   v1.Image
	store *Store
}

// DiffIDs name the layers, the lowest first, by the digest of their
// uncompressed archives.
func (i *Image) DiffIDs() []string {
	var ids []string
	for _, h := range i.Config.RootFS.DiffIDs {
		ids = append(ids, h.String())
	}
	return ids
}

// layers are the layers of the manifest, each with its diff ID at the same
// place in the configuration. A layer's own DiffID method is no check: for want
// of another it gives the digest of the content that is there.
func (i *Image) layers() ([]v1.Layer, error) {
	layers, err := i.img.Layers()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", i.Name, err)
	}
	if have := len(i.Config.RootFS.DiffIDs); have != len(layers) {
		return nil, fmt.Errorf("image %s: its manifest has %d layers, and its configuration %d", i.Name, len(layers), have)
	}
	return layers, nil
}

// Size is the size of all layers, uncompressed, in bytes.
func (i *Image) Size() (int64, error) {
	layers, err := i.img.Layers()
	if err != nil {
		return 0, fmt.Errorf("image %s: %w", i.Name, err)
	}
	var total int64
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			return 0, fmt.Errorf("image %s: %w", i.Name, err)
		}
		n, err := io.Copy(io.Discard, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return 0, fmt.Errorf("image %s: %w", i.Name, err)
		}
		total += n
	}
	return total, nil
}

// Unpack unpacks the layers that are not unpacked yet, and returns the folders
// of all, the lowest first.
func (i *Image) Unpack(ctx context.Context) ([]string, error) {
	unlock, err := i.store.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	layers, err := i.layers()
	if err != nil {
		return nil, err
	}
	var dirs []string
	for n, l := range layers {
		id := i.Config.RootFS.DiffIDs[n]
		dir := filepath.Join(i.store.dir, "layers", id.Hex)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			err = unpackOnce(ctx, l, id, dir)
			if err != nil {
				return nil, fmt.Errorf("image %s: layer %s: %w", i.Name, id, err)
			}
		} else if err != nil {
			return nil, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// unpackOnce unpacks under another name first, so that a folder with the name
// of a layer is always whole.
func unpackOnce(ctx context.Context, l v1.Layer, id v1.Hash, dir string) error {
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil { // an interrupted one
		return err
	}
	if err := unpackVerified(ctx, l, id, part); err != nil {
		os.RemoveAll(part)
		return err
	}
	return os.Rename(part, dir)
}

// unpackVerified unpacks a layer into dir and checks that it is the one that
// its diff ID names.
func unpackVerified(ctx context.Context, l v1.Layer, id v1.Hash, dir string) error {
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	tee := io.TeeReader(r, sum)
	if err := Unpack(ctx, tee, dir); err != nil {
		return err
	}
	// What follows the end of the archive is part of the digest.
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != id.Hex {
		return fmt.Errorf("its content has the digest sha256:%s", got)
	}
	return nil
}

// Rootfs unpacks all layers over each other, once, and returns the folder: the
// whole root file system as one tree, for a platform without an overlay.
func (i *Image) Rootfs(ctx context.Context) (string, error) {
	unlock, err := i.store.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	digest, err := v1.NewHash(i.Digest)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(i.store.dir, "rootfs", digest.Hex)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil { // an interrupted one
		return "", err
	}
	if err := i.merge(ctx, part); err != nil {
		os.RemoveAll(part)
		return "", err
	}
	return dir, os.Rename(part, dir)
}

func (i *Image) merge(ctx context.Context, dir string) error {
	layers, err := i.layers()
	if err != nil {
		return err
	}
	for n, l := range layers {
		id := i.Config.RootFS.DiffIDs[n]
		if err := unpackVerified(ctx, l, id, dir); err != nil {
			return fmt.Errorf("image %s: layer %s: %w", i.Name, id, err)
		}
	}
	return nil
}
