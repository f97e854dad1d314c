package images

import (
	"archive/tar"
	"context"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Limits are how much one layer may take when it is unpacked: a few kilobytes
// can become any number of bytes, files or nested folders. A ratio of bytes to
// compressed bytes is none of them, since good layers have files full of zeros,
// which gzip(1) makes a thousand times smaller; what such a file may take in all
// is what counts. (The header of one entry has its limit, 1 MiB, in package
// archive/tar.)
type Limits struct {
	Bytes   int64 // of its archive, uncompressed, and of its files with their holes
	Entries int64 // of its archive
	Depth   int   // of a path, in names
	Path    int   // length of a path, in bytes
	Free    int64 // what has to stay free on the file system, in bytes
}

// DefaultLimits are those of every layer. The largest images in use have layers
// of some 10 GB and some 100,000 files; a path that is longer is one that a host
// cannot name in the store (PATH_MAX is 4096).
var DefaultLimits = Limits{
	Bytes:   64 << 30,
	Entries: 2 << 20,
	Depth:   255,
	Path:    3 << 10,
	Free:    64 << 20,
}

// A LimitError is a layer that takes more than it may.
type LimitError struct {
	Limit string // which one
	Max   int64
	Unit  string
	Entry string // of the archive, with which it was too much
}

func (e *LimitError) Error() string {
	at := ""
	if e.Entry != "" {
		at = fmt.Sprintf("entry %q: ", e.Entry)
	}
	return fmt.Sprintf("%sover the limit of a layer: the %s is at most %d %s", at, e.Limit, e.Max, e.Unit)
}

// A RoomError is a file system that has too little room for a layer.
type RoomError struct {
	Free, Keep int64 // bytes
	Inodes     bool  // it has bytes, and no inodes
	Entry      string
}

func (e *RoomError) Error() string {
	if e.Inodes {
		return fmt.Sprintf("entry %q: the file system has no inodes left (df -i): remove files, or have the images on another one", e.Entry)
	}
	return fmt.Sprintf("entry %q: the file system has %d MiB free, and %d are to stay so: make room (bench image prune), or have the images on another one", e.Entry, e.Free>>20, e.Keep>>20)
}

// room is what is left of the limits.
type room struct {
	limits  Limits
	fd      int    // on the file system
	bytes   int64  // of the archive
	files   int64  // bytes of files, with holes
	entries int64  // so far
	last    string // entry
	since   int64  // bytes since the file system was asked
}

// How often the file system is asked what is free.
const (
	askBytes   = 64 << 20
	askEntries = 4096
)

// next is called before each layer.
func (r *room) next() {
	*r = room{limits: r.limits, fd: r.fd}
}

// after says which entry was the last that could be read.
func (r *room) after() string {
	if r.last == "" {
		return ""
	}
	return fmt.Sprintf(" after entry %q", r.last)
}

// entry counts one.
func (r *room) entry(h *tar.Header) error {
	r.last = short(h.Name)
	r.entries++
	if r.entries > r.limits.Entries {
		return &LimitError{"number of entries", r.limits.Entries, "entries", r.last}
	}
	if h.Size > r.limits.Bytes-r.files {
		return &LimitError{"size of all files", r.limits.Bytes, "bytes", r.last}
	}
	r.files += h.Size
	r.since += h.Size
	if r.since < askBytes && r.entries%askEntries != 1 {
		return nil
	}
	r.since = 0
	var st unix.Statfs_t
	if err := unix.Fstatfs(r.fd, &st); err != nil {
		return fmt.Errorf("how much is free: fstatfs: %w", err)
	}
	if st.Files > 0 && st.Ffree < askEntries {
		return &RoomError{Inodes: true, Entry: r.last}
	}
	// Holes take none, so that such a file is only held against what is free now.
	size := h.Size
	if isSparse(h) {
		size = 0
	}
	if free := int64(st.Bavail) * st.Bsize; free-size < r.limits.Free {
		return &RoomError{Free: free, Keep: r.limits.Free, Entry: r.last}
	}
	return nil
}

// short is a name for an error: those of hostile archives may have a megabyte.
func short(name string) string {
	const most = 200
	if len(name) <= most {
		return name
	}
	return name[:most] + "..."
}

// stream is the archive, whose bytes count too: headers can be long, and come in
// any number before an entry.
func (r *room) stream(ctx context.Context, archive io.Reader) io.Reader {
	return &counted{r, withContext{ctx, archive}}
}

type counted struct {
	room    *room
	archive io.Reader
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.archive.Read(p)
	if c.room.bytes += int64(n); c.room.bytes > c.room.limits.Bytes {
		return 0, &LimitError{"size of an archive", c.room.limits.Bytes, "bytes", c.room.last}
	}
	return n, err
}
