package images

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// symlink makes a symbolic link, with the target as it is: who follows it is in
// the container.
func (u *unpacker) symlink(p place, target string, a *attributes) error {
	if err := u.replacing(p, func() error { return unix.Symlinkat(target, p.fd, p.base) }); err != nil {
		return fmt.Errorf("symlinkat: %w", err)
	}
	return u.describeAt(p, a)
}

// hardLink gives a file of the layer a second name. A symbolic link is not
// followed: the second name is then one of the link. All else that the entry
// says, the file has from its first.
func (u *unpacker) hardLink(p place, target string) error {
	name, err := inImage(target)
	if err == nil && name == "" {
		err = errors.New("it is the image's root")
	}
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", short(target), err)
	}
	if _, ok, err := parseWhiteout(name); ok || err != nil {
		return fmt.Errorf("hard link to %q, which is a mark and no file", short(target))
	}
	missing := func() error {
		return fmt.Errorf("hard link to %q, which the layer does not hold (in an archive it comes before its links)", short(target))
	}
	parent, err := u.lookup(path.Dir(name))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return missing()
	}
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", short(target), err)
	}
	from := place{parent, path.Base(name)}
	// Looking up a folder can close that of p, if very many are open.
	if p.folder, err = u.lookup(p.folder.path); err != nil {
		return err
	}
	if from.folder, err = u.lookup(parent.path); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(from.fd, from.base, &st, unix.AT_SYMLINK_NOFOLLOW); errors.Is(err, unix.ENOENT) {
		return missing()
	} else if err != nil {
		return fmt.Errorf("hard link to %q: fstatat: %w", short(target), err)
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return fmt.Errorf("hard link to %q, which is a folder", short(target))
	case isWhiteout(&st):
		return fmt.Errorf("hard link to %q, which the layer removes", short(target))
	}
	err = unix.Linkat(from.fd, from.base, p.fd, p.base, 0)
	if errors.Is(err, unix.EEXIST) {
		var have unix.Stat_t
		if err := unix.Fstatat(p.fd, p.base, &have, unix.AT_SYMLINK_NOFOLLOW); err == nil && have.Ino == st.Ino {
			return nil // it is that file's second name already, or its only one
		}
		if have.Mode&unix.S_IFMT == unix.S_IFDIR {
			// The target may be in the folder that has the link's name.
			if strings.HasPrefix(from.path()+"/", p.path()+"/") {
				return fmt.Errorf("hard link to %q, which is in the folder that it would replace", short(target))
			}
		}
		if err := u.remove(p); err != nil {
			return err
		}
		// And what was removed may be the way to the target.
		if p.folder, err = u.lookup(p.folder.path); err != nil {
			return err
		}
		if from.folder, err = u.lookup(from.folder.path); err != nil {
			return err
		}
		err = unix.Linkat(from.fd, from.base, p.fd, p.base, 0)
	}
	if err != nil {
		return fmt.Errorf("hard link to %q: linkat: %w", short(target), err)
	}
	return nil
}
