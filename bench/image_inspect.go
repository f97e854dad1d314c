package main

import (
	"context"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/images"
)

type imageInspectCommand struct {
	Name     string `arg:"" help:"The image, by its name or its digest."`
	Platform string `help:"Of the images of several platforms, the one for this. Default: this host's." placeholder:"OS/ARCH[/VARIANT]"`
}

// Run prints all that the image says of itself, and what of it is here.
func (c *imageInspectCommand) Run(s streams) error {
	return withStore(func(ctx context.Context, store *images.Store) error {
		img, err := findImage(store, c.Name, c.Platform)
		if err != nil {
			return err
		}
		m, err := img.Manifest()
		if err != nil {
			return err
		}
		layers, err := img.Layers(ctx)
		if err != nil {
			return err
		}
		return printJSON(s.out, struct {
			Name     string         `json:"name"`
			Digest   string         `json:"digest"`
			Platform string         `json:"platform"`
			Manifest *v1.Manifest   `json:"manifest"`
			Config   *v1.ConfigFile `json:"config"`
			Layers   []images.Layer `json:"layers"`
		}{img.Name, img.Digest, images.FormatPlatform(img.Platform()), m, img.Config, layers})
	})
}
