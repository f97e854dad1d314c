package erofs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// OwnerAttribute is the extended attribute of a file of an unpacked layer that
// says whose it is in the image, as "UID:GID", where whoever unpacked it could
// not give it away. On the disk the file has that owner, and the attribute is
// left out.
const OwnerAttribute = "user.bench.owner"

// opaque marks a folder that hides what lower layers have under its name
// (Documentation/filesystems/overlayfs.rst). An ordinary user can set only the
// first; whoever mounts a disk is root, and looks for the second.
const (
	opaqueOfUser = "user.overlay.opaque"
	opaque       = "trusted.overlay.opaque"
)

// inode is one file of any type.
type inode struct {
	mode     uint32 // type and permissions, as in inode(7)
	uid, gid uint32
	rdev     uint64
	size     int64
	mtime    unix.Timespec
	links    uint32
	xattrs   []xattr
	path     string  // on the host
	target   string  // of a symbolic link
	entries  []entry // of a folder, in order, with "." and ".."

	nid    int64  // its number, and so its place
	serial uint32 // counts inodes
	block  int64  // the first block of its content
	inline int    // bytes of content behind the inode
}

type entry struct {
	name  string
	inode *inode
}

type xattr struct {
	prefix byte
	name   string // after the prefix
	value  string
}

func (n *inode) is(kind uint32) bool { return n.mode&unix.S_IFMT == kind }

func (n *inode) isDevice() bool { return n.is(unix.S_IFCHR) || n.is(unix.S_IFBLK) }

// tree is a folder, read but for the content of files.
type tree struct {
	inodes []*inode // in the order in which they are to lie; the first is the root
	links  map[[2]uint64]*inode
}

func readTree(ctx context.Context, dir string) (*tree, error) {
	t := &tree{links: map[[2]uint64]*inode{}}
	root, err := t.add(dir)
	if err != nil {
		return nil, err
	}
	if !root.is(unix.S_IFDIR) {
		return nil, &os.PathError{Op: "reading the tree", Path: dir, Err: unix.ENOTDIR}
	}
	return t, t.fill(ctx, root, root)
}

// fill reads what is in a folder, and below.
func (t *tree) fill(ctx context.Context, n, parent *inode) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	names, err := readNames(n.path)
	if err != nil {
		return err
	}
	n.links = 2
	n.entries = []entry{{".", n}, {"..", parent}}
	for _, name := range names {
		child, err := t.add(filepath.Join(n.path, name))
		if err != nil {
			return err
		}
		n.entries = append(n.entries, entry{name, child})
	}
	// "." and ".." are names like others: "-" comes before them. Strings compare
	// by bytes, as the kernel does.
	slices.SortFunc(n.entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	n.size = n.dirSize()
	for _, e := range n.entries {
		if e.inode.is(unix.S_IFDIR) && e.name != "." && e.name != ".." {
			n.links++ // its ".."
			if err := t.fill(ctx, e.inode, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// readNames gives the names in a folder, in order.
func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, f.Close())
}

// add reads what is at path, which is another name of an inode that is known if
// it is a hard link.
func (t *tree) add(path string) (*inode, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	id := [2]uint64{st.Dev, st.Ino}
	shared := st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR
	if n := t.links[id]; shared && n != nil {
		n.links++
		return n, nil
	}
	n := &inode{
		mode: st.Mode, uid: st.Uid, gid: st.Gid, rdev: st.Rdev, mtime: st.Mtim,
		links: 1, path: path, serial: uint32(len(t.inodes) + 1),
	}
	switch n.mode & unix.S_IFMT {
	case unix.S_IFREG:
		n.size = st.Size
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		n.target, n.size = target, int64(len(target))
	}
	if err := n.readXattrs(); err != nil {
		return nil, fmt.Errorf("extended attributes of %s: %w", path, err)
	}
	if shared {
		t.links[id] = n
	}
	t.inodes = append(t.inodes, n)
	return n, nil
}

func (n *inode) readXattrs() error {
	names, err := getXattr(func(b []byte) (int, error) { return unix.Llistxattr(n.path, b) })
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	list := strings.FieldsFunc(names, func(r rune) bool { return r == 0 })
	slices.Sort(list)
	for _, name := range list {
		value, err := getXattr(func(b []byte) (int, error) { return unix.Lgetxattr(n.path, name, b) })
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		switch name {
		case OwnerAttribute:
			if n.uid, n.gid, err = parseOwner(value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			continue
		case opaqueOfUser:
			if slices.Contains(list, opaque) {
				continue
			}
			name = opaque
		}
		prefix, rest, ok := splitXattr(name)
		if !ok {
			continue // such as system.nfs4_acl: it belongs to the host's file system
		}
		if len(rest) > math.MaxUint8 || len(value) > math.MaxUint16 {
			return fmt.Errorf("%s: a name of %d bytes, a value of %d: more than the format's 255 and 65,535", name, len(rest), len(value))
		}
		n.xattrs = append(n.xattrs, xattr{prefix, rest, value})
	}
	if (n.xattrSize()-xattrHeader)/4+1 > math.MaxUint16 {
		return fmt.Errorf("they take %d bytes, more than the format's 256 KiB", n.xattrSize())
	}
	return nil
}

// getXattr calls get with a buffer that is large enough (listxattr(2)).
func getXattr(get func([]byte) (int, error)) (string, error) {
	for b := make([]byte, 256); ; b = make([]byte, 64<<10) {
		n, err := get(b)
		if errors.Is(err, unix.ERANGE) && len(b) < 64<<10 {
			continue
		}
		return string(b[:max(n, 0)]), err
	}
}

func parseOwner(s string) (uid, gid uint32, err error) {
	var rest string
	n, err := fmt.Sscanf(s, "%d:%d%s", &uid, &gid, &rest)
	if n != 2 {
		return 0, 0, fmt.Errorf("%.40q is not UID:GID (%v)", s, err)
	}
	return uid, gid, nil
}
