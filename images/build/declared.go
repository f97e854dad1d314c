package build

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"path"
)

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
