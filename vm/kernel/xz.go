package kernel

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// The kernel's build compresses itself with xz --x86: a filter first turns the
// relative target of each call instruction into an absolute one, since many
// calls of the same function then have the same bytes (Documentation/
// staging/xz.rst). The xz package for Go has LZMA2, which does the work, but no
// such filter, so the container format around it is read here (xz-file-format,
// sections 2 to 5).

const (
	xzMagic     = "\xfd7zXZ\x00"
	filterX86   = 0x04
	filterLZMA2 = 0x21
)

var errXZ = errors.New("the xz data is corrupt")

// checkSizes are the sizes of the check after each block, by its type
// (section 2.1.1.2).
var checkSizes = [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}

// decodeXZ decodes one xz stream. For once in this package a broken stream
// cannot go unnoticed by its length alone: modules do not say theirs.
func decodeXZ(in []byte, out *output) error {
	x := &xzReader{in: in, all: in}
	head, err := x.take(12)
	if err != nil {
		return err
	}
	flags := head[6:8]
	if string(head[:6]) != xzMagic || flags[0] != 0 || flags[1] > 15 || crc32.ChecksumIEEE(flags) != binary.LittleEndian.Uint32(head[8:]) {
		return fmt.Errorf("%w: bad stream header", errXZ)
	}
	blocks := 0
	for len(x.in) > 0 && x.in[0] != 0 {
		if err := x.block(int(flags[1]), out); err != nil {
			return err
		}
		blocks++
	}
	return x.end(flags, blocks)
}

// xzReader is a stream that is being read.
type xzReader struct {
	in  []byte // what is left
	all []byte
}

func (x *xzReader) take(n int) ([]byte, error) {
	if n > len(x.in) {
		return nil, io.ErrUnexpectedEOF
	}
	b := x.in[:n]
	x.in = x.in[n:]
	return b, nil
}

// varint reads an integer of variable length (section 1.2).
func (x *xzReader) varint() (uint64, error) {
	v, n := binary.Uvarint(x.in)
	if n <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	x.in = x.in[n:]
	return v, nil
}

// align skips to a multiple of four bytes.
func (x *xzReader) align() error {
	pad, err := x.take(-(len(x.all) - len(x.in)) & 3)
	if err == nil && len(bytes.Trim(pad, "\x00")) > 0 {
		err = fmt.Errorf("%w: bad padding", errXZ)
	}
	return err
}

// block reads one block (section 3).
func (x *xzReader) block(check int, out *output) error {
	head, err := x.take(4 * (int(x.in[0]) + 1))
	if err != nil {
		return err
	}
	head, sum := head[:len(head)-4], head[len(head)-4:]
	if crc32.ChecksumIEEE(head) != binary.LittleEndian.Uint32(sum) {
		return fmt.Errorf("%w: bad block header", errXZ)
	}
	f, err := readFilters(head)
	if err != nil {
		return err
	}
	packed, size, err := lzma2Extent(x.in)
	if err != nil {
		return err
	}
	if size > out.limit-len(out.data) {
		return fmt.Errorf("it unpacks to more than %d bytes", out.limit)
	}
	compressed, err := x.take(packed)
	if err != nil {
		return err
	}
	// No match reaches back beyond the beginning of the block.
	dictionary := max(min(f.dictionary, int64(size)), lzma.MinDictCap)
	r, err := lzma.Reader2Config{DictCap: int(dictionary)}.NewReader2(bytes.NewReader(compressed))
	if err != nil {
		return err
	}
	start := len(out.data)
	if _, err := io.Copy(out, r); err != nil {
		return err
	}
	block := out.data[start:]
	if f.x86 {
		decodeX86(block, f.x86Start)
	}
	if err := x.align(); err != nil {
		return err
	}
	want, err := x.take(checkSizes[check])
	if err != nil {
		return err
	}
	return verify(check, block, want)
}

func verify(check int, block, want []byte) error {
	var got []byte
	switch check {
	case 1:
		got = binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(block))
	case 4:
		got = binary.LittleEndian.AppendUint64(nil, crc64.Checksum(block, crc64.MakeTable(crc64.ECMA)))
	case 10:
		sum := sha256.Sum256(block)
		got = sum[:]
	default: // none, or none that xz writes
		return nil
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: the checksum of what it holds is wrong", errXZ)
	}
	return nil
}

// filters are the filters of a block: x86 or not, then LZMA2.
type filters struct {
	x86        bool
	x86Start   uint32
	dictionary int64
}

// readFilters reads a block header (section 3.1) and the properties of the
// filters (section 5.3).
func readFilters(head []byte) (f filters, err error) {
	x := &xzReader{in: head[2:]}
	flags := head[1]
	for _, sizePresent := range []byte{0x40, 0x80} {
		if flags&sizePresent != 0 {
			if _, err := x.varint(); err != nil {
				return f, err
			}
		}
	}
	for n := flags&3 + 1; n > 0; n-- {
		id, err := x.varint()
		if err != nil {
			return f, err
		}
		size, err := x.varint()
		if err != nil {
			return f, err
		}
		props, err := x.take(int(min(size, 256)))
		if err != nil {
			return f, err
		}
		switch {
		case id == filterX86 && n == 2 && len(props) == 0:
			f.x86 = true
		case id == filterX86 && n == 2 && len(props) == 4:
			f.x86, f.x86Start = true, binary.LittleEndian.Uint32(props)
		case id == filterLZMA2 && n == 1 && len(props) == 1 && props[0] <= 40:
			f.dictionary = int64(2|props[0]&1)<<(props[0]/2+11) - int64(props[0]/40)
		default:
			return f, fmt.Errorf("xz filter %#x is not supported, or has bad properties: only x86 and LZMA2 are known", id)
		}
	}
	return f, nil
}

// lzma2Extent walks over the chunks of LZMA2 data: how many bytes they have,
// compressed and not. (The format is documented in the comments of xz's and the
// kernel's xz_dec_lzma2.c.)
func lzma2Extent(in []byte) (packed, size int, err error) {
	for {
		if packed >= len(in) {
			return 0, 0, io.ErrUnexpectedEOF
		}
		chunk := in[packed:]
		control := chunk[0]
		if control == 0 {
			return packed + 1, size, nil
		}
		if control > 2 && control < 0x80 {
			return 0, 0, fmt.Errorf("%w: bad chunk", errXZ)
		}
		if len(chunk) < 6 {
			return 0, 0, io.ErrUnexpectedEOF
		}
		n := int(binary.BigEndian.Uint16(chunk[1:])) + 1
		if control <= 2 { // not compressed
			packed += 3 + n
			size += n
			continue
		}
		size += n + int(control&0x1f)<<16
		packed += 5 + int(binary.BigEndian.Uint16(chunk[3:])) + 1
		if control >= 0xc0 { // with new properties
			packed++
		}
	}
}

// end reads the index, which lists the blocks, and the footer (sections 4 and
// 2.1.2).
func (x *xzReader) end(flags []byte, blocks int) error {
	index := x.in
	if _, err := x.take(1); err != nil {
		return err
	}
	records, err := x.varint()
	if err != nil {
		return err
	}
	if records != uint64(blocks) {
		return fmt.Errorf("%w: the index lists %d blocks, and there are %d", errXZ, records, blocks)
	}
	for range 2 * blocks { // the sizes of each
		if _, err := x.varint(); err != nil {
			return err
		}
	}
	if err := x.align(); err != nil {
		return err
	}
	index = index[:len(index)-len(x.in)]
	tail, err := x.take(4 + 12)
	if err != nil {
		return err
	}
	footer := tail[4:]
	switch {
	case crc32.ChecksumIEEE(index) != binary.LittleEndian.Uint32(tail):
		return fmt.Errorf("%w: bad index", errXZ)
	case crc32.ChecksumIEEE(footer[4:10]) != binary.LittleEndian.Uint32(footer) || !bytes.Equal(footer[8:10], flags) || string(footer[10:]) != "YZ":
		return fmt.Errorf("%w: bad footer", errXZ)
	case len(x.in) > 0:
		return fmt.Errorf("%w: %d bytes follow its end", errXZ, len(x.in))
	}
	return nil
}

// decodeX86 undoes the x86 filter, in place: the operands of call (E8) and jmp
// (E9) go from absolute back to relative. The four bytes after such an opcode
// are taken for an operand only if the highest is 00 or FF, that is, if it is a
// short distance either way; and near an opcode that was passed over, only if
// the bytes in between allow that it is no false one. Encoder and decoder must
// agree on this guess in every detail, so it is liblzma's (x86.c), as is.
func decodeX86(b []byte, start uint32) {
	short := func(c byte) bool { return c == 0x00 || c == 0xff }
	// mask has a bit for each of the last three bytes: it was an opcode
	// that was passed over. For each mask: how many bytes before the end of
	// the operand the one to look at is, 0 for none, or -1 if hopeless.
	back := [8]int{0, 1, 2, -1, 3, -1, -1, -1}
	last := -4
	mask := 0
	for i := 0; i+4 < len(b); i++ {
		if b[i]&0xfe != 0xe8 {
			continue
		}
		if distance := i - last; distance > 3 {
			mask = 0
		} else {
			mask = mask << (distance - 1) & 7
		}
		last = i
		at := back[mask]
		if at < 0 || at > 0 && short(b[i+4-at]) || !short(b[i+4]) {
			mask = mask<<1 | 1
			continue
		}
		operand := b[i+1 : i+5]
		v := binary.LittleEndian.Uint32(operand)
		for {
			v -= start + uint32(i) + 5
			if at == 0 || !short(byte(v>>(24-8*at))) {
				break
			}
			v ^= 1<<(32-8*at) - 1
		}
		// Extended from bit 24, as the encoder cut it.
		v = v&0x01ffffff | -(v & 0x01000000)
		binary.LittleEndian.PutUint32(operand, v)
		i += 4
	}
}
