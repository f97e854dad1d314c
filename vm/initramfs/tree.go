package initramfs

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// AddTree adds what is in the folder dir of the host: to the folder prefix of
// the archive, which it makes like dir, or to the root, if prefix is "". Types,
// permissions, owners and times are those on disk, or the owner that the attribute
// user.bench.owner says; other extended attributes are left behind. Layers of an
// image are added in turn, the lowest first.
func (w *Writer) AddTree(dir, prefix string) error {
	if w.err != nil {
		return w.err
	}
	// WalkDir does not follow a link, not even the first.
	root, err := filepath.EvalSymlinks(dir)
	if err == nil {
		var info fs.FileInfo
		if info, err = os.Stat(root); err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
	}
	if err != nil {
		return w.fail(entry{name: prefix}, fmt.Errorf("the tree %s: %w", dir, err))
	}
	return filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(root, file)
		if err == nil {
			err = relErr
		}
		name := path.Join(prefix, filepath.ToSlash(rel))
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		if err != nil {
			return w.fail(entry{name: name}, fmt.Errorf("the tree %s: %w", dir, err))
		}
		return w.addFile(file, name, info.Sys().(*syscall.Stat_t))
	})
}

// addFile adds what is at the path file of the host under a name.
func (w *Writer) addFile(file, name string, st *syscall.Stat_t) error {
	e := entry{name: name, mode: st.Mode, uid: st.Uid, gid: st.Gid, mtime: min(max(st.Mtim.Sec, 0), math.MaxUint32)}
	if uid, gid, ok := recordedOwner(file); ok {
		e.uid, e.gid = uid, gid
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f, err := os.Open(file)
		if err != nil {
			return w.fail(e, err)
		}
		defer f.Close()
		e.size = st.Size
		return w.add(e, f)
	case unix.S_IFLNK:
		target, err := os.Readlink(file)
		if err != nil {
			return w.fail(e, err)
		}
		return w.symlink(e, target)
	case unix.S_IFDIR:
		if old := w.seen[name]; old != nil && old.children > 0 && opaque(file) {
			return w.fail(e, fmt.Errorf("%s is opaque and would hide what is below it, which an archive cannot say: merge the layers first", file))
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		e.rdev = device{unix.Major(st.Rdev), unix.Minor(st.Rdev)}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR && e.rdev == (device{}) {
			if w.seen[name] != nil {
				return w.fail(e, fmt.Errorf("%s is a whiteout, which an archive cannot say: merge the layers first", file))
			}
			return nil // there is nothing to hide
		}
	}
	return w.add(e, nil)
}

// recordedOwner is the owner of a file in its image, "UID:GID" in the attribute
// that says so where whoever unpacked the image could not give the file away.
func recordedOwner(file string) (uid, gid uint32, ok bool) {
	var value [32]byte
	n, err := unix.Lgetxattr(file, "user.bench.owner", value[:])
	if err != nil {
		return 0, 0, false
	}
	first, second, _ := strings.Cut(string(value[:n]), ":")
	u, uerr := strconv.ParseUint(first, 10, 32)
	g, gerr := strconv.ParseUint(second, 10, 32)
	return uint32(u), uint32(g), uerr == nil && gerr == nil
}

// opaque tells whether an overlay would hide the folder of the same name in
// lower layers (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
// directories").
func opaque(dir string) bool {
	for _, attr := range []string{"trusted.overlay.opaque", "user.overlay.opaque"} {
		var value [2]byte
		if n, err := unix.Lgetxattr(dir, attr, value[:]); err == nil && string(value[:n]) == "y" {
			return true
		}
	}
	return false
}
