package main

import (
	"context"
	"errors"
	"fmt"

	"vmctr/images"
)

type imageRmCommand struct {
	Names []string `arg:"" name:"name" help:"The images."`
}

// Run takes names away. The content stays, since other images and running
// containers may use it: prune finds out.
func (c *imageRmCommand) Run(s streams) error {
	return withStore(func(ctx context.Context, store *images.Store) error {
		var errs []error
		removed := 0
		for _, name := range c.Names {
			if err := store.Remove(name); err != nil {
				errs = append(errs, missingImage(err))
				continue
			}
			fmt.Fprintf(s.out, "removed the name %s\n", name)
			removed++
		}
		if removed > 0 {
			p, err := store.Prune(ctx, true)
			switch {
			case err != nil:
				errs = append(errs, err)
			case p.Bytes > 0:
				fmt.Fprintf(s.out, "bench image prune would free %s\n", bytesText(p.Bytes))
			default:
				fmt.Fprintln(s.out, "what it is made of is used by other images, and stays")
			}
		}
		return errors.Join(errs...)
	})
}
