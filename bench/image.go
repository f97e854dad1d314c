package main

import (
	"context"
	"fmt"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/images"
)

// imageCommand is what can be done with images: a verb each, in a file of its
// own.
type imageCommand struct {
	Pull    imagePullCommand    `cmd:"" help:"Get an image from a registry, as docker pull does."`
	Push    imagePushCommand    `cmd:"" help:"Bring an image to a registry, as docker push does."`
	Import  imageImportCommand  `cmd:"" help:"Read images from an archive, as docker load does, or from an OCI image layout."`
	Export  imageExportCommand  `cmd:"" help:"Write images to an archive, as docker save does."`
	Copy    imageCopyCommand    `cmd:"" help:"Copy an image between the store, registries, layouts and archives, as skopeo copy does."`
	Ls      imageLsCommand      `cmd:"" aliases:"list" help:"List the images that are here."`
	Inspect imageInspectCommand `cmd:"" help:"Show all that an image says of itself, as JSON."`
	History imageHistoryCommand `cmd:"" help:"Show the steps that made an image, and the layer that each made."`
	Layers  imageLayersCommand  `cmd:"" help:"Draw which layers images share, and count what that saves."`
	Verify  imageVerifyCommand  `cmd:"" help:"Check every byte of images against their digests."`
	Rm      imageRmCommand      `cmd:"" help:"Take the names of images away."`
	Prune   imagePruneCommand   `cmd:"" help:"Remove what no image has any more, to free room."`
	Build   imageBuildCommand   `cmd:"" help:"Make an image from a recipe and Debian's packages, without a registry."`
}

// openStore opens the store of images, which every command uses.
func openStore() (*images.Store, error) {
	return images.Open(filepath.Join(cacheDir(), "images"))
}

// withStore opens the store for a verb, until that returns or the user interrupts.
func withStore(do func(ctx context.Context, store *images.Store) error) error {
	ctx, stop := interruptible()
	defer stop()
	store, err := openStore()
	if err != nil {
		return err
	}
	defer store.Close()
	return do(ctx, store)
}

// withWriter is withStore for a verb that adds to the store.
func withWriter(do func(ctx context.Context, w *images.Writer) error) error {
	return withStore(func(ctx context.Context, store *images.Store) error {
		w, err := store.Writer(ctx)
		if err != nil {
			return err
		}
		defer w.Close()
		return do(ctx, w)
	})
}

// parsePlatform reads the flag --platform; without it the platform is the zero one.
func parsePlatform(flag string) (p v1.Platform, err error) {
	if flag == "" {
		return p, nil
	}
	if p, err = images.ParsePlatform(flag); err != nil {
		err = fmt.Errorf("--platform: %w", err)
	}
	return p, err
}
