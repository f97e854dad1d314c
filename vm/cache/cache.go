// Package cache keeps files that can be made again, for those who would make the
// same: unpacked kernels, parts of an initramfs, what was found out of a host.
//
// Such a file needs no locks. It is written under another name, and gets its own
// when it is whole (rename(2)), so who finds it can use it; two who make it at once
// make the same. And who has it open may read on when it is removed (unlink(2)). Its
// name, or what it says, tells all that it was made of: for bytes their digest, for
// another file its [Identity].
package cache

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// part is in the name of a file that is being written.
const part = ".part-"

// Write makes the file path, and the folder that it is in. When it fails, no file
// is left, or the one that was there.
func Write(path string, write func(io.Writer) error) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+part+"*")
	if err != nil {
		return err
	}
	err = write(f)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Open opens a file of a cache, if it is there, and notes that it was used.
func Open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err == nil {
		now := time.Now()
		os.Chtimes(path, time.Time{}, now) // a cache of another user's tells nothing of its use
	}
	return f, err
}

// Identity tells a file from any other that was, or will be, at its path: what is
// installed over it is a new inode, and what is written into it changes its times
// (inode(7)).
func Identity(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return fmt.Sprintf("%s, inode %d:%d, %d bytes, modified %d, changed %d", path, st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()), nil
}

// Settled tells whether the file's Identity can be relied on: not of one that was
// changed a moment ago, since its times are no finer than the kernel's clock ticks,
// and it may change again within one.
func Settled(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && time.Since(time.Unix(st.Ctim.Unix())) > 2*time.Second
}

// Limits are what a folder of a cache may come to.
type Limits struct {
	Age   time.Duration // since a file's last use
	Bytes int64         // of all files; those that were used last stay
}

// partAge is after which time nobody writes a file any more.
const partAge = time.Hour

// Prune removes the files of dir that are beyond the limits, and those that a killed
// process has left half written, and then links that lead nowhere. It says which
// files these were, and their bytes.
func Prune(dir string, l Limits, dry bool) (removed []string, bytes int64, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	var files []fs.FileInfo
	if !dry {
		defer removeDangling(dir)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return cmp.Compare(b.ModTime().UnixNano(), a.ModTime().UnixNano()) })
	var kept int64
	for _, f := range files {
		age := time.Since(f.ModTime())
		if half := strings.Contains(f.Name(), part); half && age <= partAge || !half && age <= l.Age && kept+f.Size() <= l.Bytes {
			kept += f.Size()
			continue
		}
		path := filepath.Join(dir, f.Name())
		if !dry {
			if rmErr := os.Remove(path); errors.Is(rmErr, fs.ErrNotExist) {
				continue // another was faster
			} else if rmErr != nil {
				err = errors.Join(err, rmErr)
				continue
			}
		}
		removed = append(removed, path)
		bytes += f.Size()
	}
	return removed, bytes, err
}

// removeDangling removes symbolic links to files that are no more. One that stays
// does no harm.
func removeDangling(dir string) {
	links, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range links {
		path := filepath.Join(dir, e.Name())
		if _, err := os.Stat(path); e.Type() == fs.ModeSymlink && errors.Is(err, fs.ErrNotExist) {
			os.Remove(path)
		}
	}
}
