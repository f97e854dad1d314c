package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"vmctr/images"
)

type imageExportCommand struct {
	Names    []string      `arg:"" help:"The images."`
	Output   string        `short:"o" default:"-" placeholder:"FILE" help:"Where to write the archive, standard output without it."`
	Format   images.Format `enum:"oci,docker" default:"oci" help:"oci is a layout that docker load reads too; docker is what docker save wrote before version 25, for older tools. ${enum}"`
	Platform string        `placeholder:"OS/ARCH" help:"Only the image for this platform, of those that are here."`
}

func (c imageExportCommand) Run(s streams) error {
	if c.Output == "-" && isTerminal(s.out) {
		return usageError("an archive is nothing for a terminal: give -o FILE")
	}
	return withStore(func(ctx context.Context, store *images.Store) error {
		var list []images.Named
		for _, name := range c.Names {
			n, err := findNamed(store, name, c.Platform)
			if err != nil {
				return err
			}
			list = append(list, n)
		}
		return writeArchive(c.Output, s.out, func(to io.Writer) error { return store.Export(ctx, to, c.Format, list...) })
	})
}

// findNamed finds what a name stands for in the store: with a platform, the
// image for that.
func findNamed(store *images.Store, name, platform string) (images.Named, error) {
	if platform == "" {
		n, err := store.Named(name)
		if err != nil {
			return n, missingImage(err)
		}
		return n, nil
	}
	img, err := findImage(store, name, platform)
	if err != nil {
		return images.Named{}, err
	}
	return img.Named(), nil
}

// writeArchive writes a file, whole or not at all, or to out for "-".
func writeArchive(path string, out io.Writer, write func(io.Writer) error) (err error) {
	if path == "-" {
		b := bufio.NewWriterSize(out, 256<<10)
		return errors.Join(write(b), b.Flush())
	}
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() { // a pipe, /dev/null
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".image-")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	b := bufio.NewWriterSize(f, 256<<10)
	err = write(b)
	if err := errors.Join(err, b.Flush(), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
