package main

import (
	"context"
	"fmt"

	"vmctr/images"
	"vmctr/images/registry"
)

type imagePushCommand struct {
	Name     string `arg:"" help:"The image."`
	Ref      string `arg:"" optional:"" help:"Its name in the registry, [HOST[:PORT]/]NAME[:TAG], if that is another one."`
	Platform string `placeholder:"OS/ARCH" help:"Only the image for this platform, and not the index."`
	registryFlags
}

func (c imagePushCommand) Run(s streams) error {
	return withStore(func(ctx context.Context, store *images.Store) error {
		n, err := findNamed(store, c.Name, c.Platform)
		if err != nil {
			return err
		}
		ref := c.Ref
		if ref == "" {
			ref = n.Name
		}
		familiar, err := images.FamiliarName(ref)
		if err != nil {
			return err
		}
		client, done := c.client(s)
		sent, err := client.Push(ctx, store, n, ref)
		done()
		if err != nil {
			return err
		}
		if !c.Quiet {
			fmt.Fprintf(s.out, "Digest: %s\n", n.Descriptor.Digest)
			if sent == (registry.Transferred{}) {
				fmt.Fprintln(s.err, "the registry has it already")
			} else {
				fmt.Fprintf(s.err, "%s went, and %s were there\n", transferredBlobs(sent.Blobs, sent.Bytes), transferredBlobs(sent.PresentBlobs, sent.PresentBytes))
			}
		}
		fmt.Fprintln(s.out, familiar)
		return nil
	})
}
