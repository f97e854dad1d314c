package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
)

// A DigestError is content that is not what its digest says.
type DigestError struct {
	Want, Have v1.Hash
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("the content that came has the digest %s, and not %s: it was damaged or changed on its way", e.Have, e.Want)
}

// A SizeError is content longer, or shorter, than its descriptor says.
type SizeError struct {
	Digest     v1.Hash
	Want, Have int64 // bytes
}

func (e *SizeError) Error() string {
	if e.Have > e.Want {
		return fmt.Sprintf("blob %s has %d bytes by its descriptor, and more came", e.Digest, e.Want)
	}
	return fmt.Sprintf("blob %s has %d bytes by its descriptor, and only %d came", e.Digest, e.Want, e.Have)
}

// Unwrap: one that is too short can be gone on with.
func (e *SizeError) Unwrap() error {
	if e.Have < e.Want {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (s *Store) blobPath(h v1.Hash) string { return s.path("oci/blobs", h.Algorithm, h.Hex) }

// checkHash refuses a digest that is no SHA-256, which is also a check of a name
// that is about to become a path.
func checkHash(h v1.Hash) error {
	if b, err := hex.DecodeString(h.Hex); h.Algorithm != "sha256" || err != nil || len(b) != sha256.Size {
		return fmt.Errorf("digest %q: a SHA-256 is expected, sha256: and 64 hexadecimal digits", h.String())
	}
	return nil
}

// Has tells whether a blob is in the store; one that is is whole.
func (s *Store) Has(h v1.Hash) bool {
	if checkHash(h) != nil {
		return false
	}
	_, err := os.Stat(s.blobPath(h))
	return err == nil
}

// Blob opens a blob. That it is not there, fs.ErrNotExist tells.
func (s *Store) Blob(h v1.Hash) (*os.File, error) {
	if err := checkHash(h); err != nil {
		return nil, err
	}
	return os.Open(s.blobPath(h))
}

// maxManifest bounds what is read into memory at once: manifests, indexes and
// configurations. Registries refuse manifests of more than 4 MiB (distribution-
// spec, "Pushing Manifests").
const maxManifest = 4 << 20

// readBlob reads a small one whole, and checks it.
func (s *Store) readBlob(d v1.Descriptor) ([]byte, error) {
	if d.Size > maxManifest {
		return nil, fmt.Errorf("blob %s has %d bytes: a manifest or a configuration has no more than %d", d.Digest, d.Size, maxManifest)
	}
	f, err := s.Blob(d.Digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != d.Digest.Hex {
		return nil, fmt.Errorf("%s: %w", f.Name(), &DigestError{d.Digest, hashOf(sum[:])})
	}
	return b, nil
}

func hashOf(sum []byte) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum)}
}

// Ingest makes a blob whose digest is known, and does nothing if it is there.
// While another process makes the same, it waits for that. What an earlier try
// has left is gone on with: fetch is called with the offset of the first byte
// that is missing, and not at all if none is. Size (unless it is negative) and
// digest are checked, and the blob is on the disk before it has its name.
//
// After an error what came is kept, unless it was wrong (a [*DigestError], or
// a [*SizeError] of too much): to call Ingest again is to resume.
func (w *Writer) Ingest(ctx context.Context, d v1.Descriptor, fetch func(ctx context.Context, offset int64) (io.ReadCloser, error)) (err error) {
	if err := checkHash(d.Digest); err != nil {
		return err
	}
	part := w.store.path("ingest", d.Digest.Hex)
	var f *os.File
	for {
		if w.store.Has(d.Digest) {
			return nil
		}
		if f, err = Lock(ctx, part, unix.LOCK_EX); err != nil {
			return err
		}
		if isAt(f, part) {
			break
		}
		f.Close() // while we waited, it became the blob
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	offset, err := io.Copy(sum, f)
	if err != nil {
		return fmt.Errorf("reading %s, of an earlier try: %w", part, err)
	}
	if d.Size < 0 || offset < d.Size {
		n, err := fill(ctx, f, sum, d, offset, fetch)
		if err != nil {
			return err
		}
		offset += n
	}
	if err := checkContent(d, offset, sum); err != nil {
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.Join(err, os.Remove(part))
		}
		return err
	}
	return w.commit(f, d.Digest)
}

// isAt tells whether a file still has this path.
func isAt(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// fill appends to f what fetch gives, one byte too much at most.
func fill(ctx context.Context, f *os.File, sum hash.Hash, d v1.Descriptor, offset int64, fetch func(context.Context, int64) (io.ReadCloser, error)) (int64, error) {
	r, err := fetch(ctx, offset)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	var content io.Reader = withContext{ctx, r}
	if d.Size >= 0 {
		content = io.LimitReader(content, d.Size-offset+1)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, sum)}, content, make([]byte, 256<<10))
	if err != nil {
		return n, fmt.Errorf("after %d bytes: %w", offset+n, err)
	}
	return n, nil
}

// withContext ends a read that goes on for long between its parts; a read that
// hangs is for who opened it to end.
type withContext struct {
	ctx context.Context
	r   io.Reader
}

func (c withContext) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func checkContent(d v1.Descriptor, size int64, sum hash.Hash) error {
	if d.Size >= 0 && size != d.Size {
		return &SizeError{d.Digest, d.Size, size}
	}
	if have := hashOf(sum.Sum(nil)); have != d.Digest {
		return &DigestError{d.Digest, have}
	}
	return nil
}

// commit gives a blob that is whole its name. Its content is on the disk before,
// or else after a power failure the name might stand for something else.
func (w *Writer) commit(f *os.File, h v1.Hash) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	return os.Rename(f.Name(), w.store.blobPath(h))
}

// ingestBytes ingests what is in memory.
func (w *Writer) ingestBytes(ctx context.Context, d v1.Descriptor, content []byte) error {
	return w.Ingest(ctx, d, func(_ context.Context, offset int64) (io.ReadCloser, error) {
		return from(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }, offset)
	})
}

// newPrefix begins the names of blobs whose digest is not known yet.
const newPrefix = "new-"

// Add makes a blob of content whose digest is not known yet.
func (w *Writer) Add(ctx context.Context, mediaType types.MediaType, r io.Reader) (_ v1.Descriptor, err error) {
	f, err := os.CreateTemp(w.store.path("ingest"), newPrefix)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, sum)}, withContext{ctx, r}, make([]byte, 256<<10))
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: mediaType, Size: n, Digest: hashOf(sum.Sum(nil))}
	if w.store.Has(d.Digest) {
		return d, os.Remove(f.Name())
	}
	return d, w.commit(f, d.Digest)
}

// sizeOf is the size of a file, 0 without one.
func sizeOf(path string) (int64, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}
