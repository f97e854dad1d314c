package kernel

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

// maxSize is the size of the largest kernel, packed or not, that is believed.
// Distributions' kernels unpack to 40 to 80 MiB.
const maxSize = 512 << 20

// format is a way to compress a kernel (the kernel's Kconfig, KERNEL_*).
type format struct {
	name, magic string
	// A gzip file ends in its own uncompressed size, four bytes. For the
	// sake of the decompressor the kernel's build adds the same four to
	// every other format, and they are no part of it then.
	appended bool
	decode   func(in []byte, out *output) error
}

var formats = []format{
	{"gzip", "\x1f\x8b", false, decodeGzip},
	{"xz", "\xfd7zXZ\x00", true, decodeXZ},
	{"bzip2", "BZh", true, decodeBzip2},
	{"lzma", "\x5d\x00\x00", true, decodeLZMA},
	{"lz4", "\x02\x21\x4c\x18", true, decodeLZ4},
	{"zstd", "\x28\xb5\x2f\xfd", true, decodeZstd},
	{"lzo", "\x89LZO", true, func([]byte, *output) error {
		return ErrCompression
	}},
}

// ErrCompression is matched by the error of a kernel that is compressed in a way
// that is not undone here. There is no well-kept LZO for Go, and no distribution's
// kernel that needs it; such a kernel boots as the bzImage that it is.
var ErrCompression = errors.New("this compression is not supported: use a kernel with another, or boot the bzImage as it is")

// Unpack returns the kernel proper, an ELF file, out of a bzImage. On some
// kernels a list of relocations follows the ELF file's end; who reads ELF does
// not see it.
func Unpack(bzImage []byte) ([]byte, error) {
	h, err := readHeader(bytes.NewReader(bzImage), int64(len(bzImage)))
	if err != nil {
		return nil, err
	}
	payload := bzImage[h.payloadOffset:][:h.payloadLength]
	for _, f := range formats {
		if !bytes.HasPrefix(payload, []byte(f.magic)) {
			continue
		}
		elf, err := f.unpack(payload)
		if err != nil {
			return nil, fmt.Errorf("unpacking the kernel in the bzImage (%s, %d bytes at %d): %w", f.name, h.payloadLength, h.payloadOffset, err)
		}
		return elf, nil
	}
	return nil, fmt.Errorf("unpacking the kernel in the bzImage: what is at byte %d begins with % x, which is no compression that Linux uses", h.payloadOffset, payload[:min(8, len(payload))])
}

func (f format) unpack(payload []byte) ([]byte, error) {
	if len(payload) < len(f.magic)+4 {
		return nil, io.ErrUnexpectedEOF
	}
	end := len(payload) - 4
	size := binary.LittleEndian.Uint32(payload[end:])
	if size > maxSize {
		return nil, fmt.Errorf("it claims to have %d MiB uncompressed; more than %d is not believed", size>>20, maxSize>>20)
	}
	if f.appended {
		payload = payload[:end]
	}
	// A hostile file may claim any size, so memory follows what there is.
	out := &output{limit: int(size), data: make([]byte, 0, min(int(size), 8*len(payload)))}
	if err := f.decode(payload, out); err != nil {
		return nil, err
	}
	if len(out.data) != int(size) {
		return nil, fmt.Errorf("it has %d bytes uncompressed, and claims to have %d", len(out.data), size)
	}
	if !bytes.HasPrefix(out.data, []byte("\x7fELF")) {
		return nil, errors.New("what it holds is not an ELF file")
	}
	return out.data, nil
}

// output collects what is decompressed, up to a limit.
type output struct {
	data  []byte
	limit int
}

func (o *output) Write(p []byte) (int, error) {
	if len(p) > o.limit-len(o.data) {
		return 0, fmt.Errorf("it unpacks to more than %d bytes", o.limit)
	}
	o.data = append(o.data, p...)
	return len(p), nil
}

func decodeGzip(in []byte, out *output) error {
	r, err := gzip.NewReader(bytes.NewReader(in))
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return err
}

func decodeBzip2(in []byte, out *output) error {
	_, err := io.Copy(out, bzip2.NewReader(bytes.NewReader(in)))
	return err
}

func decodeLZMA(in []byte, out *output) error {
	if len(in) < lzma.HeaderLen {
		return io.ErrUnexpectedEOF
	}
	// The second field of the header is the size of the dictionary, which the
	// reader allocates. One that is larger than what is unpacked is of no use.
	head := bytes.Clone(in[:lzma.HeaderLen])
	dictionary := min(binary.LittleEndian.Uint32(head[1:]), uint32(out.limit))
	binary.LittleEndian.PutUint32(head[1:], dictionary)
	r, err := lzma.NewReader(io.MultiReader(bytes.NewReader(head), bytes.NewReader(in[lzma.HeaderLen:])))
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return err
}

func decodeZstd(in []byte, out *output) error {
	// The kernel is compressed with --ultra -22: a window of 128 MiB.
	r, err := zstd.NewReader(bytes.NewReader(in), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(out, r)
	return err
}

// decodeLZ4 reads lz4's legacy format: the magic number, then blocks, each
// after its compressed size, of 8 MiB uncompressed but for the last.
func decodeLZ4(in []byte, out *output) error {
	block := make([]byte, min(8<<20, out.limit))
	for in = in[4:]; len(in) > 0; {
		if len(in) < 4 {
			return io.ErrUnexpectedEOF
		}
		size := binary.LittleEndian.Uint32(in)
		if in = in[4:]; uint64(size) > uint64(len(in)) {
			return io.ErrUnexpectedEOF
		}
		n, err := lz4.UncompressBlock(in[:size], block)
		if err != nil {
			return err
		}
		if _, err := out.Write(block[:n]); err != nil {
			return err
		}
		in = in[size:]
	}
	return nil
}
