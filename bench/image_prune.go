package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vmctr/images"
	"vmctr/vm"
	"vmctr/vm/cache"
)

type imagePruneCommand struct {
	DryRun bool `help:"Only say what would go."`
}

// prunePatience is how long prune waits for those who write to the store.
const prunePatience = time.Minute

// Run removes what no name leads to.
func (c *imagePruneCommand) Run(s streams) error {
	return withStore(func(ctx context.Context, store *images.Store) error {
		ctx, cancel := context.WithTimeoutCause(ctx, prunePatience, errors.New("another bench has pulled, built or imported for a minute: try again when it is done"))
		defer cancel()
		p, err := store.Prune(ctx, c.DryRun)
		verb := map[bool]string{false: "freed", true: "would free"}[c.DryRun]
		if err == nil || p.Bytes > 0 {
			fmt.Fprintf(s.out, "%s %s: %d blobs, %d that were never whole, %d unpacked layers\n", verb, bytesText(p.Bytes), p.Blobs, p.Partials, p.Layers)
		}
		if p.InUse > 0 {
			fmt.Fprintf(s.out, "%d unpacked layers that no image has any more are in use, and stay\n", p.InUse)
		}
		if err != nil {
			return err
		}
		// The archives that machines have booted from are made again when they are
		// wanted.
		archives, bytes, err := cache.Prune(vm.BaseDir(cacheDir()), cache.Limits{}, c.DryRun)
		if len(archives) > 0 {
			fmt.Fprintf(s.out, "%s %s: %d kept parts of an initramfs\n", verb, bytesText(bytes), len(archives))
		}
		return err
	})
}
