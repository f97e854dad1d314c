package initramfs

import (
	"errors"
	"fmt"
	"math"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// pathMax is PATH_MAX, which counts the NUL: the unpacker skips a longer name.
const pathMax = 4096

// check refuses what the kernel's unpacker would skip or misread.
func (w *Writer) check(e entry) error {
	// The root is there already; its mode and owner can be set.
	if root := e.name == "." && e.mode&unix.S_IFMT == unix.S_IFDIR; !root {
		if err := checkName(e.name); err != nil {
			return err
		}
	}
	switch {
	case e.size < 0 || e.size > math.MaxUint32:
		return fmt.Errorf("its size of %d bytes does not fit: the format ends at 4 GiB less 1", e.size)
	case e.rdev.major >= 1<<12 || e.rdev.minor >= 1<<20:
		return fmt.Errorf("no device has the number %d, %d: Linux has 12 bits and 20", e.rdev.major, e.rdev.minor)
	case !w.ModTime.IsZero() && (w.ModTime.Unix() < 0 || w.ModTime.Unix() > math.MaxUint32):
		return fmt.Errorf("the time %v does not fit: the format begins in 1970 and ends in 2106", w.ModTime)
	}
	for parent := path.Dir(e.name); parent != "."; parent = path.Dir(parent) {
		if n := w.seen[parent]; n != nil && !n.is(unix.S_IFDIR) {
			return fmt.Errorf("%q above it was added before, and is no folder", parent)
		}
	}
	old := w.seen[e.name]
	if old == nil {
		return nil
	}
	switch same := old.is(e.mode & unix.S_IFMT); {
	case !same && old.children > 0:
		return errors.New("it was added before as a folder, which is not empty: the kernel would keep that and skip this; merge the trees first")
	case same && old.rdev != e.rdev:
		return fmt.Errorf("it was added before as device %d, %d: the kernel would keep that and skip this", old.rdev.major, old.rdev.minor)
	}
	return nil
}

func (n *node) is(typ uint32) bool { return n.mode&unix.S_IFMT == typ }

func checkName(name string) error {
	switch {
	case name == "" || name == "." || name != path.Clean(name):
		return errors.New("the name is not a clean path, such as etc/passwd")
	case strings.HasPrefix(name, "/"):
		return errors.New("the name is absolute: names begin at the root, without the slash")
	case name == ".." || strings.HasPrefix(name, "../"):
		return errors.New("the name leaves the root")
	case strings.ContainsRune(name, 0):
		return errors.New("the name has a NUL in it")
	case len(name) >= pathMax:
		return fmt.Errorf("the name has %d bytes, and Linux takes %d", len(name), pathMax-1)
	case name == trailer:
		return errors.New("this name ends the archive (newc has no other way to say so)")
	}
	return nil
}
