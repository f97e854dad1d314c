package kernel

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vmctr/vm/cache"
)

// Limits are what the folder of unpacked kernels may come to. Each has some 45 MB.
// One that was used of late stays, since machines that are still to be started boot
// from it.
var Limits = cache.Limits{Age: 90 * 24 * time.Hour, Bytes: math.MaxInt64}

// A PVH entry point is announced by an ELF note of this owner and type, whose
// content is its physical address (xen/include/public/elfnote.h). It is Xen's
// invention, but QEMU and Firecracker use it with KVM.
const (
	noteOwner = "Xen\x00"
	noteType  = 18 // XEN_ELFNOTE_PHYS32_ENTRY
)

// HasPVH tells whether an ELF kernel can be entered over PVH, so that QEMU can
// boot it with -kernel as it is. Kernels built with CONFIG_PVH can.
func HasPVH(kernel io.ReaderAt) (bool, error) {
	f, err := elf.NewFile(kernel) // which reads headers only
	if err != nil {
		return false, fmt.Errorf("looking for a PVH entry point: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		notes, err := io.ReadAll(io.LimitReader(p.Open(), 1<<20))
		if err != nil {
			return false, fmt.Errorf("looking for a PVH entry point: reading the ELF notes: %w", err)
		}
		if hasNote(f.ByteOrder, notes) {
			return true, nil
		}
	}
	return false, nil
}

// hasNote walks over notes: sizes of owner and content, type, then both, each
// padded to four bytes (elf(5), "Notes").
func hasNote(order binary.ByteOrder, b []byte) bool {
	for len(b) >= 12 {
		owner, content, typ := uint64(order.Uint32(b)), uint64(order.Uint32(b[4:])), order.Uint32(b[8:])
		b = b[12:]
		at := (owner + 3) &^ 3
		end := at + (content+3)&^3
		if end > uint64(len(b)) {
			return false
		}
		if string(b[:owner]) == noteOwner && typ == noteType && content >= 4 {
			return true
		}
		b = b[end:]
	}
	return false
}

// ELF returns the path of the unpacked kernel, of one for amd64. It unpacks it the
// first time, into cacheDir under a name made of the bzImage's SHA-256, so that a
// new kernel never meets an old file.
func (k *Kernel) ELF(cacheDir string) (path string, err error) {
	return k.unpacked(cacheDir, "vmlinux-", Unpack)
}

// Plain returns the path of the kernel as QEMU boots it, of one for arm64: the file
// itself or, if that is packed, what it holds, which is kept in cacheDir.
func (k *Kernel) Plain(cacheDir string) (path string, err error) {
	f, _, err := openImage(k.Image)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, arm64HeaderLen)
	if _, err := f.ReadAt(head, 0); err == nil && isArm64(head) {
		return k.Image, nil
	}
	return k.unpacked(cacheDir, "Image-", unpackArm64)
}

// known finds what the kernel was unpacked to without reading the kernel, whose
// digest takes as long as a container: by a symbolic link that is named by the
// identity of its file. If there is none yet, it gives the link's name, or "" for a
// file that was written a moment ago.
func (k *Kernel) known(cacheDir, prefix string) (path string, ok bool) {
	id, err := cache.Identity(k.Image)
	if err != nil || !cache.Settled(k.Image) {
		return "", false
	}
	sum := sha256.Sum256([]byte(id))
	link := filepath.Join(cacheDir, "of-file-"+hex.EncodeToString(sum[:]))
	to, err := os.Readlink(link)
	if err != nil || !strings.HasPrefix(to, prefix) || filepath.Base(to) != to {
		return link, false
	}
	path = filepath.Join(cacheDir, to)
	f, err := cache.Open(path)
	if err != nil {
		return link, false
	}
	f.Close()
	return path, true
}

// unpacked unpacks the kernel, unless the cache has it.
func (k *Kernel) unpacked(cacheDir, prefix string, unpack func([]byte) ([]byte, error)) (path string, err error) {
	known, ok := k.known(cacheDir, prefix)
	if ok {
		return known, nil
	}
	defer func() {
		if err == nil && known != "" {
			os.Remove(known)
			os.Symlink(filepath.Base(path), known) // if it fails, it takes longer the next time
		}
	}()
	f, size, err := openImage(k.Image)
	if err != nil {
		return "", err
	}
	image, err := readAll(f, size)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("unpacking kernel %s: %w", k.Image, err)
	}
	sum := sha256.Sum256(image)
	path = filepath.Join(cacheDir, prefix+hex.EncodeToString(sum[:]))
	if kept, err := cache.Open(path); err == nil {
		return path, kept.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	plain, err := unpack(image)
	if err != nil {
		return "", fmt.Errorf("kernel %s: %w", k.Image, err)
	}
	if err := cache.Write(path, func(w io.Writer) error { _, err := w.Write(plain); return err }); err != nil {
		return "", fmt.Errorf("keeping the unpacked kernel: %w", err)
	}
	return path, nil
}

// readFile reads a file up to [maxSize].
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return readAll(f, info.Size())
}
