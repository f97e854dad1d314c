package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// errOtherArchitecture is matched by the error of a kernel for another
// architecture than the one that is asked for.
var errOtherArchitecture = errors.New("the kernel is for another architecture")

// releases read the release out of a kernel's image, of each architecture that
// there are guests of.
var releases = map[string]func(f *os.File, size int64) (string, error){
	"amd64": func(f *os.File, size int64) (string, error) {
		h, err := readHeader(f, size)
		if err != nil {
			return "", err
		}
		return h.release, nil
	},
	"arm64": func(f *os.File, size int64) (string, error) {
		b, err := readAll(f, size)
		if err == nil {
			b, err = unpackArm64(b)
		}
		if err != nil {
			return "", err
		}
		return releaseInImage(b)
	},
}

// readImage reads the release of the kernel at path.
func readImage(path, arch string) (release string, err error) {
	read, ok := releases[arch]
	if !ok {
		return "", fmt.Errorf("kernel %s: no format of kernels for %s is known here", path, arch)
	}
	f, size, err := openImage(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if release, err = read(f, size); err != nil {
		return "", fmt.Errorf("kernel %s: %w", path, err)
	}
	return release, nil
}

// openImage opens the file of a kernel.
func openImage(path string) (f *os.File, size int64, err error) {
	// Before it is opened: opening a FIFO waits.
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("kernel %s: it is not a regular file", path)
	}
	if err == nil {
		f, err = os.Open(path)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, 0, fmt.Errorf("kernel %s is not readable for this user (Ubuntu, for one, lets only root read it): run as root, or sudo chmod a+r %s: %w", path, path, err)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("kernel: %w", err)
	}
	return f, info.Size(), nil
}

// The image of a kernel for arm64 (Documentation/arch/arm64/booting.rst, "Call the
// kernel image") is its memory as it is to be, behind a header of 64 bytes. It may
// be packed: as a whole, by gzip (Image.gz), or as the payload of an EFI program
// that unpacks it (vmlinuz.efi, drivers/firmware/efi/libstub/zboot-header.S).
const (
	arm64MagicAt = 56
	arm64Magic   = "ARM\x64"

	zbootMagicAt   = 4
	zbootMagic     = "zimg"
	zbootOffsetAt  = 8  // 4 bytes: where the payload is
	zbootSizeAt    = 12 // 4 bytes: its size, without what the build appends
	arm64HeaderLen = 64
)

// unpackArm64 gives the Image in the file of a kernel for arm64.
func unpackArm64(b []byte) ([]byte, error) {
	switch {
	case len(b) < arm64HeaderLen:
		return nil, fmt.Errorf("not a Linux Image for arm64: it has only %d bytes", len(b))
	case isArm64(b):
		return b, nil
	case len(b) > magicAt+4 && string(b[magicAt:magicAt+4]) == "HdrS":
		return nil, fmt.Errorf("%w: it is a bzImage, for x86, and wanted is one for arm64", errOtherArchitecture)
	}
	payload := b
	if string(b[zbootMagicAt:zbootMagicAt+4]) == zbootMagic {
		at, size := int64(binary.LittleEndian.Uint32(b[zbootOffsetAt:])), int64(binary.LittleEndian.Uint32(b[zbootSizeAt:]))
		if at+size > int64(len(b)) {
			return nil, fmt.Errorf("the EFI image is cut off: its header says that the kernel in it ends at byte %d, but the file has %d", at+size, len(b))
		}
		payload = b[at:][:size]
	}
	for _, f := range formats {
		if !bytes.HasPrefix(payload, []byte(f.magic)) {
			continue
		}
		out := &output{limit: maxSize}
		if err := f.decode(payload, out); err != nil {
			return nil, fmt.Errorf("unpacking the Image for arm64 (%s, %d bytes): %w", f.name, len(payload), err)
		}
		if !isArm64(out.data) {
			return nil, errors.New("what it holds is not a Linux Image for arm64")
		}
		return out.data, nil
	}
	return nil, errors.New("not a Linux Image for arm64 (wanted is the file that distributions call vmlinuz)")
}

func isArm64(b []byte) bool {
	return len(b) >= arm64HeaderLen && string(b[arm64MagicAt:][:len(arm64Magic)]) == arm64Magic
}

// releaseInImage finds the release of a kernel whose header does not say it, in the
// banner that it prints: "Linux version 6.1.0-9-arm64 (builder@host) ...".
func releaseInImage(image []byte) (string, error) {
	for rest := image; ; {
		_, after, found := bytes.Cut(rest, []byte("Linux version "))
		if !found {
			return "", errors.New("the Image has no banner with its version, so its modules cannot be found")
		}
		release, _, _ := strings.Cut(string(after[:min(len(after), 256)]), " (")
		if isRelease(release) {
			return release, nil
		}
		rest = after
	}
}

// readAll reads a file of size bytes, up to [maxSize].
func readAll(f *os.File, size int64) ([]byte, error) {
	if size > maxSize {
		return nil, fmt.Errorf("it has %d MiB; more than %d is not believed", size>>20, maxSize>>20)
	}
	b := make([]byte, size)
	_, err := io.ReadFull(f, b)
	return b, err
}
