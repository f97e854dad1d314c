package erofs

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Write writes the tree in the folder dir to w as a disk. Symbolic links are not
// followed; files with several names in dir have one inode. What changes in dir
// meanwhile is an error, or on the disk as it was at some moment.
//
// The disk is a multiple of 4,096 bytes. Memory is needed for names and inodes
// alone. The superblock is written last: what a failure leaves is no file system.
func Write(ctx context.Context, w io.WriterAt, dir string) error {
	t, err := readTree(ctx, dir)
	if err == nil {
		err = t.write(ctx, w)
	}
	if err != nil {
		return fmt.Errorf("writing an EROFS disk of %s: %w", dir, err)
	}
	return nil
}

func (t *tree) write(ctx context.Context, w io.WriterAt) error {
	l, err := place(t)
	if err != nil {
		return err
	}
	sum := sha256.New()
	d := &disk{ctx: ctx, at: blockSize}
	d.w = bufio.NewWriterSize(io.MultiWriter(io.NewOffsetWriter(w, blockSize), sum), 1<<20)
	for _, n := range l.inodes {
		d.seek(n.nid << slotBits)
		d.write(n.encode(nil))
		if n.inline > 0 {
			d.writeContent(n, n.size-int64(n.inline), int64(n.inline))
		}
	}
	for _, folders := range []bool{true, false} {
		for _, n := range l.inodes {
			if n.is(unix.S_IFDIR) == folders && n.block > 0 {
				d.seek(n.block << blockBits)
				d.writeContent(n, 0, n.size-int64(n.inline))
			}
		}
	}
	d.seek(l.blocks << blockBits)
	if err := errors.Join(d.err, d.w.Flush()); err != nil {
		return err
	}
	// A UUID of the kind that says only that it is one (RFC 9562, version 8).
	// The overlay, for one, tells its layers apart by it.
	uuid := [16]byte(sum.Sum(nil))
	uuid[6] = uuid[6]&0x0f | 0x80
	uuid[8] = uuid[8]&0x3f | 0x80
	_, err = w.WriteAt(l.superblock(uuid), 0)
	return err
}

// disk is written from its begin to its end. The first error stays.
type disk struct {
	ctx context.Context
	w   *bufio.Writer
	at  int64
	err error
}

var zeros [blockSize]byte

// seek fills up with zeros to a place, less than a block and an inode away.
func (d *disk) seek(to int64) {
	if to < d.at && d.err == nil {
		d.err = fmt.Errorf("a place at %d, before %d, where the disk has come to: an error in this package", to, d.at)
	}
	for d.err == nil && d.at < to {
		d.write(zeros[:min(to-d.at, blockSize)])
	}
}

func (d *disk) write(b []byte) {
	if d.err == nil {
		_, d.err = d.w.Write(b)
		d.at += int64(len(b))
	}
}

// writeContent writes n bytes of an inode's content, from an offset on.
func (d *disk) writeContent(n *inode, offset, count int64) {
	switch {
	case d.err != nil:
	case n.is(unix.S_IFDIR):
		d.write(n.content()[offset : offset+count])
	case n.is(unix.S_IFLNK):
		d.write([]byte(n.target[offset : offset+count]))
	default:
		d.err = d.copyFile(n, offset, count)
	}
}

func (d *disk) copyFile(n *inode, offset, count int64) (err error) {
	// Not through a link, should the file be one by now.
	f, err := os.OpenFile(n.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for count > 0 {
		if err := context.Cause(d.ctx); err != nil {
			return err
		}
		part := min(count, 16<<20)
		copied, err := io.Copy(d.w, io.NewSectionReader(f, offset, part)) // into its buffer
		d.at += copied
		if err != nil {
			return err
		}
		if copied < part {
			return fmt.Errorf("%s: it has become shorter than its %d bytes meanwhile", n.path, n.size)
		}
		offset, count = offset+part, count-part
	}
	return nil
}
