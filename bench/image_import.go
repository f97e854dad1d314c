package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"vmctr/images"
)

type imageImportCommand struct {
	File  string `arg:"" help:"The archive: of docker save, or of an OCI image layout, compressed or not; - is standard input. Or the folder of a layout."`
	Name  string `arg:"" optional:"" help:"The image's name from now on. Without it, those that the archive gives."`
	Quiet bool   `short:"q" help:"Print the names only."`
}

func (c imageImportCommand) Run(s streams) error {
	return withWriter(func(ctx context.Context, w *images.Writer) error {
		list, err := importFile(ctx, w, c.File)
		if err != nil {
			return err
		}
		if c.Name != "" {
			n, err := only(list)
			if err != nil {
				return fmt.Errorf("%s cannot be named %s: %w", c.File, c.Name, err)
			}
			list = []images.Named{{Name: c.Name, Descriptor: n.Descriptor}}
		}
		for _, n := range list {
			if n.Name == "" {
				return fmt.Errorf("%s gives no name to its image %s: bench image import %[1]s NAME gives it one", c.File, n.Descriptor.Digest)
			}
		}
		for _, n := range list {
			if err := w.Tag(n.Name, n.Descriptor); err != nil {
				return err
			}
			familiar, err := images.FamiliarName(n.Name)
			if err != nil {
				return err
			}
			if c.Quiet {
				fmt.Fprintln(s.out, familiar)
			} else {
				fmt.Fprintf(s.out, "Loaded image: %s (%s)\n", familiar, n.Descriptor.Digest)
			}
		}
		return nil
	})
}

// importFile reads what a path is: a layout's folder or an archive.
func importFile(ctx context.Context, w *images.Writer, path string) ([]images.Named, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return w.ImportLayout(ctx, path, "")
	}
	var in io.Reader = os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	} else if isTerminal(os.Stdin) {
		return nil, usageError("an archive is expected on standard input, which is a terminal")
	}
	list, err := w.Import(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// only is the image if there is one, by whatever number of names.
func only(list []images.Named) (images.Named, error) {
	for _, n := range list {
		if n.Descriptor.Digest != list[0].Descriptor.Digest {
			var names []string
			for _, n := range list {
				if n.Name == "" {
					n.Name = n.Descriptor.Digest.String()
				}
				names = append(names, n.Name)
			}
			return images.Named{}, fmt.Errorf("it has several images, %s: bench image copy takes one, oci:DIR:TAG, oci-archive:FILE:NAME or docker-archive:FILE:NAME", strings.Join(names, " and "))
		}
	}
	if len(list) == 0 {
		return images.Named{}, fmt.Errorf("it has no image")
	}
	return list[0], nil
}
