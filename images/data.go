package images

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// WithData is an image with one more layer on top, of so many files of equal size in the
// folder /bench/more. Their data cannot be compressed, and no two files are equal; the
// same numbers give the same bytes on every host. The layer is not compressed, and made
// anew for each reader: so it takes no memory.
func WithData(base v1.Image, files int, bytes int64) (v1.Image, error) {
	l := &dataLayer{files: files, each: bytes / int64(max(files, 1))}
	sum := &counter{hash: sha256.New()}
	if err := l.write(sum); err != nil {
		return nil, err
	}
	l.size, l.digest = sum.n, v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sum.hash.Sum(nil))}
	return mutate.Append(base, mutate.Addendum{Layer: l, History: v1.History{CreatedBy: fmt.Sprintf("bench: %d bytes of data in files: %d", bytes, files)}})
}

// dataLayer is that layer.
type dataLayer struct {
	files  int
	each   int64 // bytes
	digest v1.Hash
	size   int64
}

func (l *dataLayer) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *dataLayer) DiffID() (v1.Hash, error)            { return l.digest, nil }
func (l *dataLayer) Size() (int64, error)                { return l.size, nil }
func (l *dataLayer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }
func (l *dataLayer) Compressed() (io.ReadCloser, error)  { return l.Uncompressed() }

func (l *dataLayer) Uncompressed() (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(l.write(w)) }() // a reader that closes ends it
	return r, nil
}

func (l *dataLayer) write(to io.Writer) error {
	b := bufio.NewWriterSize(to, 1<<18)
	w := tar.NewWriter(b)
	random := rand.NewChaCha8([32]byte([]byte("more data for the workload image")))
	for _, dir := range []string{"bench/", "bench/more/"} {
		if err := w.WriteHeader(&tar.Header{Name: dir, Mode: 0o755, Typeflag: tar.TypeDir, Format: tar.FormatUSTAR}); err != nil {
			return err
		}
	}
	for n := range l.files {
		h := &tar.Header{Name: fmt.Sprintf("bench/more/%06d", n), Mode: 0o644, Size: l.each, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.CopyN(w, random, l.each); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return b.Flush()
}

// counter counts and sums up what is written to it.
type counter struct {
	hash hash.Hash
	n    int64
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.hash.Write(b)
}
