package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/images"
)

type imageCopyCommand struct {
	Source      string `arg:"" help:"NAME in the store, docker://REF in a registry, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:REF]."`
	Destination string `arg:"" help:"The same; a file is made anew, and in a layout other images stay."`
	platformFlags
	registryFlags
}

// place is one end of a copy, as containers-transports(5) writes it.
type place struct {
	transport string // "" for the store
	at        string // a name, a reference, a path
	name      string // in a layout or an archive
}

func parsePlace(s string) place {
	if ref, ok := strings.CutPrefix(s, "docker://"); ok {
		return place{"docker", ref, ""}
	}
	for _, t := range []string{"oci", "oci-archive", "docker-archive"} {
		if rest, ok := strings.CutPrefix(s, t+":"); ok {
			at, name, _ := strings.Cut(rest, ":")
			return place{t, at, name}
		}
	}
	return place{"", s, ""}
}

// Run goes through the store: what is copied is in it without a name, until the
// next prune, and if it is copied again nothing has to come again.
func (c imageCopyCommand) Run(s streams) error {
	from, to := parsePlace(c.Source), parsePlace(c.Destination)
	if to.at == "" || from.at == "" {
		return usageError("copy from %q to %q: what is empty is nowhere", c.Source, c.Destination)
	}
	return withWriter(func(ctx context.Context, w *images.Writer) error {
		n, err := c.read(ctx, s, w, from)
		if err != nil {
			return err
		}
		// As skopeo does: of a registry's index one image goes on, unless the
		// store takes it, which may have an index of which not all is there.
		one := c.Platform != "" || from.transport == "docker" && to.transport != "" && !c.AllPlatforms
		if one && n.Descriptor.MediaType.IsIndex() {
			p, err := c.platform()
			if err != nil {
				return err
			}
			img, err := w.Store().Resolve(n, p)
			if err != nil {
				return err
			}
			n = img.Named()
		}
		if err := c.write(ctx, s, w, n, to); err != nil {
			return err
		}
		if !c.Quiet {
			fmt.Fprintf(s.err, "copied %s\n", n.Descriptor.Digest)
		}
		return nil
	})
}

// read brings the source into the store.
func (c imageCopyCommand) read(ctx context.Context, s streams, w *images.Writer, from place) (images.Named, error) {
	var list []images.Named
	var err error
	switch from.transport {
	case "":
		return findNamed(w.Store(), from.at, c.Platform)
	case "docker":
		var choose func([]v1.Descriptor) ([]v1.Descriptor, error)
		if choose, err = c.choose(from.at); err != nil {
			return images.Named{}, err
		}
		familiar, err := images.FamiliarName(from.at)
		if err != nil {
			return images.Named{}, err
		}
		client, done := c.client(s)
		defer done()
		d, _, err := client.Pull(ctx, w, from.at, choose)
		return images.Named{Name: familiar, Descriptor: d}, err
	case "oci":
		list, err = w.ImportLayout(ctx, from.at, from.name)
	default:
		if list, err = importFile(ctx, w, from.at); err == nil && from.name != "" {
			list, err = withName(list, from.name)
		}
	}
	var n images.Named
	if err == nil {
		n, err = only(list)
	}
	if err != nil {
		return n, fmt.Errorf("copying %s: %w", c.Source, err)
	}
	return n, nil
}

// withName are the images with a name of those in an archive.
func withName(list []images.Named, name string) (found []images.Named, err error) {
	familiar, err := images.FamiliarName(name)
	if err != nil {
		return nil, err
	}
	var have []string
	for _, n := range list {
		if n.Name == familiar {
			found = append(found, n)
		}
		have = append(have, n.Name)
	}
	if found == nil {
		return nil, fmt.Errorf("it has no image named %q; it has %q", name, have)
	}
	return found, nil
}

// write brings what is in the store to the destination.
func (c imageCopyCommand) write(ctx context.Context, s streams, w *images.Writer, n images.Named, to place) error {
	switch to.transport {
	case "":
		return w.Tag(to.at, n.Descriptor)
	case "docker":
		client, done := c.client(s)
		defer done()
		_, err := client.Push(ctx, w.Store(), n, to.at)
		return err
	case "oci":
		if to.name != "" {
			n.Descriptor.Annotations = map[string]string{"org.opencontainers.image.ref.name": to.name}
		}
		return w.Store().ExportLayout(ctx, to.at, n)
	}
	if n.Name = to.name; n.Name != "" {
		familiar, err := images.FamiliarName(n.Name)
		if err != nil {
			return err
		}
		n.Name = familiar
	}
	format := images.FormatOCI
	if to.transport == "docker-archive" {
		format = images.FormatDocker
	}
	if dir := filepath.Dir(to.at); dir != "." {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return writeArchive(to.at, s.out, func(out io.Writer) error { return w.Store().Export(ctx, out, format, n) })
}
