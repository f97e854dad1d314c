package initramfs

import (
	"fmt"
	"io"
	"strings"
)

// trailer is the name of the entry that ends an archive.
const trailer = "TRAILER!!!"

// header writes the header of an entry and its name.
func (w *Writer) header(e entry, ino uint32) {
	mtime := e.mtime
	if !w.ModTime.IsZero() {
		mtime = w.ModTime.Unix()
	}
	const (
		links = 1 // with 2 or more, ino would mean hard links
		major = 0 // of the device that held the file, for the same purpose
		minor = 0
		check = 0 // of the sibling format 070702
	)
	w.printf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		ino, e.mode, e.uid, e.gid, links, uint32(mtime), e.size, major, minor,
		e.rdev.major, e.rdev.minor, len(e.name)+1, check, e.name)
	w.pad(4)
}

// content writes the content of an entry.
func (w *Writer) content(e entry, r io.Reader) {
	if w.err != nil || r == nil {
		return
	}
	n, err := io.CopyN(w.w, r, e.size)
	w.n += n
	if err == io.EOF {
		err = fmt.Errorf("its content ends after %d of %d bytes: %w", n, e.size, io.ErrUnexpectedEOF)
	}
	w.err = err
	w.pad(4)
}

// pad writes NULs up to a multiple of n bytes.
func (w *Writer) pad(n int64) {
	if over := w.n % n; over > 0 {
		w.printf("%s", strings.Repeat("\x00", int(n-over)))
	}
}

func (w *Writer) printf(format string, args ...any) {
	if w.err != nil {
		return
	}
	n, err := fmt.Fprintf(w.w, format, args...)
	w.n += int64(n)
	w.err = err
}
