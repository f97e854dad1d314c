// Package initramfs writes the archive from which Linux makes its first root
// file system.
//
// Before a kernel can mount a disk it may need a driver, which is on the disk.
// The way out is the initramfs: an archive that the boot loader, here QEMU's
// -initrd, puts in memory beside the kernel. The kernel makes an empty file
// system in memory, unpacks the archive into it, and starts /init as PID 1. What
// a guest needs can be in there altogether, and then it has no disk at all.
//
// The format is cpio's "newc" (Documentation/driver-api/early-userspace/
// buffer-format.rst): each entry is a header of thirteen numbers, each eight
// hexadecimal digits, then the name, then the content, each padded to four
// bytes. There is no table of contents, so an archive is written, and unpacked,
// in one pass; and archives can be written one behind the other.
//
// The kernel's unpacker (init/initramfs.c) reports next to nothing: an entry
// that it cannot create is skipped in silence, and the guest boots without it.
// So a [Writer] refuses what the unpacker would skip. The rules:
//
//   - A parent folder must come before what is in it. The Writer adds those
//     that are missing, with mode 0755, owned by root. A parent that is a
//     symbolic link or a file is refused.
//   - A name may come again. A file then gets the new content, mode and owner;
//     a folder keeps what is in it and gets the new mode and owner. So one
//     tree written over another gives what an overlay of the two would show.
//   - It may come again as something of another type. The unpacker then removes
//     the old one, but a folder only if it is empty: one that is not is refused
//     here. So is a device in the place of another one, for mknod(2) then
//     fails and the old one stays.
//   - Nothing removes what an earlier entry made. A whiteout of an overlay, and
//     an opaque folder, are refused where they would hide something, and
//     otherwise have no effect.
//   - Names and targets of links have at most PATH_MAX, 4,096 bytes with the
//     NUL; files less than 4 GiB.
//
// Hard links are written as files of their own.
//
// The same calls give the same bytes: nothing in an archive comes from the
// clock or from the inode numbers of the host, and a tree is walked in the
// order of its names. (Owners and times are those of the files, where a tree is
// added.)
package initramfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Writer writes an archive. The first error stays: all later calls return it,
// since what was written by then is not an archive.
type Writer struct {
	// ModTime is the time of last modification of every entry that is
	// written from now on. The zero time stands for 1970, and for files of a tree
	// for their own. (A kernel may ignore it: CONFIG_INITRAMFS_PRESERVE_MTIME.)
	ModTime time.Time

	w    *bufio.Writer
	n    int64 // bytes written
	ino  uint32
	seen map[string]*node
	err  error
}

// node is what is known of a name that was written.
type node struct {
	mode     uint32
	rdev     device
	children int
}

type device struct{ major, minor uint32 }

// entry is what is to be written.
type entry struct {
	name     string
	mode     uint32 // type and permissions, as in inode(7)
	uid, gid uint32
	rdev     device
	size     int64
	mtime    int64 // in seconds since 1970
}

// NewWriter starts an archive on w.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: bufio.NewWriterSize(w, 64<<10), seen: make(map[string]*node)}
}

// Dir adds a folder, owned by root. The name "." is the root itself, which the
// kernel makes with mode 1777.
func (w *Writer) Dir(name string, perm fs.FileMode) error {
	return w.add(entry{name: name, mode: unix.S_IFDIR | permissions(perm)}, nil)
}

// File adds a regular file, owned by root.
func (w *Writer) File(name string, perm fs.FileMode, content []byte) error {
	return w.FileFrom(name, perm, int64(len(content)), bytes.NewReader(content))
}

// FileFrom adds a regular file, owned by root, of size bytes, which it reads
// from r. It is an error if r has fewer; what it has more stays unread.
func (w *Writer) FileFrom(name string, perm fs.FileMode, size int64, r io.Reader) error {
	return w.add(entry{name: name, mode: unix.S_IFREG | permissions(perm), size: size}, r)
}

// Symlink adds a symbolic link to target, which is not looked at.
func (w *Writer) Symlink(name, target string) error {
	return w.symlink(entry{name: name, mode: unix.S_IFLNK | 0o777}, target)
}

// Device adds a character device, such as dev/console, which is number 5, 1.
func (w *Writer) Device(name string, perm fs.FileMode, major, minor uint32) error {
	return w.add(entry{name: name, mode: unix.S_IFCHR | permissions(perm), rdev: device{major, minor}}, nil)
}

// Close ends the archive. It does not close the writer underneath.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	w.header(entry{name: trailer}, 0)
	w.pad(512) // as cpio(1) does
	if w.err == nil {
		w.err = w.w.Flush()
	}
	if w.err != nil {
		w.err = fmt.Errorf("initramfs: writing its end: %w", w.err)
		return w.err
	}
	w.err = errors.New("initramfs: it is closed already")
	return nil
}

func (w *Writer) symlink(e entry, target string) error {
	if target == "" || len(target) >= pathMax || strings.ContainsRune(target, 0) {
		return w.fail(e, fmt.Errorf("its target %.100q is no path: empty, with a NUL, or of %d bytes or more", target, pathMax))
	}
	e.size = int64(len(target))
	return w.add(e, strings.NewReader(target))
}

// add checks an entry, adds the folders above it, and writes it.
func (w *Writer) add(e entry, content io.Reader) error {
	if w.err != nil {
		return w.err
	}
	if err := w.check(e); err != nil {
		return w.fail(e, err)
	}
	parent := path.Dir(e.name)
	if parent != "." && w.seen[parent] == nil {
		if err := w.Dir(parent, 0o755); err != nil {
			return err
		}
	}
	n := w.seen[e.name]
	if n == nil {
		n = new(node)
		w.seen[e.name] = n
		if parent != "." {
			w.seen[parent].children++
		}
	}
	n.mode, n.rdev = e.mode, e.rdev
	w.ino++
	w.header(e, w.ino)
	w.content(e, content)
	if w.err != nil {
		return w.fail(e, w.err)
	}
	return nil
}

// fail makes err the Writer's, unless there is one of an earlier call.
func (w *Writer) fail(e entry, err error) error {
	if w.err == nil || w.err == err {
		w.err = fmt.Errorf("initramfs: adding %.100q: %w", e.name, err)
	}
	return w.err
}

// permissions are the bits of mode that chmod(2) sets.
func permissions(mode fs.FileMode) uint32 {
	m := uint32(mode.Perm())
	for _, b := range []struct {
		mode fs.FileMode
		bit  uint32
	}{{fs.ModeSetuid, unix.S_ISUID}, {fs.ModeSetgid, unix.S_ISGID}, {fs.ModeSticky, unix.S_ISVTX}} {
		if mode&b.mode != 0 {
			m |= b.bit
		}
	}
	return m
}
