package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
)

// containerdName is the annotation in which containerd, and with it Docker since
// version 25, writes an image's whole name; of refName it uses the tag alone.
const containerdName = "io.containerd.image.name"

// IsLayout tells whether a folder is an OCI image layout (image-layout.md).
func IsLayout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, layoutFile))
	return err == nil
}

// ImportLayout brings the images of an OCI image layout, a folder, into the
// store: the one that has this name, or tag, there, or all without one. As
// [Writer.Import] it gives them no names in the store.
func (w *Writer) ImportLayout(ctx context.Context, dir, tag string) ([]Named, error) {
	fail := func(err error) ([]Named, error) { return nil, fmt.Errorf("image layout %s: %w", dir, err) }
	if !IsLayout(dir) {
		return fail(errors.New("it has no file oci-layout, and so is none"))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	index, err := openRegular(root, indexFile)
	if err != nil {
		return fail(err)
	}
	defer index.Close()
	text, err := io.ReadAll(io.LimitReader(index, maxManifest))
	if err != nil {
		return fail(err)
	}
	named, err := w.importIndex(ctx, text, tag, layoutReader{
		open: func(d v1.Descriptor) (io.ReadCloser, error) { return openRegular(root, blobFolder+d.Digest.Hex) },
		has: func(h v1.Hash) bool {
			_, err := root.Stat(blobFolder + h.Hex)
			return err == nil
		},
	})
	if err != nil {
		return fail(err)
	}
	return named, nil
}

// openRegular opens a file of a folder that is not trusted: nothing outside of
// it, and no pipe, which would never end.
func openRegular(root *os.Root, path string) (*os.File, error) {
	f, err := root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// layoutReader reads the blobs of a layout.
type layoutReader struct {
	open func(d v1.Descriptor) (io.ReadCloser, error)
	has  func(h v1.Hash) bool
}

// importIndex brings what the index.json of a layout names.
func (w *Writer) importIndex(ctx context.Context, text []byte, tag string, layout layoutReader) ([]Named, error) {
	var m v1.IndexManifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", indexFile, err)
	}
	entries, err := w.entries(ctx, m.Manifests, tag)
	if err != nil {
		return nil, err
	}
	source := Source{
		Manifest: func(_ context.Context, d v1.Descriptor) ([]byte, error) {
			r, err := layout.open(d)
			if err != nil {
				return nil, err
			}
			raw, err := io.ReadAll(io.LimitReader(r, d.Size+1))
			return raw, errors.Join(err, r.Close())
		},
		Blob: func(ctx context.Context, d v1.Descriptor) error {
			return w.Ingest(ctx, d, func(_ context.Context, offset int64) (io.ReadCloser, error) {
				return from(func() (io.ReadCloser, error) { return layout.open(d) }, offset)
			})
		},
		// Docker saves, of an image for several platforms, the index and one
		// of them.
		Children: func(list []v1.Descriptor) ([]v1.Descriptor, error) {
			var here []v1.Descriptor
			for _, d := range list {
				if checkHash(d.Digest) == nil && (w.store.Has(d.Digest) || layout.has(d.Digest)) {
					here = append(here, d)
				}
			}
			if len(here) == 0 {
				return nil, errors.New("of no image of its index there is anything")
			}
			return here, nil
		},
	}
	for _, e := range entries {
		if err := w.Fetch(ctx, e.Descriptor, source); err != nil {
			return nil, fmt.Errorf("image %q: %w", e.Name, err)
		}
	}
	return entries, nil
}

// entries are the images that an index.json names, those with one name and
// several platforms as one.
func (w *Writer) entries(ctx context.Context, list []v1.Descriptor, tag string) ([]Named, error) {
	groups := map[string][]v1.Descriptor{}
	var order, have []string
	for _, d := range list {
		n, raw := entryName(d)
		have = append(have, raw)
		if familiar, err := FamiliarName(tag); tag != "" && raw != tag && (err != nil || n != familiar) {
			continue
		}
		d.Annotations = nil
		if groups[n] == nil {
			order = append(order, n)
		}
		groups[n] = append(groups[n], d)
	}
	if len(list) == 0 {
		return nil, errors.New("it names no image")
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("it has no image named %q; it has %q", tag, have)
	}
	var all []Named
	for _, n := range order {
		group := groups[n]
		if len(group) == 1 {
			group[0].Platform = nil
			all = append(all, Named{n, group[0]})
			continue
		}
		platforms := true
		for _, d := range group {
			platforms = platforms && d.Platform != nil
		}
		if !platforms { // several images without a name
			for _, d := range group {
				all = append(all, Named{n, d})
			}
			continue
		}
		b, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: group})
		if err != nil {
			return nil, err
		}
		d, err := w.Add(ctx, types.OCIImageIndex, bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		all = append(all, Named{n, d})
	}
	return all, nil
}

// entryName is the name of an entry of index.json as the store has names, and as
// it is written. A tag alone is no name.
func entryName(d v1.Descriptor) (familiar, raw string) {
	raw = d.Annotations[refName]
	for _, n := range []string{d.Annotations[containerdName], raw} {
		if !strings.ContainsAny(n, ":/") {
			continue
		}
		if familiar, err := FamiliarName(n); err == nil {
			return familiar, raw
		}
	}
	return "", raw
}

// annotations are those of an entry of index.json for a name of the store.
func annotations(familiar string) map[string]string {
	if familiar == "" {
		return nil
	}
	a := map[string]string{refName: familiar}
	if r, err := name.ParseReference(familiar); err == nil {
		a[containerdName] = r.Name()
		if r.Context().RegistryStr() == name.DefaultRegistry {
			// Docker's registry has two names. The one in names of
			// images is without "index".
			a[containerdName] = strings.TrimPrefix(r.Name(), "index.")
		}
	}
	return a
}

// ExportLayout brings images of the store into an OCI image layout, a folder,
// which it makes if there is none: beside those that are there, or in place of
// one that has the same name.
func (s *Store) ExportLayout(ctx context.Context, dir string, list ...Named) error {
	if err := s.exportLayout(ctx, dir, list); err != nil {
		return fmt.Errorf("writing the image layout %s: %w", dir, err)
	}
	return nil
}

func (s *Store) exportLayout(ctx context.Context, dir string, list []Named) error {
	var m v1.IndexManifest
	path := filepath.Join(dir, indexFile)
	text, err := os.ReadFile(path)
	switch {
	case err == nil && IsLayout(dir):
		if err := json.Unmarshal(text, &m); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	case err == nil:
		return errors.New("the folder is none, and has a file index.json of its own")
	case !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		m = v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	}
	blobs := filepath.Join(dir, blobFolder)
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	for _, n := range list {
		closure, err := s.closure(n)
		if err != nil {
			return err
		}
		for _, d := range closure {
			if err := s.copyOut(ctx, d, filepath.Join(blobs, d.Digest.Hex)); err != nil {
				return err
			}
		}
		d := n.Descriptor
		if d.Annotations == nil {
			d.Annotations = annotations(n.Name)
		}
		name := d.Annotations[refName]
		m.Manifests = append(slices.DeleteFunc(m.Manifests, func(old v1.Descriptor) bool {
			return old.Annotations[refName] == name && (name != "" || old.Digest == d.Digest)
		}), d)
	}
	if text, err = json.MarshalIndent(m, "", "   "); err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, layoutFile), []byte(layoutVersion)); err != nil {
		return err
	}
	return replace(path, text)
}

const layoutVersion = `{"imageLayoutVersion":"1.0.0"}`

// copyOut copies a blob to a path, if it is not there.
func (s *Store) copyOut(ctx context.Context, d v1.Descriptor, path string) (err error) {
	if n, err := sizeOf(path); err == nil && n == d.Size && n > 0 {
		return nil
	}
	part, err := os.CreateTemp(filepath.Dir(path), ".part-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(part.Name())
		}
	}()
	err = s.writeBlob(ctx, part, d)
	if err := errors.Join(err, part.Chmod(0o644), part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), path)
}
