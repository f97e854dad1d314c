package images

import (
	"archive/tar"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Whiteouts: how a layer removes what lower layers have (image-spec, layer.md,
// "Whiteouts").
//
// In the archive an entry .wh.NAME removes NAME, and .wh..wh..opq hides all that
// lower layers have in its folder. In a folder that overlayfs joins with others,
// the first is a character device 0/0 and the second an attribute of the folder
// (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
// In a merged tree both are done at once. A whiteout is about lower layers only,
// whatever the order of the entries: what the same layer has stays.
const (
	whiteoutPrefix = ".wh."
	aufsPrefix     = ".wh..wh."
	opaqueName     = ".wh..wh..opq"
)

type whiteout struct {
	name    string // of what is removed, or of the folder, from the root
	opaque  bool
	ignored bool
}

// parseWhiteout tells whether a name is one.
func parseWhiteout(name string) (w whiteout, is bool, err error) {
	if !strings.Contains(name, whiteoutPrefix) {
		return w, false, nil
	}
	dir, base := path.Split(name)
	for part := range strings.SplitSeq(dir, "/") {
		switch {
		case strings.HasPrefix(part, aufsPrefix):
			return whiteout{ignored: true}, true, nil
		case strings.HasPrefix(part, whiteoutPrefix):
			return w, false, fmt.Errorf("the name is below %q, which is a whiteout", part)
		}
	}
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case base == opaqueName:
		return whiteout{name: dir, opaque: true}, true, nil
	case strings.HasPrefix(base, aufsPrefix):
		// AUFS, Docker's first file system, kept its books in such files.
		return whiteout{ignored: true}, true, nil
	case !strings.HasPrefix(base, whiteoutPrefix):
		return w, false, nil
	}
	base = strings.TrimPrefix(base, whiteoutPrefix)
	if base == "" || base == "." || base == ".." {
		return w, false, fmt.Errorf("a whiteout for %q, which leaves its folder", base)
	}
	return whiteout{name: path.Join(dir, base)}, true, nil
}

// whiteout does what the entry w says.
func (u *unpacker) whiteout(w whiteout, h *tar.Header) error {
	mtime := unix.Timespec{Sec: h.ModTime.Unix(), Nsec: int64(h.ModTime.Nanosecond())}
	name := w.name
	if !w.opaque {
		name = path.Dir(w.name)
	}
	if u.merged {
		d, err := u.lookup(name)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			return nil // nothing is there to be removed
		}
		if err != nil {
			return err
		}
		at := d.path
		if !w.opaque {
			at = place{d, path.Base(w.name)}.path()
		}
		u.forget()
		return u.clear(at, w.opaque)
	}
	d, err := u.open(name, mtime)
	if err != nil {
		return err
	}
	if w.opaque {
		return u.makeOpaque(d, mtime)
	}
	p := place{d, path.Base(w.name)}
	if err := u.check(p); err != nil {
		return err
	}
	err = unix.Mknodat(p.fd, p.base, unix.S_IFCHR, 0)
	if !errors.Is(err, unix.EEXIST) {
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("mknodat of a whiteout: %w (without root it takes Linux 5.8)", err)
		}
		if err != nil {
			return fmt.Errorf("mknodat of a whiteout: %w", err)
		}
		return unix.UtimesNanoAt(p.fd, p.base, []unix.Timespec{mtime, mtime}, unix.AT_SYMLINK_NOFOLLOW)
	}
	// The layer has something of its own there, which hides what is below, if
	// it is no folder.
	var st unix.Stat_t
	if err := unix.Fstatat(p.fd, p.base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("fstatat: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	return u.makeOpaque(&folder{path: p.path()}, mtime)
}

// makeOpaque notes it of a folder.
func (u *unpacker) makeOpaque(d *folder, mtime unix.Timespec) error {
	if d.path == "" {
		// Overlayfs looks for the mark in all folders but the root.
		return errors.New("the whole of the image below is hidden, which overlayfs cannot do: whoever makes such a layer means an image without layers below")
	}
	a := u.later[d.path]
	if a == nil {
		a = &attributes{mode: 0o755, have: unknown, mtime: mtime}
		u.record(d.path, a)
	}
	a.opaque = true
	return nil
}

// isOpaque tells whether a folder was said to be.
func (u *unpacker) isOpaque(path string) bool {
	a := u.later[path]
	return a != nil && a.opaque
}

func (u *unpacker) opaqueAttribute() string {
	if u.root {
		return "trusted.overlay.opaque"
	}
	return "user.overlay.opaque" // Linux 5.11
}

// isWhiteout tells whether a file is what overlayfs takes for one.
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// made are the paths that the layer being unpacked into a merged tree has made,
// with the folders on the way.
type made map[string]bool

func (m made) add(p string) {
	for p != "." && !m[p] {
		m[p] = true
		p = path.Dir(p)
	}
}

// clear removes from a merged tree what is at a path (which has no links) but for
// what this layer has made. Of a folder it removes what is in it only, if
// inside is set, or if this layer has made it as well.
func (u *unpacker) clear(at string, inside bool) error {
	if !inside && !u.made[at] {
		return u.tree.RemoveAll(at)
	}
	if at == "" {
		at = "."
	}
	st, err := u.tree.Lstat(at)
	if err != nil || !st.IsDir() {
		return err
	}
	f, err := u.tree.Open(at)
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if err := u.clear(path.Join(at, name), false); err != nil {
			return err
		}
	}
	return nil
}
