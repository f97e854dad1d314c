package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// IsLayout tells whether a folder is an OCI image layout (image-layout.md).
func IsLayout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "oci-layout"))
	return err == nil
}

// FromLayout opens an image of a layout: the one with this name (annotations.md,
// org.opencontainers.image.ref.name), or, without a name, the only one.
func FromLayout(dir, name string) (v1.Image, error) {
	p, err := layout.FromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("%s is no OCI image layout: %w", dir, err)
	}
	index, err := p.ImageIndex()
	if err != nil {
		return nil, err
	}
	img, err := choose(index, name)
	if err != nil {
		return nil, fmt.Errorf("image layout %s: %w", dir, err)
	}
	return img, nil
}

// choose finds an image in an index; of those for several platforms, the one
// for this.
func choose(index v1.ImageIndex, name string) (v1.Image, error) {
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var found []v1.Descriptor
	var names []string
	for _, d := range m.Manifests {
		if p := d.Platform; p != nil && (p.OS != "linux" || p.Architecture != "amd64") {
			continue
		}
		n := d.Annotations[refName]
		names = append(names, n)
		if name == "" || n == name {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0 && name != "":
		return nil, fmt.Errorf("it has no image named %q; it has %q", name, names)
	case len(found) == 0:
		return nil, errors.New("it has no image for linux/amd64")
	case len(found) > 1:
		return nil, fmt.Errorf("it has %d images: name one of %q", len(found), names)
	}
	if d := found[0]; d.MediaType.IsIndex() {
		inner, err := index.ImageIndex(d.Digest)
		if err != nil {
			return nil, err
		}
		return choose(inner, "")
	}
	return index.Image(found[0].Digest)
}

// FromArchive opens an image in a tar archive: what `docker save` writes, or an
// image layout, which is unpacked into tmp.
func FromArchive(ctx context.Context, path, tmp string) (v1.Image, error) {
	img, err := tarball.ImageFromPath(path, nil)
	if err == nil {
		return img, nil
	}
	if !strings.Contains(err.Error(), "manifest.json") {
		return nil, fmt.Errorf("image archive %s: %w", path, err)
	}
	f, openErr := os.Open(path)
	if openErr != nil {
		return nil, openErr
	}
	defer f.Close()
	if err := Unpack(ctx, f, tmp); err != nil {
		return nil, fmt.Errorf("image archive %s: %w", path, err)
	}
	if !IsLayout(tmp) {
		return nil, fmt.Errorf("image archive %s: it holds neither manifest.json, as docker save writes it, nor an OCI image layout", path)
	}
	return FromLayout(tmp, "")
}
