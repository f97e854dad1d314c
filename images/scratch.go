package images

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Scratch is a store for one process, which is removed when that has ended, by the process
// itself or, if it was killed, by the next that comes ([SweepScratch]).
type Scratch struct {
	*Store
	path string
	lock *os.File // of the file beside the folder
}

// scratchLock ends the name of the file beside the folder of a Scratch.
const scratchLock = ".lock"

// NewScratch makes one in the folder dir.
func NewScratch(ctx context.Context, dir string) (_ *Scratch, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err := Lock(ctx, filepath.Join(dir, "lock"), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer unlock.Close()
	path, err := os.MkdirTemp(dir, "images-")
	if err != nil {
		return nil, err
	}
	s := &Scratch{path: path}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Remove())
		}
	}()
	if s.lock, err = Lock(ctx, path+scratchLock, unix.LOCK_EX); err != nil {
		return nil, err
	}
	s.Store, err = Open(path)
	return s, err
}

// Remove removes it.
func (s *Scratch) Remove() error {
	var errs []error
	if s.Store != nil {
		errs = append(errs, s.Store.Close())
	}
	errs = append(errs, removeTree(s.path))
	if s.lock != nil {
		errs = append(errs, os.Remove(s.lock.Name()), s.lock.Close())
	}
	return errors.Join(errs...)
}

// SweepScratch removes from the folder dir what killed processes left, and names it.
func SweepScratch(ctx context.Context, dir string) (swept []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	unlock, err := Lock(ctx, filepath.Join(dir, "lock"), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer unlock.Close()
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), "images-") {
			continue
		}
		f, err := os.OpenFile(path+scratchLock, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			if err := errors.Join(removeTree(path), os.Remove(f.Name())); err != nil {
				errs = append(errs, err)
			} else {
				swept = append(swept, path)
			}
		}
		f.Close()
	}
	return swept, errors.Join(errs...)
}
