package images

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Unpack extracts one layer, a tar archive, into dir, which it makes. A layer
// comes from outside and is not trusted: every name is resolved by [os.Root],
// which refuses a path that leaves dir, through ".." or a symbolic link.
//
// Folders, files and symbolic links are supported. Hard links, device nodes
// and whiteouts (image-spec, layer.md) are refused by name for now.
func Unpack(ctx context.Context, r io.Reader, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := unpackEntry(root, h, tr); err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
	}
}

func unpackEntry(root *os.Root, h *tar.Header, content io.Reader) error {
	name := path.Clean(strings.TrimLeft(h.Name, "/"))
	if !fs.ValidPath(name) {
		return errors.New("the name leaves the image")
	}
	if strings.HasPrefix(path.Base(name), ".wh.") {
		return errors.New("whiteouts are not supported yet")
	}
	if parent := path.Dir(name); parent != "." {
		if err := root.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	mode := h.FileInfo().Mode()
	perm := mode.Perm() | mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)
	switch h.Typeflag {
	case tar.TypeDir:
		// A folder joins one that is there, and replaces anything else: above
		// all a link, which chmod would follow.
		if have, err := root.Lstat(name); err == nil && !have.IsDir() {
			if err := root.Remove(name); err != nil {
				return err
			}
		}
		if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case tar.TypeReg:
		// A file replaces what a lower layer, or the archive itself, put there.
		if err := root.RemoveAll(name); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := root.RemoveAll(name); err != nil {
			return err
		}
		if err := root.Symlink(h.Linkname, name); err != nil {
			return err
		}
		return chown(root, name, h)
	default:
		return fmt.Errorf("type %q is not supported yet", string(h.Typeflag))
	}
	if err := chown(root, name, h); err != nil {
		return err
	}
	// After the owner: a change of owner clears the set-user-ID bit.
	if err := root.Chmod(name, perm); err != nil {
		return err
	}
	return root.Chtimes(name, h.ModTime, h.ModTime)
}

// chown gives an entry its owner. Only root can; without root all files belong
// to the user, who can then still use them.
func chown(root *os.Root, name string, h *tar.Header) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return root.Lchown(name, h.Uid, h.Gid)
}
