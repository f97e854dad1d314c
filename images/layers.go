package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// An Image is one image of a store.
type Image struct {
	Name   string
	Digest string // of its manifest, "sha256:..."
	Config *v1.ConfigFile

	img        v1.Image
	descriptor v1.Descriptor
	store      *Store
}

// DiffIDs name the layers, the lowest first, by the digest of their
// uncompressed archives.
func (i *Image) DiffIDs() []string {
	var ids []string
	for _, h := range i.Config.RootFS.DiffIDs {
		ids = append(ids, h.String())
	}
	return ids
}

// layers are the layers of the manifest, each with its diff ID at the same
// place in the configuration. A layer's own DiffID method is no check: for want
// of another it gives the digest of the content that is there.
func (i *Image) layers() ([]v1.Layer, error) {
	layers, err := i.img.Layers()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", i.Name, err)
	}
	if have := len(i.Config.RootFS.DiffIDs); have != len(layers) {
		return nil, fmt.Errorf("image %s: its manifest has %d layers, and its configuration %d", i.Name, len(layers), have)
	}
	return layers, nil
}

// Size is the size of all layers, uncompressed, in bytes.
func (i *Image) Size(ctx context.Context) (total int64, err error) {
	layers, err := i.Layers(ctx)
	if err != nil {
		return 0, err
	}
	for _, l := range layers {
		if !l.Stored {
			return 0, fmt.Errorf("image %s: layer %s is not in the store", i.Name, l.Digest)
		}
		total += l.Archive
	}
	return total, nil
}

// Unpack unpacks the layers that are not unpacked yet, several at once, and
// returns the folders of all, the lowest first. Until the store is closed they are
// in use, and prune leaves them.
//
// A folder with the name of a layer is whole: it was unpacked under another
// name, its digest is right, and it was on the disk before it got its name, also
// if the power fails in between. One that is not whole is removed by the next
// that unpacks it. Another process that unpacks the same layer is waited for, as
// long as ctx lasts.
//
// After an error the layers that could be unpacked are there; the next call goes
// on with the others.
func (i *Image) Unpack(ctx context.Context) ([]string, error) {
	layers, err := i.layers()
	if err != nil {
		return nil, err
	}
	dirs := make([]string, len(layers))
	errs := make([]error, len(layers))
	claims := map[string]*claim{}
	for n := range layers {
		id := i.Config.RootFS.DiffIDs[n]
		if err := checkHash(id); err != nil {
			return nil, fmt.Errorf("image %s: diff ID %d: %w", i.Name, n, err)
		}
		dirs[n] = i.store.path("layers", id.Hex)
	}
	var all, last sync.WaitGroup
	unpacked := make(chan *claim, len(layers))
	last.Go(func() { commitAll(ctx, unpacked) })
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for n, l := range layers {
		if claims[dirs[n]] != nil {
			continue // twice in one image, such as an empty one
		}
		c := &claim{path: dirs[n]}
		claims[dirs[n]] = c
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			c.err = c.take(ctx)
			if c.err != nil || c.whole {
				return
			}
			c.err = unpackInto(ctx, c.part(), overlaid, verified{l, i.Config.RootFS.DiffIDs[n]})
			if c.err != nil {
				c.err = errors.Join(c.err, c.giveUp())
				return
			}
			// And it takes no other claim before it has let go of this, or else two
			// images with the same layers could wait for each other.
			unpacked <- c
		})
	}
	all.Wait()
	close(unpacked)
	last.Wait()
	for n := range layers {
		c := claims[dirs[n]]
		if c == nil {
			continue
		}
		delete(claims, dirs[n])
		if c.err != nil {
			errs[n] = fmt.Errorf("image %s: layer %s: %w", i.Name, i.Config.RootFS.DiffIDs[n], c.err)
		}
		if c.f != nil && (c.err != nil || !i.store.hold(c.f)) {
			errs[n] = errors.Join(errs[n], c.f.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return dirs, nil
}

// Rootfs unpacks all layers over each other, once, and returns the folder: the
// whole root file system as one tree, for a platform without an overlay.
func (i *Image) Rootfs(ctx context.Context) (string, error) {
	layers, err := i.layers()
	if err != nil {
		return "", err
	}
	var all []verified
	for n, l := range layers {
		all = append(all, verified{l, i.Config.RootFS.DiffIDs[n]})
	}
	c := &claim{path: i.store.path("rootfs", i.descriptor.Digest.Hex)}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return "", err
	}
	if err := c.take(ctx); err != nil {
		return "", fmt.Errorf("image %s: %w", i.Name, err)
	}
	if !c.whole {
		if err := unpackInto(ctx, c.part(), merged, all...); err != nil {
			return "", errors.Join(fmt.Errorf("image %s: %w", i.Name, err), c.giveUp())
		}
		unpacked := make(chan *claim, 1)
		unpacked <- c
		close(unpacked)
		if commitAll(ctx, unpacked); c.err != nil {
			return "", errors.Join(fmt.Errorf("image %s: %w", i.Name, c.err), c.f.Close())
		}
	}
	if !i.store.hold(c.f) {
		return c.path, c.f.Close()
	}
	return c.path, nil
}

// verified is a layer with the diff ID that it is to have.
type verified struct {
	layer v1.Layer
	id    v1.Hash
}

// unpackInto unpacks layers over each other.
func unpackInto(ctx context.Context, dir string, merge bool, layers ...verified) error {
	u, err := newUnpacker(dir, DefaultLimits, merge)
	if err != nil {
		return err
	}
	for _, l := range layers {
		if err := u.verified(ctx, l); err != nil {
			if len(layers) > 1 {
				err = fmt.Errorf("layer %s: %w", l.id, err)
			}
			return errors.Join(err, u.close())
		}
	}
	return u.close()
}

// verified unpacks a layer and checks that it is the one that its diff ID names.
func (u *unpacker) verified(ctx context.Context, l verified) (err error) {
	blob, err := l.layer.Compressed()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	p, err := newPipeline(blob)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := u.layer(ctx, p); err != nil {
		return err
	}
	u.failing = true
	// What follows the end of the archive is part of the digest.
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, u.room.stream(ctx, p), u.buffer); err != nil {
		return fmt.Errorf("reading the archive to its end: %w", err)
	}
	if have := p.digestOf(); have != l.id {
		return fmt.Errorf("its content has the digest %s", have)
	}
	u.failing = false
	return nil
}

// A claim is a folder that is made once, by one process, while others wait. The
// folder itself is what is locked (flock(2)), so that a lock means nothing any
// more once its folder is gone.
type claim struct {
	path  string
	f     *os.File // locked: shared if the folder is whole, else alone
	whole bool
	err   error
}

// part is the name of a folder that is not whole.
func (c *claim) part() string { return c.path + ".part" }

// take gets the folder if it is whole, or else an empty one to fill.
func (c *claim) take(ctx context.Context) error {
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		f, err := os.Open(c.path)
		if err == nil {
			if err := flock(ctx, f, unix.LOCK_SH); err != nil {
				return errors.Join(err, f.Close())
			}
			if isAt(f, c.path) {
				c.f, c.whole = f, true
				return nil
			}
			f.Close() // it was pruned meanwhile
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Mkdir(c.part(), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if f, err = os.Open(c.part()); errors.Is(err, fs.ErrNotExist) {
			continue // it was finished just now, or given up
		} else if err != nil {
			return err
		}
		mine, err := c.own(ctx, f)
		if err != nil {
			return errors.Join(err, f.Close())
		}
		if _, err := os.Lstat(c.path); mine && !errors.Is(err, fs.ErrNotExist) {
			// It was whole already when this one was made.
			mine = false
			if err := removeTree(c.part()); err != nil {
				return errors.Join(err, f.Close())
			}
		}
		if !mine {
			f.Close()
			continue
		}
		names, err := f.Readdirnames(-1)
		for _, name := range names { // an interrupted one has left them
			err = errors.Join(err, removeTree(filepath.Join(c.part(), name)))
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
		c.f = f
		return nil
	}
}

// own waits until nobody else has the part f, and tells whether it still is the
// part then: a whole one has another name, and stays locked while it is used.
func (c *claim) own(ctx context.Context, f *os.File) (bool, error) {
	isPart := func() bool { return isAt(f, c.part()) }
	if err := flockWhile(ctx, f, unix.LOCK_EX, isPart); err != nil {
		return false, err
	}
	return isPart(), nil
}

// giveUp removes what was made of it.
func (c *claim) giveUp() error {
	if c.f == nil {
		return nil
	}
	var err error
	if !c.whole {
		err = removeTree(c.part())
	}
	err = errors.Join(err, c.f.Close())
	c.f = nil
	return err
}

// commitAll gives folders that are whole their names, as they come. They are on
// the disk before: to wait for the disk once (syncfs(2)) takes a fraction of what
// it takes file by file, and while it does the next ones come together. The names
// may get to the disk later: if they do not, the folders are unpacked again.
func commitAll(ctx context.Context, unpacked <-chan *claim) {
	for c := range unpacked {
		batch := []*claim{c}
		for range len(unpacked) {
			batch = append(batch, <-unpacked)
		}
		var err error
		if err = unix.Syncfs(int(c.f.Fd())); err != nil {
			err = fmt.Errorf("writing it to the disk: syncfs: %w", err)
		}
		for _, c := range batch {
			if c.err = err; err == nil {
				c.err = c.rename(ctx)
			}
		}
	}
}

// rename gives the folder its name.
func (c *claim) rename(ctx context.Context) error {
	if err := os.Rename(c.part(), c.path); err != nil {
		return err
	}
	// Prune may get in between, as a lock does not change at one stroke.
	if err := flock(ctx, c.f, unix.LOCK_SH); err != nil {
		return err
	}
	if c.whole = isAt(c.f, c.path); !c.whole {
		return fmt.Errorf("the folder %s was pruned as soon as it was there: try again", c.path)
	}
	return nil
}

// hold keeps the lock on a layer until the store is closed, unless it has it
// already.
func (s *Store) hold(f *os.File) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := f.Stat()
	for _, have := range s.held {
		if h, e := have.Stat(); err == nil && e == nil && os.SameFile(h, st) {
			return false
		}
	}
	s.held = append(s.held, f)
	return true
}

// removeTree removes a folder and all in it, also, without root, folders that
// their owner may not write to.
func removeTree(path string) error {
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && err == nil { // before it is read
			os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}
