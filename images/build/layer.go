package build

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// system is what the layers so far have made, as far as the next has to know.
type system struct {
	accounts
	packages []installed
	folders  map[string]tar.Header // those that are not root's, with mode 0755
	links    map[string]bool       // the folders of merged that are links already
}

func (s system) clone() system {
	s.packages, s.folders, s.links = slices.Clone(s.packages), maps.Clone(s.folders), maps.Clone(s.links)
	if s.folders == nil {
		s.folders, s.links = map[string]tar.Header{}, map[string]bool{}
	}
	return s
}

// layer is a set of files by path, relative to the root, before it is written.
type layer struct {
	entries map[string]*entry
	date    time.Time
	spools  []*os.File
}

// entry is one of them. Its header has no name: that is its path.
type entry struct {
	header tar.Header
	file   *file  // of a regular file; several names of one have the same
	owner  string // the package that it is from, or "" for the recipe
}

// implied is the owner of a folder that nobody has, though something is in it.
const implied = "-"

// file is the content of a regular file, and where to read it.
type file struct {
	from   io.ReaderAt
	offset int64
	size   int64
}

func (f *file) reader() *io.SectionReader { return io.NewSectionReader(f.from, f.offset, f.size) }

func (f *file) bytes() ([]byte, error) { return io.ReadAll(f.reader()) }

// close gives back what the layer holds on the disk.
func (l *layer) close() error {
	var errs []error
	for _, f := range l.spools {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// debFile is a package on the disk, with the SHA-256 that it is to have.
type debFile struct{ path, sha256 string }

// makeLayer puts together the layer p from its packages, on what is below.
// Temporary files are in dir, and have no names.
func makeLayer(ctx context.Context, p part, debs []debFile, below system, date time.Time, dir string) (l *layer, after system, err error) {
	l = &layer{entries: map[string]*entry{}, date: date}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", p, err), l.close())
		}
	}()
	after = below.clone()
	unpacked, err := l.unpack(ctx, debs, dir)
	if err != nil {
		return l, after, err
	}
	var added []installed
	for _, u := range unpacked {
		if err := l.merge(u, &after); err != nil {
			return l, after, err
		}
		added = append(added, u.installed)
	}
	if err := l.declared(p, &after); err != nil {
		return l, after, err
	}
	maps.DeleteFunc(l.entries, func(name string, e *entry) bool { return e.owner != "" && p.leftOut(name) })
	l.database(below.packages, added)
	after.packages = append(after.packages, added...)
	if err := l.parents(&after); err != nil {
		return l, after, err
	}
	return l, after, nil
}

// unpackedDeb is a package with its entries, in its order.
type unpackedDeb struct {
	installed
	names   []string // of the entries, as the package has them
	entries []*entry
	spool   *os.File
}

// unpack decompresses packages, several at once, to files from which the layer
// is written later: the entries of a layer are sorted, and a package may be far
// larger than the memory. The packages come in the order of their names.
func (l *layer) unpack(ctx context.Context, debs []debFile, dir string) ([]*unpackedDeb, error) {
	all := make([]*unpackedDeb, len(debs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, deb := range debs {
		group.Go(func() error {
			f, err := os.Open(deb.path)
			if err != nil {
				return err
			}
			defer f.Close()
			spool, err := os.CreateTemp(dir, "unpacked-*")
			if err != nil {
				return err
			}
			u := &unpackedDeb{spool: spool}
			all[i] = u
			if err := os.Remove(spool.Name()); err != nil { // it goes when it is closed
				return err
			}
			sum := sha256.New()
			content := io.TeeReader(f, sum)
			if err = u.read(ctx, content); err == nil {
				_, err = io.Copy(io.Discard, content) // what follows the archive
			}
			if got := hex.EncodeToString(sum.Sum(nil)); err == nil && got != deb.sha256 {
				err = fmt.Errorf("it has the SHA-256 %s, and not the one that it came with: it was changed, or the disk is failing; remove it", got)
			}
			if err != nil {
				return fmt.Errorf("package %s: %w", deb.path, err)
			}
			return nil
		})
	}
	err := group.Wait()
	for _, u := range all {
		if u != nil {
			l.spools = append(l.spools, u.spool)
		}
	}
	slices.SortFunc(all, func(a, b *unpackedDeb) int {
		if a == nil || b == nil {
			return 0 // there was an error
		}
		return strings.Compare(a.infoName(), b.infoName())
	})
	return all, err
}

// read reads a package: its content goes to the spool.
func (u *unpackedDeb) read(ctx context.Context, r io.Reader) error {
	deb, err := ReadDeb(r)
	if err != nil {
		return err
	}
	u.control, u.info, u.sums = deb.Control, deb.Info, map[string]string{}
	conffiles := u.conffiles()
	byName := map[string]*entry{}
	var offset int64
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		h, err := deb.Data.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: data.tar: %w", errDeb, err)
		}
		name := path.Clean("/" + h.Name)
		if name == "/" {
			u.list = append(u.list, "/.")
			continue
		}
		u.list = append(u.list, name)
		e := &entry{owner: u.name(), header: tar.Header{
			Typeflag: h.Typeflag, Linkname: h.Linkname, Mode: h.Mode & 0o7777, Uid: h.Uid, Gid: h.Gid, ModTime: h.ModTime,
		}}
		switch h.Typeflag {
		case tar.TypeDir:
		case tar.TypeSymlink:
			e.header.Mode = 0o777
		case tar.TypeReg:
			sum := md5.New()
			var to io.Writer = u.spool
			isConf := slices.Contains(conffiles, name)
			if isConf {
				to = io.MultiWriter(u.spool, sum)
			}
			n, err := io.Copy(to, deb.Data)
			if err != nil {
				return fmt.Errorf("%s: %w", h.Name, err)
			}
			if isConf {
				u.sums[name] = hex.EncodeToString(sum.Sum(nil))
			}
			e.file = &file{u.spool, offset, n}
			offset += n
		case tar.TypeLink:
			target := byName[path.Clean("/"+h.Linkname)]
			if target == nil || target.file == nil {
				return fmt.Errorf("%w: data.tar: %s is another name of %s, which does not come before", errDeb, h.Name, h.Linkname)
			}
			*e = *target
		default:
			return fmt.Errorf("%w: data.tar: %s is of type %q", errDeb, h.Name, h.Typeflag)
		}
		byName[name] = e
		u.names = append(u.names, h.Name)
		u.entries = append(u.entries, e)
	}
}

// merge adds a package's files.
func (l *layer) merge(u *unpackedDeb, s *system) error {
	for i, e := range u.entries {
		name, link, err := place(u.names[i])
		if err != nil {
			return fmt.Errorf("package %s: %w", u.name(), err)
		}
		l.link(link, s)
		if link != "" && name == merged[link] && e.header.Typeflag == tar.TypeSymlink {
			continue // the package has the link itself
		}
		have := l.entries[name]
		switch {
		case have == nil:
		case have.header.Typeflag == tar.TypeDir && e.header.Typeflag == tar.TypeDir:
			if !plain(have.header) {
				continue // the first that says something counts
			}
		case have.header.Typeflag == tar.TypeSymlink && e.header.Typeflag == tar.TypeSymlink && have.header.Linkname == e.header.Linkname:
			continue
		case u.replaces(have.owner):
		default:
			return fmt.Errorf("the packages %s and %s both have /%s", have.owner, u.name(), name)
		}
		l.entries[name] = e
	}
	return nil
}

// replaces tells whether a package says that it may overwrite files of another
// (Debian policy, 7.6.1).
func (u *unpackedDeb) replaces(other string) bool {
	for r := range strings.SplitSeq(u.control.Get("Replaces"), ",") {
		if name, _, _ := strings.Cut(strings.TrimSpace(r), " "); name == other {
			return true
		}
	}
	return false
}

// plain tells whether a folder is as folders are when nothing is said of them.
func plain(h tar.Header) bool { return h.Mode == 0o755 && h.Uid == 0 && h.Gid == 0 }

// link makes a folder that has moved a link to where it is now.
func (l *layer) link(old string, s *system) {
	if old == "" || s.links[old] {
		return
	}
	s.links[old] = true
	l.symlink(old, relative(old, merged[old]))
}

func (l *layer) symlink(name, target string) {
	l.entries[name] = &entry{header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777, ModTime: l.date}}
}

// file adds a file of root's, with this content.
func (l *layer) file(name string, mode int64, content []byte) *entry {
	e := &entry{header: tar.Header{Typeflag: tar.TypeReg, Mode: mode, ModTime: l.date}, file: &file{bytes.NewReader(content), 0, int64(len(content))}}
	l.entries[name] = e
	return e
}

// declared adds what the recipe itself says: folders, files, links, users.
func (l *layer) declared(p part, s *system) error {
	at := func(name string) (string, error) {
		where, link, err := place(name)
		l.link(link, s)
		return where, err
	}
	owners := map[string]string{} // by path; known when the users are
	for _, name := range sorted(p.Folders) {
		where, err := at(name)
		if err != nil {
			return err
		}
		f := p.Folders[name]
		l.entries[where] = &entry{header: tar.Header{Typeflag: tar.TypeDir, Mode: int64(f.Mode.or(0o755)), ModTime: l.date}}
		owners[where] = f.Owner
	}
	content := map[string][]byte{}
	for _, name := range sorted(p.Files) {
		b, err := l.content(p, p.Files[name])
		if err != nil {
			return fmt.Errorf("file %s: %w", name, err)
		}
		content[name] = b // before any is replaced: one may be a copy of another
	}
	for _, name := range sorted(p.Files) {
		where, err := at(name)
		if err != nil {
			return err
		}
		l.file(where, int64(p.Files[name].Mode.or(0o644)), content[name])
		owners[where] = p.Files[name].Owner
	}
	for name, target := range p.links() {
		where, err := at(name)
		if err != nil {
			return err
		}
		l.symlink(where, target)
	}
	if err := l.users(p, s); err != nil {
		return err
	}
	for where, owner := range owners {
		uid, gid, err := s.find(owner)
		if err != nil {
			return fmt.Errorf("/%s: %w", where, err)
		}
		l.entries[where].header.Uid, l.entries[where].header.Gid = uid, gid
	}
	return nil
}

func (m Mode) or(other Mode) Mode {
	if m == 0 {
		return other
	}
	return m
}

// content is that of a file of the recipe.
func (l *layer) content(p part, f File) ([]byte, error) {
	switch {
	case f.Source != "":
		return fs.ReadFile(p.recipe.dir, f.Source)
	case f.Copy == "":
		return []byte(f.Content), nil
	}
	pattern, _, err := place(f.Copy)
	if err != nil {
		return nil, err
	}
	var all []byte
	found := false
	for _, name := range sorted(l.entries) {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, fmt.Errorf("copying %s: %w", f.Copy, err)
		}
		if e := l.entries[name]; ok && e.file != nil {
			b, err := e.file.bytes()
			if err != nil {
				return nil, err
			}
			all, found = append(all, b...), true
		}
	}
	if !found {
		return nil, fmt.Errorf("copying %s: no package of this layer has such a file", f.Copy)
	}
	return all, nil
}

// users adds the users to /etc/passwd and /etc/group, which may be new.
func (l *layer) users(p part, s *system) error {
	for name, to := range map[string]*string{"etc/passwd": &s.passwd, "etc/group": &s.group} {
		if e := l.entries[name]; e != nil && e.file != nil {
			b, err := e.file.bytes()
			if err != nil {
				return err
			}
			*to = string(b)
		}
	}
	for _, u := range p.Users {
		if err := s.add(u); err != nil {
			return err
		}
	}
	if len(p.Users) > 0 {
		l.file("etc/passwd", 0o644, []byte(s.passwd))
		l.file("etc/group", 0o644, []byte(s.group))
	}
	return nil
}

// parents adds the folders that files are in and nobody has named, and gives
// those that a layer below has the attributes that they have there: the upper
// layer's folder hides the lower's.
func (l *layer) parents(s *system) error {
	for _, name := range sorted(l.entries) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			e := l.entries[dir]
			if e == nil {
				l.entries[dir] = &entry{owner: implied, header: tar.Header{Typeflag: tar.TypeDir, Mode: 0o755, ModTime: l.date}}
			} else if e.header.Typeflag != tar.TypeDir {
				return fmt.Errorf("/%s is in /%s, which is no folder", name, dir)
			}
		}
	}
	for name, e := range l.entries {
		if e.header.Typeflag != tar.TypeDir {
			continue
		}
		if h, ok := s.folders[name]; ok && e.owner != "" {
			h.ModTime = e.header.ModTime
			e.header = h
		}
		if !plain(e.header) {
			s.folders[name] = e.header
		}
	}
	return nil
}
