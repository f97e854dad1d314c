package main

import (
	"context"
	"fmt"
	"slices"

	"vmctr/images"
)

type imageVerifyCommand struct {
	Names []string `arg:"" optional:"" name:"name" help:"The images. Default: all."`
}

// Run reads all of the images, and says of each whether every byte is what its
// digest promises.
func (c *imageVerifyCommand) Run(s streams) error {
	return withStore(func(ctx context.Context, store *images.Store) error {
		names, err := namesOf(store, c.Names)
		if err != nil {
			return err
		}
		problems, err := store.Verify(ctx, names...)
		if err != nil {
			return err
		}
		bad := map[string]bool{}
		for _, p := range problems {
			bad[p.Image] = true
		}
		for _, name := range names {
			if !bad[name] {
				fmt.Fprintf(s.out, "%s: ok\n", name)
				continue
			}
			for _, p := range problems {
				if p.Image == name {
					fmt.Fprintf(s.out, "%s: %v\n", name, p.Err)
				}
			}
		}
		if len(bad) > 0 {
			return &exitError{exitFailed, fmt.Errorf("%d of %d images are damaged; bench image rm and prune remove one, and to pull, build or import it brings it again", len(bad), len(names))}
		}
		return nil
	})
}

// namesOf are the full names of images, each once; of all images if none are
// named.
func namesOf(store *images.Store, refs []string) ([]string, error) {
	var names []string
	if len(refs) == 0 {
		all, err := store.Names()
		if err != nil {
			return nil, err
		}
		for _, n := range all {
			names = append(names, n.Name)
		}
		return names, nil
	}
	for _, ref := range refs {
		n, err := store.Named(ref)
		if err != nil {
			return nil, missingImage(err)
		}
		if !slices.Contains(names, n.Name) {
			names = append(names, n.Name)
		}
	}
	return names, nil
}
