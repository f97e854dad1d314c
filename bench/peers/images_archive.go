package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"vmctr/images"
)

// archiveSet are the archives that are imported, each an OCI layout with one
// image, whose layers are compressed with gzip, as most are.
type archiveSet struct {
	One     string // the image as it is, in one layer
	Layers  string // the same files in ten layers
	Sharing string // nine of them and another one
	Eight   string // one layer with all files eight times

	Files, LayersSize, SharingSize int64
}

func (s *archiveSet) timed() []string { return []string{s.One, s.Layers} }

// archivesCommand is the first argument of this program as the maker of the
// archives, from one and in a folder. They are made in memory, and a process
// counts as its own what its parent had when it was forked (getrusage(2)).
const archivesCommand = "make-archives"

func archivesElsewhere(ctx context.Context, from, dir string) (*archiveSet, error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", archivesCommand, from, dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("making the archives: %w", err)
	}
	s := &archiveSet{}
	return s, json.Unmarshal(out, s)
}

func (s *archiveSet) describe() string {
	st, err := os.Stat(s.One)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("An image of %d files, of %s MiB, compressed %s", s.Files, mib(s.LayersSize), mib(st.Size()))
}

// makeArchives makes them from an archive, or from the debian image that bench
// builds.
func makeArchives(ctx context.Context, from, dir string) (*archiveSet, error) {
	if from == "" {
		from = filepath.Join(dir, "built.tar")
		exe, err := os.Executable()
		if err != nil {
			return nil, err
		}
		for _, args := range [][]string{{"image", "build", "debian"}, {"image", "export", "--output", from, "debian"}} {
			cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(exe), "bench"), args...)
			cmd.Stderr = os.Stderr
			if err := cmd.Run(); err != nil {
				return nil, fmt.Errorf("bench %s: %w", strings.Join(args, " "), err)
			}
		}
	}
	store, err := images.Open(filepath.Join(dir, "store"))
	if err != nil {
		return nil, err
	}
	defer store.Close()
	content, err := flatten(ctx, store, from)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	s := &archiveSet{Files: int64(len(content)), One: filepath.Join(dir, "one-layer.tar"), Layers: filepath.Join(dir, "ten-layers.tar"), Sharing: filepath.Join(dir, "nine-and-one.tar"), Eight: filepath.Join(dir, "eight-times.tar")}
	for _, e := range content {
		s.LayersSize += e.header.Size
	}
	tenth := cut(content, 10)
	other := under("other", tenth[0])
	for _, e := range other {
		s.SharingSize += e.header.Size
	}
	var eight []tarEntry
	for n := range 8 {
		eight = append(eight, under(strconv.Itoa(n), content)...)
	}
	changed := append([][]tarEntry{}, tenth...)
	changed[len(changed)-1] = other
	for _, a := range []struct {
		path   string
		layers [][]tarEntry
	}{{s.One, [][]tarEntry{content}}, {s.Layers, tenth}, {s.Sharing, changed}, {s.Eight, [][]tarEntry{eight}}} {
		if err := writeArchive(ctx, store, a.path, a.layers); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// tarEntry is a file of the image.
type tarEntry struct {
	header  *tar.Header
	content []byte
}

// cut makes layers of files that are about as large. A hard link whose file is in
// an earlier one is a copy.
func cut(content []tarEntry, parts int) (layers [][]tarEntry) {
	var total, size int64
	for _, e := range content {
		total += e.header.Size
	}
	files := map[string]tarEntry{}
	in := map[string]int{}
	for _, e := range content {
		for size > total*int64(len(layers))/int64(parts) || len(layers) == 0 {
			layers = append(layers, nil)
		}
		at := len(layers) - 1
		size += e.header.Size
		name := strings.TrimPrefix(e.header.Name, "./")
		if target := strings.TrimPrefix(e.header.Linkname, "./"); e.header.Typeflag == tar.TypeLink && in[target] != at {
			h := *files[target].header
			h.Name = e.header.Name
			e = tarEntry{&h, files[target].content}
		}
		files[name], in[name] = e, at
		layers[at] = append(layers[at], e)
	}
	return layers
}

// under is the same files in another folder.
func under(folder string, entries []tarEntry) (moved []tarEntry) {
	for _, e := range entries {
		h := *e.header
		h.Name = folder + "/" + strings.TrimPrefix(h.Name, "./")
		if h.Typeflag == tar.TypeLink {
			h.Linkname = folder + "/" + strings.TrimPrefix(h.Linkname, "./")
		}
		moved = append(moved, tarEntry{&h, e.content})
	}
	return moved
}

// flatten reads all layers of the image of an archive, which are small.
func flatten(ctx context.Context, store *images.Store, path string) (all []tarEntry, err error) {
	w, err := store.Writer(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := w.Import(ctx, f)
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("it has %d images", len(list))
	}
	if err := w.Tag("from", list[0].Descriptor); err != nil {
		return nil, err
	}
	img, err := store.Image("from", images.HostPlatform())
	if err != nil {
		return nil, err
	}
	layers, err := img.V1().Layers()
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		for t := tar.NewReader(r); ; {
			h, err := t.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, err
			}
			content, err := io.ReadAll(t)
			if err != nil {
				return nil, err
			}
			all = append(all, tarEntry{h, content})
		}
	}
	return all, nil
}

// writeArchive writes an image of these layers.
func writeArchive(ctx context.Context, store *images.Store, path string, layers [][]tarEntry) error {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	for _, entries := range layers {
		var blob bytes.Buffer
		z := gzip.NewWriter(&blob)
		t := tar.NewWriter(z)
		for _, e := range entries {
			if err := t.WriteHeader(e.header); err != nil {
				return fmt.Errorf("%s: %w", e.header.Name, err)
			}
			if _, err := t.Write(e.content); err != nil {
				return err
			}
		}
		if err := errors.Join(t.Close(), z.Close()); err != nil {
			return err
		}
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blob.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return err
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return err
		}
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return err
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	cfg.Config.Cmd = []string{"/bin/sh"}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		return err
	}
	name := imageName(path)
	if _, err := store.Put(ctx, name, img); err != nil {
		return err
	}
	n, err := store.Named(name)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(store.Export(ctx, f, "oci", n), f.Close())
}
