// Package images holds OCI images.
//
// An image is a manifest, a configuration, and layers: tar archives of changes
// to a file system, each named by the SHA-256 of its content (image-spec,
// "manifest.md", "config.md", "layer.md"). A name such as "debian:12" points at
// a manifest, or at an index of them, one for each platform (image-index.md).
// All else points by digest, so that what two images have in common is there
// once, and so that whoever knows a manifest's digest can tell whether any byte
// of the image is another one.
//
//	store.go      the folder, its locks, and an image put into it
//	blob.go       content by digest: what comes in is checked, and may come in parts
//	names.go      names, and the image that a name means on a platform
//	platform.go   which platform's image a host takes
//	prune.go      what nothing names any more goes
//	verify.go     whether everything is what its digest says
//	layers.go     layers unpacked, once each, several at once
//	unpack*.go    the archive of a layer, which is not trusted, becomes a folder
//	decompress.go what it is compressed with, and its digest on the way
//	describe.go   what is known of an image's layers, and what made them
//	disk.go       layers as disks (erofs/), for a machine
//	ready.go      how the program of an image says that it serves
//	workload.go   the image that is measured
//	data.go       an image with more data
//	scratch.go    a store that lasts as long as its process
//	fetch.go      all that a manifest leads to, from wherever
//	archive*.go   archives of docker save, and image layouts, in and out
//	registry/     registries, in and out
//	build/        images from recipes (recipes/) and Debian's packages
//	sharing/      what images have in common
//
// On disk a store is an OCI image layout (image-layout.md), which any OCI tool
// opens, with what is made of it beside it: each layer unpacked once, in a
// folder named by its diff ID, whatever number of images and containers use it.
package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"golang.org/x/sys/unix"
)

// A Store is a folder of images, which any number of processes use at once:
//
//	oci/       the image layout: oci-layout, index.json, blobs/sha256/HEX
//	ingest/    blobs that are not whole yet
//	layers/    unpacked layers, by diff ID
//	disks/     layers as disks, by diff ID
//	lock       held shared by who adds, and alone by who prunes
//
// The folder is its owner's alone: an unpacked layer holds programs that run
// with the powers of their owner, root, whoever starts them. They are for the
// users of the container, not for those of the host.
type Store struct {
	dir string

	mu   sync.Mutex
	held []*os.File // the locks on layers in use
}

// Open opens the store in dir, and makes it where there is none.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir}
	fail := func(err error) (*Store, error) { return nil, fmt.Errorf("opening the image store %s: %w", dir, err) }
	for _, d := range []string{dir, s.path("oci/blobs/sha256"), s.path("ingest"), s.path("layers"), s.path("disks")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fail(err)
		}
	}
	if st, err := os.Stat(dir); err != nil {
		return fail(err)
	} else if st.Mode().Perm() != 0o700 { // an older bench made it 0755
		if err := os.Chmod(dir, 0o700); err != nil {
			return fail(err)
		}
	}
	if _, err := os.Stat(s.path("oci/index.json")); err == nil {
		return s, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	if err := s.changeIndex(func(*v1.IndexManifest) error { return nil }); err != nil {
		return fail(err)
	}
	return s, nil
}

// Dir is the store's folder.
func (s *Store) Dir() string { return s.dir }

func (s *Store) path(name ...string) string {
	return filepath.Join(append([]string{s.dir}, name...)...)
}

// Close lets go of the layers that images of this store use: from now on prune
// may remove them.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.held {
		errs = append(errs, f.Close())
	}
	s.held = nil
	return errors.Join(errs...)
}

// Lock takes a lock (flock(2)) on a file, which it makes, in the way how:
// unix.LOCK_SH or LOCK_EX. It waits as long as ctx lasts. To close the file gives
// the lock back, and so does the end of the process, whatever ended it.
func Lock(ctx context.Context, path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, f, how); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// flock takes a lock on an open file, and waits for it as long as ctx lasts.
func flock(ctx context.Context, f *os.File, how int) error {
	return flockWhile(ctx, f, how, func() bool { return true })
}

// flockWhile is flock that gives up, without an error, when the lock is not wanted
// any more. It tries again and again: a wait in the kernel would not end with ctx.
func flockWhile(ctx context.Context, f *os.File, how int, wanted func() bool) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil || !wanted():
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for another process, which holds the lock %s: %w", f.Name(), context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

// A Writer adds to a store. As long as it is open nothing is pruned: what came
// in has no name yet, and would be taken.
type Writer struct {
	store *Store
	lock  *os.File
}

// Writer waits while another process prunes, no longer than ctx lasts. What killed
// ones have left, it removes.
func (s *Store) Writer(ctx context.Context) (*Writer, error) {
	if _, err := s.Sweep(); err != nil {
		return nil, err
	}
	f, err := Lock(ctx, s.path("lock"), unix.LOCK_SH)
	if err != nil {
		return nil, fmt.Errorf("writing to the image store: %w", err)
	}
	return &Writer{s, f}, nil
}

// Close ends the writing.
func (w *Writer) Close() error { return w.lock.Close() }

// Store is the one that is written to.
func (w *Writer) Store() *Store { return w.store }

// Put stores an image under a name, in place of the one that had it, or under
// none if name is "".
func (s *Store) Put(ctx context.Context, name string, img v1.Image) (*Image, error) {
	w, err := s.Writer(ctx)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	d, err := w.put(ctx, img)
	if err == nil && name != "" {
		err = w.Tag(name, d)
	}
	if err != nil {
		return nil, fmt.Errorf("storing image %s: %w", name, err)
	}
	return s.open(name, d)
}

// put adds an image's layers, its configuration and its manifest.
func (w *Writer) put(ctx context.Context, img v1.Image) (v1.Descriptor, error) {
	d, err := partial.Descriptor(img)
	if err != nil {
		return v1.Descriptor{}, err
	}
	m, err := img.Manifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	for _, l := range m.Layers {
		err := w.Ingest(ctx, l, func(_ context.Context, offset int64) (io.ReadCloser, error) {
			layer, err := img.LayerByDigest(l.Digest)
			if err != nil {
				return nil, err
			}
			return from(layer.Compressed, offset)
		})
		if err != nil {
			return v1.Descriptor{}, fmt.Errorf("layer %s: %w", l.Digest, err)
		}
	}
	for _, part := range []struct {
		what    string
		d       v1.Descriptor
		content func() ([]byte, error)
	}{{"configuration", m.Config, img.RawConfigFile}, {"manifest", *d, img.RawManifest}} {
		content, err := part.content()
		if err == nil {
			err = w.ingestBytes(ctx, part.d, content)
		}
		if err != nil {
			return v1.Descriptor{}, fmt.Errorf("%s: %w", part.what, err)
		}
	}
	return v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}, nil
}

// PutIndex stores the images of several platforms under one name.
func (s *Store) PutIndex(ctx context.Context, name string, index v1.ImageIndex) error {
	w, err := s.Writer(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	d, err := w.putIndex(ctx, index)
	if err == nil {
		err = w.Tag(name, d)
	}
	if err != nil {
		return fmt.Errorf("storing image %s: %w", name, err)
	}
	return nil
}

func (w *Writer) putIndex(ctx context.Context, index v1.ImageIndex) (v1.Descriptor, error) {
	m, err := index.IndexManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	for _, child := range m.Manifests {
		if !child.MediaType.IsImage() {
			return v1.Descriptor{}, fmt.Errorf("its index holds %s, of type %s, which is no image", child.Digest, child.MediaType)
		}
		img, err := index.Image(child.Digest)
		if err == nil {
			_, err = w.put(ctx, img)
		}
		if err != nil {
			return v1.Descriptor{}, err
		}
	}
	d, err := partial.Descriptor(index)
	if err != nil {
		return v1.Descriptor{}, err
	}
	content, err := index.RawManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}, w.ingestBytes(ctx, *d, content)
}

// from opens a stream and goes to an offset in it.
func from(open func() (io.ReadCloser, error), offset int64) (io.ReadCloser, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}
