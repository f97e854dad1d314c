package build

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// Blobs is where content goes that is named by its digest; an [images.Writer] is
// one.
type Blobs interface {
	Add(ctx context.Context, mediaType types.MediaType, r io.Reader) (v1.Descriptor, error)
}

// compression is the level of gzip. With another one, and with another version
// of the library, the same layer would have another digest, though the same
// diff ID.
const compression = 6

// write writes the layer as a compressed archive, and gives its descriptor and
// its diff ID, the digest of the archive. It takes no more memory for a large
// layer than for a small one.
func (l *layer) write(ctx context.Context, to Blobs) (d v1.Descriptor, diffID v1.Hash, err error) {
	r, w := io.Pipe()
	sum := sha256.New()
	done := make(chan error, 1)
	go func() {
		z, err := gzip.NewWriterLevel(w, compression)
		if err == nil {
			err = errors.Join(l.tar(ctx, io.MultiWriter(sum, z)), z.Close())
		}
		w.CloseWithError(err) // nil is the end of the archive
		done <- err
	}()
	d, err = to.Add(ctx, types.OCILayer, r)
	r.CloseWithError(errors.New("nobody reads the archive any more")) // ends the writer, if it has not ended
	if werr := <-done; err == nil {
		err = werr
	}
	if err != nil {
		return d, diffID, fmt.Errorf("writing the layer: %w", err)
	}
	return d, v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sum.Sum(nil))}, nil
}

// tar writes the archive: its bytes depend on the layer alone.
func (l *layer) tar(ctx context.Context, to io.Writer) error {
	w := tar.NewWriter(to)
	first := map[*file]string{} // the name under which a file's content was written
	buffer := make([]byte, 256<<10)
	for _, name := range sorted(l.entries) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		e := l.entries[name]
		h := e.header
		h.Name = name
		if h.ModTime = h.ModTime.Truncate(time.Second); h.ModTime.After(l.date) {
			h.ModTime = l.date
		}
		content := e.file
		switch {
		case h.Typeflag == tar.TypeDir:
			h.Name += "/"
		case content != nil && first[content] != "":
			h.Typeflag, h.Linkname, content = tar.TypeLink, first[content], nil
		case content != nil:
			first[content] = name
			h.Size = content.size
		}
		if err := w.WriteHeader(&h); err != nil {
			return fmt.Errorf("/%s: %w", name, err)
		}
		if content != nil {
			if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{content.reader()}, buffer); err != nil {
				return fmt.Errorf("/%s: %w", name, err)
			}
		}
	}
	return w.Close()
}
