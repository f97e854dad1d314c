package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The fields of the setup header that are read here (boot.rst, "Details of
// Header Fields"): offset in the file.
const (
	setupSectsAt    = 0x1f1 // 1 byte: sectors of setup code, less the first
	bootFlagAt      = 0x1fe // 2 bytes: 0xaa55
	magicAt         = 0x202 // 4 bytes: "HdrS"
	protocolAt      = 0x206 // 2 bytes: version of the boot protocol
	kernelVersionAt = 0x20e // 2 bytes: where the version text is, less 0x200
	loadFlagsAt     = 0x211 // 1 byte: bit 0, loaded high: a bzImage and no zImage
	payloadOffsetAt = 0x248 // 4 bytes: from the end of the setup code
	payloadLengthAt = 0x24c // 4 bytes
	headerEnd       = 0x250

	sector = 512
)

// header is what the setup header of a bzImage says.
type header struct {
	release string // the first word of the version text
	// Where the compressed kernel is in the file. Both are inside it.
	payloadOffset, payloadLength int64
}

var errNotBzImage = errors.New("not a Linux bzImage (wanted is the file that distributions call vmlinuz, for x86)")

// readHeader reads the setup header of a bzImage of size bytes, and checks that
// the file is whole.
func readHeader(r io.ReaderAt, size int64) (*header, error) {
	var h [headerEnd]byte
	if size < headerEnd {
		return nil, fmt.Errorf("%w: it has only %d bytes", errNotBzImage, size)
	}
	if _, err := r.ReadAt(h[:], 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	switch protocol := le.Uint16(h[protocolAt:]); {
	case isArm64(h[:]) || string(h[zbootMagicAt:zbootMagicAt+4]) == zbootMagic:
		return nil, fmt.Errorf("%w: it is an Image for arm64, and wanted is a bzImage, for x86", errOtherArchitecture)
	case string(h[:4]) == "\x7fELF":
		return nil, fmt.Errorf("%w: it is an ELF file, perhaps a kernel that is unpacked already", errNotBzImage)
	case le.Uint16(h[bootFlagAt:]) != 0xaa55 || string(h[magicAt:magicAt+4]) != "HdrS":
		return nil, errNotBzImage
	case protocol < 0x208:
		return nil, fmt.Errorf("boot protocol %d.%02d is too old: kernels since 2.6.26 have 2.08, which says where the compressed kernel is", protocol>>8, protocol&0xff)
	case h[loadFlagsAt]&1 == 0:
		return nil, fmt.Errorf("%w but a zImage, which loads below 1 MiB", errNotBzImage)
	}
	sectors := int64(h[setupSectsAt])
	if sectors == 0 {
		sectors = 4 // "for backwards compatibility"
	}
	setup := (sectors + 1) * sector
	at := &header{
		payloadOffset: setup + int64(le.Uint32(h[payloadOffsetAt:])),
		payloadLength: int64(le.Uint32(h[payloadLengthAt:])),
	}
	if end := at.payloadOffset + at.payloadLength; end > size {
		return nil, fmt.Errorf("the bzImage is cut off: its header says that the kernel in it ends at byte %d, but the file has %d", end, size)
	}
	var err error
	at.release, err = readRelease(r, int64(le.Uint16(h[kernelVersionAt:])), min(setup, size))
	return at, err
}

// readRelease reads the version text, which uname shows as release and
// version: "6.1.0-9-amd64 (builder@host) #1 SMP ...". It lies in the setup code.
func readRelease(r io.ReaderAt, at, setup int64) (string, error) {
	at += 0x200
	if at == 0x200 || at >= setup {
		return "", errors.New("the bzImage has no version text, so its modules cannot be found")
	}
	text := make([]byte, min(setup-at, 512))
	if _, err := r.ReadAt(text, at); err != nil {
		return "", err
	}
	text, _, terminated := bytes.Cut(text, []byte{0})
	release, _, _ := strings.Cut(string(text), " ")
	if !terminated || !isRelease(release) {
		return "", fmt.Errorf("the bzImage has a bad version text, %.64q", text)
	}
	return release, nil
}

// isRelease tells whether a text can be a release, which becomes part of paths.
func isRelease(s string) bool {
	return strings.Trim(s, ".") != "" && !strings.ContainsFunc(s, notInRelease)
}

func notInRelease(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune(".-_+~", c))
}
