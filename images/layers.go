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
	"golang.org/x/sys/unix"
)

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
	l, err := lock(ctx, i.store.path("unpack.lock"), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer l.Close()
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
	l, err := lock(ctx, i.store.path("unpack.lock"), unix.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer l.Close()
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
