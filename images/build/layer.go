package build

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// system is what the layers so far have made, as far as the next has to know.
type system struct {
	accounts
	packages []installed
	folders  map[string]tar.Header // those that are not root's, with mode 0755
	links    map[string]bool       // the symbolic links
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
	entries  map[string]*entry
	date     time.Time
	packages map[string]*unpackedDeb
	spools   []*os.File
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
	l = &layer{entries: map[string]*entry{}, date: date, packages: map[string]*unpackedDeb{}}
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

// merge adds a package's files.
func (l *layer) merge(u *unpackedDeb, s *system) error {
	l.packages[u.name()] = u
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
		case l.packages[have.owner] != nil && l.packages[have.owner].replaces(u.name()):
			continue
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
		if e.header.Typeflag == tar.TypeSymlink {
			s.links[name] = true
		}
		if e.header.Typeflag != tar.TypeDir {
			continue
		}
		if s.links[name] && e.owner != "" {
			return fmt.Errorf("the folder /%s would hide a link of the same name in a layer below; a recipe that wants that has it among its folders", name)
		}
		delete(s.links, name)
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
