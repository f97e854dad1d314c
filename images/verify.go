package images

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Problem is what is wrong with one image of a store.
type Problem struct {
	Image string
	Blob  v1.Hash // the one that is damaged or missing, if it is that
	Err   error
}

// Discard removes a blob that is damaged, so that to pull or to import the image
// again brings it.
func (s *Store) Discard(h v1.Hash) error {
	if err := checkHash(h); err != nil {
		return err
	}
	return os.Remove(s.blobPath(h))
}

// Verify reads the images of these names, or of all names without one, and all
// that they lead to, and holds every blob against its digest, and every layer's
// content against its diff ID. A blob that several images have is read once.
func (s *Store) Verify(ctx context.Context, refs ...string) ([]Problem, error) {
	all, err := s.Names()
	if err != nil {
		return nil, err
	}
	if len(refs) > 0 {
		all = nil
		for _, ref := range refs {
			n, err := s.Named(ref)
			if err != nil {
				return nil, err
			}
			all = append(all, n)
		}
	}
	v := &verifier{s, map[v1.Hash]error{}}
	var problems []Problem
	for _, n := range all {
		for _, err := range v.image(ctx, n.Descriptor, true) {
			p := Problem{Image: n.Name, Err: err}
			if b, ok := errors.AsType[*blobError](err); ok {
				p.Blob = b.blob
			}
			problems = append(problems, p)
		}
		if err := context.Cause(ctx); err != nil {
			return problems, err
		}
	}
	return problems, nil
}

// blobError is a blob that is not what it should be.
type blobError struct {
	blob v1.Hash
	err  error
}

func (e *blobError) Error() string { return e.err.Error() }
func (e *blobError) Unwrap() error { return e.err }

type verifier struct {
	s    *Store
	seen map[v1.Hash]error // blobs that were read
}

func (v *verifier) image(ctx context.Context, d v1.Descriptor, root bool) (errs []error) {
	if err := v.blob(ctx, d); errors.Is(err, fs.ErrNotExist) && !root {
		return nil // of a platform that was not pulled
	} else if err != nil {
		return []error{err}
	}
	if d.MediaType.IsIndex() {
		m, err := v.s.readIndex(d)
		if err != nil {
			return []error{err}
		}
		for _, child := range m.Manifests {
			errs = append(errs, v.image(ctx, child, false)...)
		}
		return errs
	}
	m, err := v.s.readManifest(d)
	if err != nil {
		return []error{err}
	}
	for _, part := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if err := v.blob(ctx, part); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 || isAttestation(d) || !m.Config.MediaType.IsConfig() {
		return errs
	}
	img, err := v.s.open("", d)
	if err != nil {
		return []error{err}
	}
	if _, err := img.layers(); err != nil { // as many as there are diff IDs
		return []error{err}
	}
	for n, l := range m.Layers {
		if err := v.s.copyArchive(ctx, io.Discard, l.Digest, img.Config.RootFS.DiffIDs[n]); err != nil {
			errs = append(errs, fmt.Errorf("layer %s, uncompressed: %w", l.Digest, err))
		}
	}
	return errs
}

// blob reads one blob.
func (v *verifier) blob(ctx context.Context, d v1.Descriptor) error {
	if err, ok := v.seen[d.Digest]; ok {
		return err
	}
	err := func() error {
		f, err := v.s.Blob(d.Digest)
		if errors.Is(err, fs.ErrNotExist) {
			return &blobError{d.Digest, fmt.Errorf("blob %s is missing: %w", d.Digest, err)}
		} else if err != nil {
			return err
		}
		defer f.Close()
		sum := sha256.New()
		n, err := io.Copy(sum, withContext{ctx, f})
		if err == nil {
			err = checkContent(d, n, sum)
		}
		if err != nil {
			return &blobError{d.Digest, fmt.Errorf("%s: %w", f.Name(), err)}
		}
		return nil
	}()
	v.seen[d.Digest] = err
	return err
}
