package images

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Format is that of an image archive.
type Format string

// The formats of archives.
const (
	// FormatOCI is an image layout, with manifest.json beside index.json, so
	// that docker load of any version reads it too: what docker save has
	// written since version 25. Blobs are as they are in the store.
	FormatOCI Format = "oci"
	// FormatDocker is what docker save wrote before: each layer as a plain
	// archive, and no index. It has one platform's image only.
	FormatDocker Format = "docker"
)

// Export writes images into an archive. The same images give the same bytes.
// Of an index it writes the images that are there.
func (s *Store) Export(ctx context.Context, to io.Writer, format Format, list ...Named) error {
	w := &archiveWriter{s: s, t: tar.NewWriter(to), written: map[string]bool{}}
	var err error
	switch format {
	case FormatOCI:
		err = w.oci(ctx, list)
	case FormatDocker:
		err = w.docker(ctx, list)
	default:
		err = fmt.Errorf("there is no format %q: the formats are %s and %s", format, FormatOCI, FormatDocker)
	}
	if err == nil {
		err = w.t.Close()
	}
	if err != nil {
		return fmt.Errorf("writing the image archive: %w", err)
	}
	return nil
}

// Archive is a function that writes the image into an archive which the load commands of
// Docker and Podman read, under a name.
func (i *Image) Archive(ctx context.Context, name string) func(to io.Writer) error {
	return func(to io.Writer) error { return i.store.Export(ctx, to, FormatOCI, Named{name, i.descriptor}) }
}

type archiveWriter struct {
	s       *Store
	t       *tar.Writer
	written map[string]bool
}

func (w *archiveWriter) oci(ctx context.Context, list []Named) error {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	var saved []savedImage
	var blobs []v1.Descriptor
	for _, n := range list {
		closure, err := w.s.closure(n)
		if err != nil {
			return err
		}
		blobs = append(blobs, closure...)
		d := n.Descriptor
		d.Annotations = annotations(n.Name)
		index.Manifests = append(index.Manifests, d)
		one, err := w.s.savedImage(n, func(d v1.Descriptor, _ v1.Hash) string { return blobFolder + d.Digest.Hex })
		if err != nil {
			return err
		}
		saved = append(saved, one.savedImage)
	}
	if err := w.texts(map[string]any{indexFile: index, saveFile: saved}); err != nil {
		return err
	}
	for _, d := range blobs {
		err := w.file(blobFolder+d.Digest.Hex, d.Size, func(to io.Writer) error { return w.s.writeBlob(ctx, to, d) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *archiveWriter) docker(ctx context.Context, list []Named) error {
	var texts []savedImage
	var all []*saving
	for _, n := range list {
		one, err := w.s.savedImage(n, func(_ v1.Descriptor, diffID v1.Hash) string { return diffID.Hex + ".tar" })
		if err != nil {
			return err
		}
		config := one.manifest.Config
		one.Config = config.Digest.Hex + ".json"
		texts, all = append(texts, one.savedImage), append(all, one)
	}
	if err := w.texts(map[string]any{saveFile: texts}); err != nil {
		return err
	}
	for _, one := range all {
		config := one.manifest.Config
		if err := w.file(one.Config, config.Size, func(to io.Writer) error { return w.s.writeBlob(ctx, to, config) }); err != nil {
			return err
		}
		for n, l := range one.manifest.Layers {
			if w.written[one.savedImage.Layers[n]] {
				continue
			}
			size, err := w.s.archiveSize(ctx, l)
			if err != nil {
				return err
			}
			err = w.file(one.savedImage.Layers[n], size, func(to io.Writer) error {
				return w.s.copyArchive(ctx, to, l.Digest, one.image.Config.RootFS.DiffIDs[n])
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// texts writes what says what the rest is, first: a reader of a pipe knows then.
func (w *archiveWriter) texts(texts map[string]any) error {
	if texts[indexFile] != nil {
		texts[layoutFile] = json.RawMessage(layoutVersion)
	}
	for _, name := range []string{layoutFile, indexFile, saveFile} {
		if texts[name] == nil {
			continue
		}
		b, err := json.Marshal(texts[name])
		if err != nil {
			return err
		}
		err = w.file(name, int64(len(b)), func(to io.Writer) error { _, err := to.Write(b); return err })
		if err != nil {
			return err
		}
	}
	return nil
}

// file writes one, if it is not there yet: two images may have it.
func (w *archiveWriter) file(name string, size int64, content func(io.Writer) error) error {
	if w.written[name] {
		return nil
	}
	w.written[name] = true
	h := &tar.Header{Name: name, Mode: 0o644, Size: size, Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0)}
	if err := w.t.WriteHeader(h); err != nil {
		return err
	}
	if err := content(w.t); err != nil {
		return err
	}
	return w.t.Flush() // which tells whether all of it came
}

// saving is an image about to be saved.
type saving struct {
	savedImage
	image    *Image
	manifest *v1.Manifest
}

// savedImage makes the entry of manifest.json: that of the host's platform, or
// of the first that is there.
func (s *Store) savedImage(n Named, layerName func(d v1.Descriptor, diffID v1.Hash) string) (*saving, error) {
	d, err := s.resolve(n, HostPlatform())
	if err != nil && n.Descriptor.MediaType.IsIndex() {
		if d, err = s.firstImage(n); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	img, err := s.open(n.Name, d)
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	if len(m.Layers) != len(img.Config.RootFS.DiffIDs) {
		return nil, fmt.Errorf("image %s: its manifest has %d layers, and its configuration %d", n.Name, len(m.Layers), len(img.Config.RootFS.DiffIDs))
	}
	one := &saving{savedImage{Config: blobFolder + m.Config.Digest.Hex, Layers: []string{}}, img, m}
	if n.Name != "" && !strings.Contains(n.Name, "@") {
		one.RepoTags = []string{n.Name}
	}
	for i, l := range m.Layers {
		one.savedImage.Layers = append(one.savedImage.Layers, layerName(l, img.Config.RootFS.DiffIDs[i]))
	}
	return one, nil
}

// firstImage is the first image of an index that is in the store.
func (s *Store) firstImage(n Named) (v1.Descriptor, error) {
	m, err := s.readIndex(n.Descriptor)
	if err != nil {
		return v1.Descriptor{}, err
	}
	i := slices.IndexFunc(m.Manifests, func(d v1.Descriptor) bool {
		return d.MediaType.IsImage() && !isAttestation(d) && s.Has(d.Digest)
	})
	if i < 0 {
		return v1.Descriptor{}, fmt.Errorf("image %s: its index leads to no image that is in the store", n.Name)
	}
	return m.Manifests[i], nil
}

// closure are all blobs that an image needs, each after the one that names it,
// and of an index those that are there.
func (s *Store) closure(n Named) ([]v1.Descriptor, error) {
	all := []v1.Descriptor{n.Descriptor}
	if !n.Descriptor.MediaType.IsIndex() {
		m, err := s.readManifest(n.Descriptor)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", n.Name, err)
		}
		return append(append(all, m.Config), m.Layers...), nil
	}
	m, err := s.readIndex(n.Descriptor)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", n.Name, err)
	}
	for _, child := range m.Manifests {
		if !s.Has(child.Digest) {
			continue // of a platform that was not pulled
		}
		below, err := s.closure(Named{n.Name, child})
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}

// writeBlob copies a blob out, and checks it on its way.
func (s *Store) writeBlob(ctx context.Context, to io.Writer, d v1.Descriptor) error {
	f, err := s.Blob(d.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	return copyChecked(ctx, to, f, d.Digest)
}

// copyArchive copies the archive in a layer's blob out, and checks it against its
// diff ID.
func (s *Store) copyArchive(ctx context.Context, to io.Writer, blob, diffID v1.Hash) error {
	r, err := s.archive(blob)
	if err != nil {
		return err
	}
	return errors.Join(copyChecked(ctx, to, r, diffID), r.Close())
}

func copyChecked(ctx context.Context, to io.Writer, r io.Reader, want v1.Hash) error {
	sum := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(to, sum)}, withContext{ctx, r}, make([]byte, 256<<10)); err != nil {
		return err
	}
	if have := hashOf(sum.Sum(nil)); have != want {
		return &DigestError{want, have}
	}
	return nil
}
