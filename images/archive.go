package images

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The files of an archive that say what the others are: those of an OCI image
// layout (image-layout.md), and that of docker save (Docker's image
// specification v1.2, "Combined Image JSON + Filesystem Changeset Format").
const (
	layoutFile = "oci-layout"
	indexFile  = "index.json"
	saveFile   = "manifest.json"
	blobFolder = "blobs/sha256/"
)

// The bounds of an archive. A compressed one may be a thousand times as large as
// it seems.
const (
	maxEntries   = 20_000
	maxEntryName = 512      // bytes
	maxArchive   = 64 << 30 // bytes, uncompressed
	maxKept      = 32 << 20 // bytes, of manifests and configurations, in memory
)

// Import reads an archive of images: one of docker save, old or new, or one of
// an OCI image layout; plain, or compressed with gzip or zstd. It returns the
// images with the names that the archive gives them, "" for none. Their content
// is in the store then, and to give them names is for the caller.
//
// The archive is read once, from front to back, and may come from a pipe: each
// file becomes a blob as it passes, and what the files are is clear in the end,
// since docker save says it last. Nothing is compressed or uncompressed: a layer
// that was saved as a plain archive is stored as one.
func (w *Writer) Import(ctx context.Context, r io.Reader) ([]Named, error) {
	plain, err := decompress(r)
	if err != nil {
		return nil, fmt.Errorf("reading the image archive: %w", err)
	}
	defer plain.Close()
	in := importer{w: w, files: map[string]v1.Descriptor{}, links: map[string]string{}, texts: map[string][]byte{}, manifests: map[v1.Hash][]byte{}}
	if err := in.read(ctx, plain); err != nil {
		return nil, fmt.Errorf("reading the image archive: %w", err)
	}
	var named []Named
	switch {
	case in.texts[indexFile] != nil:
		named, err = in.layout(ctx)
	case in.texts[saveFile] != nil:
		named, err = in.saved(ctx)
	default:
		err = errors.New("it holds neither manifest.json, as docker save writes it, nor the index.json of an OCI image layout")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the image archive: %w", err)
	}
	return named, nil
}

// importer is what is known of an archive so far. The names in it are only that:
// no file is made by any of them.
type importer struct {
	w     *Writer
	files map[string]v1.Descriptor
	links map[string]string // of an old docker save, to layers that are there already
	texts map[string][]byte // what says what the files are

	manifests map[v1.Hash][]byte // and configurations, it may be
	kept      int64              // bytes of them
}

// read makes a blob of each file.
func (in *importer) read(ctx context.Context, r io.Reader) error {
	limited := &io.LimitedReader{R: withContext{ctx, r}, N: maxArchive}
	t := tar.NewReader(limited)
	for n := 0; ; n++ {
		h, err := t.Next()
		if err == io.EOF && limited.N > 0 {
			return nil
		}
		if limited.N <= 0 {
			return fmt.Errorf("it has more than %d bytes", int64(maxArchive))
		}
		if err != nil {
			return err
		}
		if n == maxEntries {
			return fmt.Errorf("it has more than %d files", maxEntries)
		}
		if len(h.Name) > maxEntryName || len(h.Linkname) > maxEntryName {
			return fmt.Errorf("file %d: its name has more than %d bytes", n+1, maxEntryName)
		}
		name := path.Clean(h.Name)
		if err := in.entry(ctx, name, h, t); err != nil {
			return fmt.Errorf("file %q: %w", name, err)
		}
	}
}

func (in *importer) entry(ctx context.Context, name string, h *tar.Header, r io.Reader) (err error) {
	if _, twice := in.files[name]; twice || in.links[name] != "" || in.texts[name] != nil {
		return errors.New("it is there twice")
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeSymlink:
		in.links[name] = path.Join(path.Dir(name), h.Linkname)
		return nil
	case tar.TypeLink:
		in.links[name] = path.Clean(h.Linkname)
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("it is neither a file, a folder nor a link (type %q), and no image archive has such a thing", h.Typeflag)
	}
	base := path.Base(name)
	switch {
	case name == layoutFile || name == indexFile || name == saveFile:
		if h.Size > maxManifest {
			return fmt.Errorf("it has %d bytes, more than %d", h.Size, maxManifest)
		}
		in.texts[name], err = io.ReadAll(r)
		return err
	case name == "repositories" || base == "VERSION" || base == "json":
		return nil // of Docker before 1.10
	case strings.HasPrefix(name, blobFolder):
		d := v1.Descriptor{Size: h.Size, Digest: v1.Hash{Algorithm: "sha256", Hex: base}}
		in.files[name] = d
		return in.blob(ctx, d, bufio.NewReader(r))
	}
	in.files[name], err = in.w.Add(ctx, types.OCIUncompressedLayer, r)
	return err
}

// blob stores a blob as it passes, unless it may be a manifest: of those none is
// stored before what it names.
func (in *importer) blob(ctx context.Context, d v1.Descriptor, r *bufio.Reader) error {
	if start, _ := r.Peek(1); d.Size > maxManifest || string(start) != "{" {
		return in.w.Ingest(ctx, d, func(_ context.Context, offset int64) (io.ReadCloser, error) {
			return from(func() (io.ReadCloser, error) { return io.NopCloser(r), nil }, offset)
		})
	}
	if in.kept += d.Size; in.kept > maxKept {
		return fmt.Errorf("it has more than %d bytes of manifests and configurations", maxKept)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(b); hashOf(sum[:]) != d.Digest {
		return &DigestError{d.Digest, hashOf(sum[:])}
	}
	in.manifests[d.Digest] = b
	return nil
}

// layout are the images of an archive of an OCI image layout.
func (in *importer) layout(ctx context.Context) ([]Named, error) {
	return in.w.importIndex(ctx, in.texts[indexFile], "", layoutReader{
		open: func(d v1.Descriptor) (io.ReadCloser, error) {
			if b, ok := in.manifests[d.Digest]; ok {
				return io.NopCloser(bytes.NewReader(b)), nil
			}
			return nil, fmt.Errorf("the archive holds no %s%s", blobFolder, d.Digest.Hex)
		},
		has: func(h v1.Hash) bool { return in.manifests[h] != nil },
	})
}

// savedImage is an entry of manifest.json.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// saved are the images of an archive of docker save.
func (in *importer) saved(ctx context.Context) ([]Named, error) {
	var list []savedImage
	if err := json.Unmarshal(in.texts[saveFile], &list); err != nil {
		return nil, fmt.Errorf("%s: %w", saveFile, err)
	}
	var all []Named
	for _, saved := range list {
		d, err := in.manifest(ctx, saved)
		if err != nil {
			return nil, fmt.Errorf("image %q: %w", saved.RepoTags, err)
		}
		for _, tag := range saved.RepoTags {
			familiar, err := FamiliarName(tag)
			if err != nil {
				return nil, err
			}
			all = append(all, Named{familiar, d})
		}
		if len(saved.RepoTags) == 0 {
			all = append(all, Named{"", d})
		}
	}
	return all, nil
}

// manifest makes the manifest that docker save has none of.
func (in *importer) manifest(ctx context.Context, saved savedImage) (v1.Descriptor, error) {
	fail := func(err error) (v1.Descriptor, error) { return v1.Descriptor{}, err }
	config, err := in.file(saved.Config)
	if err != nil {
		return fail(fmt.Errorf("its configuration: %w", err))
	}
	config.MediaType = types.OCIConfigJSON
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{}}
	var cfg v1.ConfigFile
	if err := in.w.store.readJSON(config, &cfg); err != nil {
		return fail(fmt.Errorf("its configuration: %w", err))
	}
	ids := cfg.RootFS.DiffIDs
	if len(ids) != len(saved.Layers) || len(ids) > maxLayers {
		return fail(fmt.Errorf("it has %d layers, and its configuration names %d (and %d are the most)", len(saved.Layers), len(ids), maxLayers))
	}
	for n, name := range saved.Layers {
		d, err := in.file(name)
		if err != nil {
			return fail(fmt.Errorf("layer %d: %w", n+1, err))
		}
		if d.MediaType, err = in.w.store.layerType(d.Digest); err != nil {
			return fail(fmt.Errorf("layer %d: %w", n+1, err))
		}
		if d.MediaType == types.OCIUncompressedLayer && d.Digest != ids[n] {
			return fail(fmt.Errorf("layer %d: %w", n+1, &DigestError{ids[n], d.Digest}))
		}
		m.Layers = append(m.Layers, d)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return fail(err)
	}
	return in.w.Add(ctx, types.OCIManifestSchema1, bytes.NewReader(b))
}

// file finds a file, and goes after links, of which there may be one or two.
func (in *importer) file(name string) (v1.Descriptor, error) {
	at := path.Clean(name)
	for range 5 {
		if d, ok := in.files[at]; ok {
			return d, nil
		}
		target, ok := in.links[at]
		if !ok {
			return v1.Descriptor{}, fmt.Errorf("the archive holds no %q", name)
		}
		at = target
	}
	return v1.Descriptor{}, fmt.Errorf("%q is a link to a link, and so on", name)
}

// layerType looks how a layer is compressed.
func (s *Store) layerType(h v1.Hash) (types.MediaType, error) {
	f, err := s.Blob(h)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var start [4]byte
	n, err := io.ReadFull(f, start[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	return compression(start[:n]), nil
}
