package images

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Unpack extracts one layer, a tar archive, into dir, which it makes, as
// overlayfs wants the layer of an image: what the layer removes is marked
// (unpack_whiteout.go).
//
// A layer comes from outside and is not trusted. Its names are resolved with
// dir as their root, as they are in the container: a symbolic link in the way
// may say what it likes and does not lead out (unpack_folder.go). It may take
// the room that limits leave it; see [Limits]. What is refused, and what is
// left out:
//
//   - A name that climbs out with "..", and a whiteout for such a one, is
//     refused.
//   - A device node is left out below dev/, since a container has a /dev of its
//     own, and is refused elsewhere: 0/0 would be a forged whiteout.
//   - Of extended attributes those of users are kept, and the capabilities of
//     programs (unpack_attributes.go).
//   - Set-user-ID bits are kept: the store is its owner's alone, and others
//     reach a layer only as a container does.
//
// Of two entries with the same name the later one counts, as with tar(1).
// Without root all belongs to the user, and an extended attribute
// says whose it is in the image.
func Unpack(ctx context.Context, r io.Reader, dir string) error {
	u, err := newUnpacker(dir, DefaultLimits, overlaid)
	if err != nil {
		return err
	}
	return errors.Join(u.layer(ctx, r), u.close())
}

// An unpacker writes layers into one folder.
type unpacker struct {
	*folders
	room   *room
	merged bool // whiteouts remove, instead of being there
	made   made // by the layer that is unpacked now

	root    bool   // this process may give files away
	umask   uint32 // of this process
	uid     int
	gid     int
	buffer  []byte
	failing bool // an entry failed, and what is there will go
}

// How layers are put into one folder.
const (
	overlaid = false // one layer, for overlayfs
	merged   = true  // several over each other, as a container sees them
)

func newUnpacker(dir string, limits Limits, merge bool) (*unpacker, error) {
	f, err := openFolders(dir, limits)
	if err != nil {
		return nil, err
	}
	umask, err := processUmask()
	if err != nil {
		return nil, errors.Join(err, f.closeAll())
	}
	// Of a root that no entry describes.
	f.record("", &attributes{mode: 0o755, have: unknown})
	return &unpacker{
		folders: f, room: &room{limits: limits, fd: f.root}, merged: merge, umask: umask,
		root: givesAway(), uid: os.Geteuid(), gid: os.Getegid(),
		buffer: make([]byte, 256<<10),
	}, nil
}

// close gives the folders their modes, owners and times, unless a layer failed.
func (u *unpacker) close() error {
	var err error
	if !u.failing {
		err = u.finish()
	}
	return errors.Join(err, u.closeAll())
}

// finish comes last: a file that is put into a folder changes its time, and
// without root a folder may not be writable in the end.
func (u *unpacker) finish() error {
	return u.each(func(p string, fd int, a *attributes) error {
		if err := u.describe(fd, a); err != nil {
			return fmt.Errorf("folder %q: %w", p, err)
		}
		return nil
	})
}

// layer unpacks one layer.
func (u *unpacker) layer(ctx context.Context, r io.Reader) error {
	u.failing = true
	u.made = made{}
	u.room.next()
	for tr := tar.NewReader(u.room.stream(ctx, r)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the archive%s: %w", u.room.after(), err)
		}
		if err := u.room.entry(h); err != nil {
			return err
		}
		if err := u.entry(h, tr); err != nil {
			return fmt.Errorf("entry %q: %w", short(h.Name), err)
		}
	}
	u.failing = false
	return nil
}

// inImage makes the name of an entry, or the target of a hard link, one from
// the root of the image: "" is the root itself. It is only text yet; that no
// link leads out is for those who open it.
func inImage(name string) (string, error) {
	name = path.Clean(strings.TrimLeft(name, "/"))
	switch {
	case name == "..", strings.HasPrefix(name, "../"):
		return "", errors.New("the name leaves the image")
	case name == ".":
		return "", nil
	}
	return name, nil
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // a comment on the archive (pax), such as git's: Docker too reads over it
	}
	name, err := inImage(h.Name)
	if err != nil {
		return err
	}
	if w, ok, err := parseWhiteout(name); err != nil || ok {
		if err != nil || w.ignored {
			return err
		}
		return u.whiteout(w, h)
	}
	a, err := u.attributes(h)
	if err != nil {
		return err
	}
	if name == "" {
		if h.Typeflag != tar.TypeDir {
			return errors.New("it would be in the place of the image's root, which is a folder")
		}
		u.record("", a)
		return nil
	}
	switch h.Typeflag {
	case tar.TypeChar, tar.TypeBlock:
		if strings.HasPrefix(name, "dev/") {
			return nil
		}
		return errors.New("a device node outside of dev/: an image has no use for it, and character device 0/0 is the mark of a file that the layer removes")
	}
	parent, err := u.open(path.Dir(name), a.mtime)
	if err != nil {
		return err
	}
	p := place{parent, path.Base(name)}
	if err := u.check(p); err != nil {
		return err
	}
	if u.merged {
		u.made.add(p.path())
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.folder(p, a)
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(p, h, a, content)
	case tar.TypeSymlink:
		return u.symlink(p, h.Linkname, a)
	case tar.TypeLink:
		return u.hardLink(p, h.Linkname)
	case tar.TypeFifo:
		err := u.replacing(p, func() error { return unix.Mknodat(p.fd, p.base, unix.S_IFIFO|0o600, 0) })
		if err != nil {
			return fmt.Errorf("mknodat: %w", err)
		}
		if err := u.describeAt(p, a); err != nil {
			return err
		}
		// A change follows a link; this is the FIFO that was just made.
		return unix.Fchmodat(p.fd, p.base, a.mode, 0)
	}
	return fmt.Errorf("type %q is none that a layer holds (image-spec, layer.md)", string(h.Typeflag))
}

// folder makes a folder. One that is there stays with what is in it, as anything
// else does not: least of all a link.
func (u *unpacker) folder(p place, a *attributes) error {
	err := unix.Mkdirat(p.fd, p.base, 0o700)
	for errors.Is(err, unix.EEXIST) {
		var st unix.Stat_t
		if err := unix.Fstatat(p.fd, p.base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("fstatat: %w", err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			a.opaque = u.isOpaque(p.path())
			u.record(p.path(), a)
			return nil
		}
		// A folder on the whiteout of the same name: of what lower layers have
		// there it shows nothing.
		a.opaque = isWhiteout(&st)
		if err := u.remove(p); err != nil {
			return err
		}
		err = unix.Mkdirat(p.fd, p.base, 0o700)
	}
	if err != nil {
		return fmt.Errorf("mkdirat: %w", err)
	}
	u.record(p.path(), a)
	return nil
}

// replacing makes something that is no folder, in the place of what has its name.
func (u *unpacker) replacing(p place, create func() error) error {
	err := create()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := u.remove(p); err != nil {
		return err
	}
	return create()
}
