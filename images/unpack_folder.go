package images

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Folders of a layer while it is unpacked.
//
// Every file is made by its base name in its parent's descriptor (openat(2),
// mkdirat(2) ...), with no link followed, so what matters is how a parent is
// opened: by openat2(2), for which the layer's folder is a root that nothing
// leads out of. If there is no symbolic link on the way, the name is the path.
// If there is one, it is resolved as chroot(2) would (RESOLVE_IN_ROOT), and the
// kernel says where that led. So each folder has one path here, without links,
// whatever name it came by.
//
// Entries of an archive come folder by folder, hence the last ones stay open.

// folders are those of one tree.
type folders struct {
	root   int    // a descriptor of it
	at     string // its path on the host
	limits Limits
	byName map[string]*folder     // open ones
	later  map[string]*attributes // by path: what folders are to have in the end
	tree   *os.Root               // of root, to remove what is replaced
}

// A folder is an open one.
type folder struct {
	fd   int    // O_PATH
	path string // from the root, without links; "" is the root
}

// A place is a name in a folder, of which nothing is followed.
type place struct {
	*folder
	base string
}

// path is that of the place, from the root and without links.
func (p place) path() string {
	if p.folder.path == "" {
		return p.base
	}
	return p.folder.path + "/" + p.base
}

// keepOpen is how many folders stay open.
const keepOpen = 256

func openFolders(dir string, limits Limits) (*folders, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	tree, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", dir, err), tree.Close())
	}
	f := &folders{root: fd, limits: limits, tree: tree, byName: map[string]*folder{}, later: map[string]*attributes{}}
	// Lists of rights that new files would inherit (acl(5)) are the host's.
	if err := unix.Fremovexattr(fd, "system.posix_acl_default"); err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
		return nil, errors.Join(fmt.Errorf("%s: its default ACL: %w", dir, err), f.closeAll())
	}
	if f.at, err = whereIs(fd); err != nil {
		return nil, errors.Join(err, f.closeAll())
	}
	return f, nil
}

// whereIs is the path of what a descriptor has open, without links.
func whereIs(fd int) (string, error) {
	return os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
}

func (f *folders) closeAll() error {
	f.forget()
	return errors.Join(unix.Close(f.root), f.tree.Close())
}

// forget closes what is open: names may lead elsewhere now.
func (f *folders) forget() {
	for name, d := range f.byName {
		if d.fd != f.root {
			unix.Close(d.fd)
		}
		delete(f.byName, name)
	}
}

// lookup opens the folder of this name, through whatever links; unix.ENOENT says
// that there is none. A folder that it gave before may then be closed, if it was
// not the one before.
func (f *folders) lookup(name string) (*folder, error) {
	if name == "." || name == "" {
		return &folder{f.root, ""}, nil
	}
	if d := f.byName[name]; d != nil {
		return d, nil
	}
	d := &folder{path: name}
	const mode = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	fd, err := f.openat2(name, mode, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_BENEATH)
	if errors.Is(err, unix.ELOOP) {
		if fd, err = f.openat2(name, mode, unix.RESOLVE_IN_ROOT); err == nil {
			d.path, err = f.pathOf(fd)
			if err != nil {
				unix.Close(fd)
				return nil, err
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if len(f.byName) >= keepOpen {
		f.forget()
	}
	d.fd = fd
	f.byName[name] = d
	return d, nil
}

func (f *folders) openat2(name string, flags, resolve uint64) (int, error) {
	for {
		fd, err := unix.Openat2(f.root, name, &unix.OpenHow{Flags: flags, Resolve: resolve | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV})
		switch {
		// EAGAIN: something was renamed while ".." was resolved, anywhere on the host.
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.ENOSYS):
			return fd, fmt.Errorf("openat2: %w (it takes Linux 5.6)", err)
		}
		return fd, err
	}
}

// pathOf is where a folder is, from the root and without links.
func (f *folders) pathOf(fd int) (string, error) {
	at, err := whereIs(fd)
	if err != nil {
		return "", err
	}
	if at == f.at {
		return "", nil
	}
	p, within := strings.CutPrefix(at, f.at+"/")
	if !within {
		return "", fmt.Errorf("its folder %s is not in %s", at, f.at)
	}
	return p, nil
}

// open opens a folder, which it makes if it is not there. A folder that no entry
// describes is root's, and of the time of the entry that needs it, so that the
// same archive always gives the same tree.
func (f *folders) open(name string, mtime unix.Timespec) (*folder, error) {
	d, err := f.lookup(name)
	if err == nil {
		return d, nil
	}
	fail := func(err error) (*folder, error) {
		return nil, fmt.Errorf("opening its folder %q: %w", short(name), err)
	}
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
		return fail(err)
	}
	parent, e := f.open(path.Dir(name), mtime)
	if e != nil {
		return nil, e
	}
	p := place{parent, path.Base(name)}
	if err := f.check(p); err != nil {
		return nil, err
	}
	a := &attributes{mode: 0o755, have: unknown, mtime: mtime}
	var st unix.Stat_t
	switch e := unix.Fstatat(p.fd, p.base, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case errors.Is(e, unix.ENOENT):
	case e != nil:
		return fail(e)
	case isWhiteout(&st):
		// As an entry for the folder would: it is there, and hides lower ones.
		a.opaque = true
		if err := f.remove(p); err != nil {
			return fail(err)
		}
	case st.Mode&unix.S_IFMT == unix.S_IFLNK && errors.Is(err, unix.ENOENT):
		return fail(errors.New("it is a symbolic link that leads nowhere"))
	default:
		return fail(err)
	}
	if err := unix.Mkdirat(p.fd, p.base, 0o700); err != nil {
		return fail(err)
	}
	f.record(p.path(), a)
	if d, err = f.lookup(name); err != nil {
		return fail(err)
	}
	return d, nil
}

// check holds a place against the limits. Its path counts, and not the name that
// it came by, which may be short.
func (f *folders) check(p place) error {
	at := p.path()
	if depth := strings.Count(at, "/") + 1; depth > f.limits.Depth {
		return &LimitError{Limit: "depth of a path", Max: int64(f.limits.Depth), Unit: "names"}
	}
	if len(at) > f.limits.Path {
		return &LimitError{Limit: "length of a path", Max: int64(f.limits.Path), Unit: "bytes"}
	}
	return nil
}

// record notes what a folder is to have in the end. The last one counts.
func (f *folders) record(path string, a *attributes) { f.later[path] = a }

// each calls do with every folder that was recorded and is still there, what is
// in a folder before the folder.
func (f *folders) each(do func(path string, fd int, a *attributes) error) error {
	var paths []string
	for p := range f.later {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range slices.Backward(paths) {
		fd := f.root
		if p != "" {
			var err error
			fd, err = f.openat2(p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_BENEATH)
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
				continue // something else is in its place
			}
			if err != nil {
				return fmt.Errorf("folder %q: %w", p, err)
			}
		}
		err := do(p, fd, f.later[p])
		if fd != f.root {
			unix.Close(fd)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remove removes what is at a place, with all that is in it.
func (f *folders) remove(p place) error {
	var st unix.Stat_t
	if err := unix.Fstatat(p.fd, p.base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("fstatat: %w", err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		// The path has no links, and os.Root follows none that leads out.
		if err := f.tree.RemoveAll(p.path()); err != nil {
			return fmt.Errorf("removing the folder in its place: %w", err)
		}
	default:
		if err := unix.Unlinkat(p.fd, p.base, 0); err != nil {
			return fmt.Errorf("unlinkat: %w", err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			return nil
		}
	}
	f.forgetOthers(p.folder)
	return nil
}

// forgetOthers closes all open folders but one, which is not in what was removed.
func (f *folders) forgetOthers(keep *folder) {
	for name, d := range f.byName {
		if d.fd == keep.fd {
			// By its own path alone: another name may lead elsewhere now.
			delete(f.byName, name)
			continue
		}
		unix.Close(d.fd)
		delete(f.byName, name)
	}
	if keep.fd != f.root {
		f.byName[keep.path] = keep
	}
}
