package main

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/images"
)

type imagePullCommand struct {
	Ref string `arg:"" name:"ref" help:"The image, as docker pull takes it: [HOST[:PORT]/]NAME[:TAG][@DIGEST]."`
	platformFlags
	registryFlags
}

func (c imagePullCommand) Run(s streams) error {
	familiar, err := images.FamiliarName(c.Ref)
	if err != nil {
		return err
	}
	choose, err := c.choose(familiar)
	if err != nil {
		return err
	}
	return withWriter(func(ctx context.Context, w *images.Writer) error {
		before, err := descriptorOf(w.Store(), familiar)
		if err != nil {
			return err
		}
		client, done := c.client(s)
		d, n, err := client.Pull(ctx, w, c.Ref, choose)
		done()
		if err != nil {
			return err
		}
		if err := w.Tag(c.Ref, d); err != nil {
			return err
		}
		if !c.Quiet {
			status := "Downloaded newer image for " + familiar
			if before == d.Digest && n.Bytes == 0 {
				status = "Image is up to date for " + familiar
			}
			fmt.Fprintf(s.out, "Digest: %s\nStatus: %s\n", d.Digest, status)
			fmt.Fprintf(s.err, "%s came, and %s were here\n", transferredBlobs(n.Blobs, n.Bytes), transferredBlobs(n.PresentBlobs, n.PresentBytes))
		}
		fmt.Fprintln(s.out, familiar)
		return nil
	})
}

// transferredBlobs says how many, and how large.
func transferredBlobs(n int, bytes int64) string {
	if n == 1 {
		return "1 blob of " + bytesText(bytes)
	}
	return fmt.Sprintf("%d blobs of %s", n, bytesText(bytes))
}

// descriptorOf is the digest that a name has in the store, the zero one if it is
// not there.
func descriptorOf(store *images.Store, familiar string) (v1.Hash, error) {
	n, err := store.Named(familiar)
	if errors.As(err, new(*images.NotFoundError)) {
		err = nil
	}
	return n.Descriptor.Digest, err
}
