package build

import (
	"archive/tar"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

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
