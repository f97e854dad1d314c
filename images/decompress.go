package images

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A blob of a layer is a tar archive, as it is or compressed with gzip or zstd
// (image-spec, layer.md, "+gzip Media Types"). Its first bytes say which, and not
// its media type: that is said by whoever pushed the image, and the digest of what
// comes out is checked in any case.
var compressions = []struct {
	magic     string // RFC 1952, RFC 8878
	name      string
	mediaType types.MediaType
	open      func(io.Reader) (io.ReadCloser, error) // nil: no image may have it
}{
	{"\x1f\x8b", "gzip", types.OCILayer, func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }},
	{"\x28\xb5\x2f\xfd", "zstd", types.OCILayerZStd, func(r io.Reader) (io.ReadCloser, error) {
		// As much as zstd -22 looks back on. A frame may ask for gigabytes.
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}},
	{"BZh", "bzip2", "", nil},
	{"\xfd7zXZ\x00", "xz", "", nil},
}

// compression tells by its first bytes of what media type a layer is.
func compression(start []byte) types.MediaType {
	for _, c := range compressions {
		if c.open != nil && bytes.HasPrefix(start, []byte(c.magic)) {
			return c.mediaType
		}
	}
	return types.OCIUncompressedLayer
}

// archive opens the archive in a layer's blob.
func (s *Store) archive(h v1.Hash) (io.ReadCloser, error) {
	blob, err := s.Blob(h)
	if err != nil {
		return nil, err
	}
	r, err := decompress(blob)
	if err != nil {
		return nil, errors.Join(err, blob.Close())
	}
	return layerArchive{r, blob}, nil
}

type layerArchive struct {
	io.ReadCloser
	blob io.Closer
}

func (a layerArchive) Close() error { return errors.Join(a.ReadCloser.Close(), a.blob.Close()) }

// decompress gives the archive that a blob holds.
func decompress(blob io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(blob, 256<<10)
	magic, err := b.Peek(6)
	if err != nil && err != io.EOF { // shorter than that
		return nil, err
	}
	for _, c := range compressions {
		if !bytes.HasPrefix(magic, []byte(c.magic)) {
			continue
		}
		if c.open == nil {
			return nil, fmt.Errorf("it is compressed with %s: the layer of an image is a tar archive, as it is or with gzip or zstd (image-spec, layer.md)", c.name)
		}
		r, err := c.open(b)
		if err != nil {
			return nil, fmt.Errorf("decompressing (%s): %w", c.name, err)
		}
		return &decompressed{r, c.name}, nil
	}
	return io.NopCloser(b), nil
}

type decompressed struct {
	io.ReadCloser
	name string
}

func (d *decompressed) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("decompressing (%s): %w", d.name, err)
	}
	return n, err
}

// A pipeline is the archive of a blob, for one reader. It is decompressed and
// hashed while what came before is unpacked, each in a goroutine of its own. All
// share a few buffers, so that the memory that it takes is the same for a layer of
// any size.
type pipeline struct {
	archive io.ReadCloser
	free    chan *chunk
	read    chan *chunk   // for the reader
	hash    chan *chunk   // for the digest
	stop    chan struct{} // the reader wants no more
	stopped sync.Once
	wait    sync.WaitGroup
	sum     []byte // once read has ended
	err     error  // why it has, if not at the end; set before read is closed
	now     *chunk
	rest    []byte // of now
}

// A chunk is a part of the archive; who is the last to be done with it frees it.
type chunk struct {
	buffer  []byte
	content []byte
	users   atomic.Int32
}

const (
	chunks    = 8
	chunkSize = 256 << 10
)

func newPipeline(blob io.Reader) (*pipeline, error) {
	archive, err := decompress(blob)
	if err != nil {
		return nil, err
	}
	p := &pipeline{archive: archive, free: make(chan *chunk, chunks), read: make(chan *chunk, chunks), hash: make(chan *chunk, chunks), stop: make(chan struct{})}
	for range chunks {
		p.free <- &chunk{buffer: make([]byte, chunkSize)}
	}
	p.wait.Go(p.fill)
	p.wait.Go(p.digest)
	return p, nil
}

func (p *pipeline) fill() {
	defer close(p.read)
	defer close(p.hash)
	for {
		var c *chunk
		select {
		case c = <-p.free:
		case <-p.stop:
			return
		}
		n, err := io.ReadFull(p.archive, c.buffer)
		if n > 0 {
			c.content = c.buffer[:n]
			c.users.Store(2)
			p.hash <- c // there is room for all chunks
			p.read <- c
		}
		// The end is this very error, and an archive that is cut off a wrapped one.
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return
		}
		if err != nil {
			p.err = err
			return
		}
	}
}

func (p *pipeline) digest() {
	sum := sha256.New()
	for c := range p.hash {
		sum.Write(c.content)
		p.done(c)
	}
	p.sum = sum.Sum(nil)
}

func (p *pipeline) done(c *chunk) {
	if c.users.Add(-1) == 0 {
		p.free <- c
	}
}

// Read gives the archive.
func (p *pipeline) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(p.rest) == 0 {
		if p.now != nil {
			p.done(p.now)
			p.now = nil
		}
		c, ok := <-p.read
		if !ok {
			if p.err != nil {
				return 0, p.err
			}
			return 0, io.EOF
		}
		p.now, p.rest = c, c.content
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// digestOf is the digest of all that was read, once it was read to the end.
func (p *pipeline) digestOf() v1.Hash {
	p.wait.Wait()
	return hashOf(p.sum)
}

// Close ends the goroutines, wherever they are.
func (p *pipeline) Close() error {
	p.stopped.Do(func() { close(p.stop) })
	p.wait.Wait()
	return p.archive.Close()
}
