package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"vmctr/images/erofs"
)

// Disks gives a read-only disk for each layer, the lowest first: what a machine
// gets, where a container gets folders. A layer is written as a disk once, for all
// images that have it (package erofs). A whiteout is on the disk as in the folder,
// and hides a file when the disks are joined by an overlay, the lowest first.
//
// The disks stay until the store is closed: prune leaves them alone.
func (i *Image) Disks(ctx context.Context) ([]string, error) {
	// What prune would take, were it not in use yet, it does not take meanwhile.
	w, err := i.store.Writer(ctx)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	ids := i.Config.RootFS.DiffIDs
	paths := make([]string, len(ids))
	missing := map[v1.Hash]int{} // and the number of a layer that is it
	for n, id := range ids {
		paths[n] = i.store.path("disks", id.Hex+".erofs")
		if _, err := os.Stat(paths[n]); errors.Is(err, fs.ErrNotExist) {
			missing[id] = n
		} else if err != nil {
			return nil, err
		}
	}
	if len(missing) > 0 {
		if err := i.makeDisks(ctx, missing, paths); err != nil {
			return nil, fmt.Errorf("image %s as disks: %w", i.Name, err)
		}
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		err = flock(ctx, f, unix.LOCK_SH)
		if err != nil || !i.store.hold(f) {
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return nil, err
		}
	}
	return paths, nil
}

func (i *Image) makeDisks(ctx context.Context, missing map[v1.Hash]int, paths []string) error {
	dirs, err := i.Unpack(ctx)
	if err != nil {
		return err
	}
	l, err := Lock(ctx, i.store.path("disks.lock"), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer l.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for id, n := range missing {
		g.Go(func() error {
			if err := writeDisk(ctx, dirs[n], paths[n]); err != nil {
				return fmt.Errorf("layer %s: %w", id, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// writeDisk writes under another name first, so that a disk with the name of a
// layer is always whole, after a loss of power too.
func writeDisk(ctx context.Context, dir, path string) (err error) {
	if _, err := os.Stat(path); err == nil {
		return nil // while we waited for the lock, another process has
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // an interrupted one's too
	if err != nil {
		return err
	}
	err = erofs.Write(ctx, f, dir)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		os.Remove(part)
	}
	return err
}
