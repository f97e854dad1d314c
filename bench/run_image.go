package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/images"
)

// imageTree is an image ready to run: its layers' folders, the lowest first,
// and its configuration.
type imageTree struct {
	name   string
	dirs   []string
	config v1.Config
	// disks gives the layers as disks, for a machine; nil for a folder.
	disks func(context.Context) ([]string, error)
}

// openImage finds an image by the name that the user gave, and asks check whether
// what runs it can.
func openImage(ctx context.Context, name, platform string, check func(*images.Image) error) (imageTree, error) {
	var img *images.Image
	p, err := parsePlatform(platform)
	if err != nil {
		return imageTree{}, err
	}
	switch layout, isLayout := strings.CutPrefix(name, "oci:"); {
	case name == images.WorkloadName:
		img, err = workloadOn(ctx, p)
	case isLayout:
		dir, tag, _ := strings.Cut(layout, ":")
		img, err = imported(ctx, name, p, func(w *images.Writer) ([]images.Named, error) { return w.ImportLayout(ctx, dir, tag) })
	case strings.HasPrefix(name, "/") || strings.HasPrefix(name, "."):
		var st os.FileInfo
		if st, err = os.Stat(name); err != nil {
			return imageTree{}, fmt.Errorf("opening the image: %w", err)
		}
		switch {
		case !st.IsDir():
			img, err = imported(ctx, name, p, func(w *images.Writer) ([]images.Named, error) { return importFile(ctx, w, name) })
		case images.IsLayout(name):
			img, err = imported(ctx, name, p, func(w *images.Writer) ([]images.Named, error) { return w.ImportLayout(ctx, name, "") })
		default:
			dir, err := filepath.Abs(name)
			return imageTree{name: name, dirs: []string{dir}}, err
		}
	default:
		img, err = named(name, p)
	}
	if err == nil {
		err = check(img)
	}
	if err != nil {
		return imageTree{}, err
	}
	dirs, err := img.Unpack(ctx)
	if err != nil {
		return imageTree{}, err
	}
	return imageTree{name: name, dirs: dirs, config: img.Config.Config, disks: img.Disks}, nil
}

// named finds an image of the store.
func named(name string, p v1.Platform) (*images.Image, error) {
	store, err := openStore()
	if err != nil {
		return nil, err
	}
	img, err := store.Image(name, p)
	switch {
	case !errors.As(err, new(*images.NotFoundError)):
	case hasRecipe(name):
		err = fmt.Errorf("%w; bench image build %s makes it", err, strings.TrimSuffix(name, ":latest"))
	default:
		err = fmt.Errorf("%w; bench image pull, build or import brings one, and a path begins with a slash or a dot (./%s)", err, name)
	}
	return img, err
}

// imported brings the image of a path into the store, where its layers are
// unpacked once. It gets no name there.
func imported(ctx context.Context, path string, p v1.Platform, read func(*images.Writer) ([]images.Named, error)) (*images.Image, error) {
	store, err := openStore()
	if err != nil {
		return nil, err
	}
	w, err := store.Writer(ctx)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	list, err := read(w)
	if err != nil {
		return nil, err
	}
	n, err := only(list)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	n.Name = path
	return store.Resolve(n, p)
}
