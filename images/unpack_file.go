package images

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// file makes a file, in the place of what has its name.
func (u *unpacker) file(p place, h *tar.Header, a *attributes, content io.Reader) (err error) {
	var fd int
	mode := a.mode & 0o777
	if !u.root {
		mode = 0o600 // who may not write to a file may set no attribute of it
	}
	// O_EXCL: it is a new file, and no link is followed.
	err = u.replacing(p, func() error {
		fd, err = unix.Openat(p.fd, p.base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return fmt.Errorf("openat: %w", err)
	}
	defer func() {
		if closeErr := unix.Close(fd); err == nil && closeErr != nil {
			err = fmt.Errorf("close: %w", closeErr)
		}
	}()
	write := u.write
	if isSparse(h) {
		write = u.writeSparse
	}
	if err := write(fd, content); err != nil {
		return err
	}
	a.have = mode &^ u.umask
	return u.describe(fd, a)
}

// write fills a file.
func (u *unpacker) write(fd int, content io.Reader) error {
	for {
		n, err := content.Read(u.buffer)
		for b := u.buffer[:n]; len(b) > 0; {
			w, err := unix.Write(fd, b)
			if err != nil && err != unix.EINTR {
				return fmt.Errorf("write: %w", err)
			}
			b = b[max(w, 0):]
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// isSparse tells whether the archive leaves out the holes of a file (tar(5), GNU
// sparse files). Its reader gives zeros for them.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

var zeros [4096]byte // a block of most file systems

// writeSparse fills a file, and leaves holes for what is zero.
func (u *unpacker) writeSparse(fd int, content io.Reader) error {
	var size int64
	for {
		n, err := io.ReadFull(content, u.buffer)
		for at := 0; at < n; {
			b := u.buffer[at:min(at+len(zeros), n)]
			if !bytes.Equal(b, zeros[:len(b)]) {
				w, err := unix.Pwrite(fd, b, size+int64(at))
				if err == nil && w < len(b) {
					err = io.ErrShortWrite
				}
				if err != nil {
					return fmt.Errorf("pwrite: %w", err)
				}
			}
			at += len(b)
		}
		size += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF && n > 0 && n < len(u.buffer) {
			// Whether the archive ends too early, the reader says once more.
			if _, again := content.Read(u.buffer[:1]); again != io.EOF {
				return io.ErrUnexpectedEOF
			}
			return unix.Ftruncate(fd, size)
		}
		if err != nil {
			return err
		}
	}
}
