package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A name that a user gives a run is a symbolic link beside its folder, to that
// folder: whoever makes the link has the name, and it is dead when the run is.
const namePrefix = "name-"

// Claim gives the run a name, which no other run that lives has. Close gives it
// back.
func (r *Run) Claim(name string) error {
	unlock, err := lockBase()
	if err != nil {
		return err
	}
	defer unlock()
	link := filepath.Join(base(), namePrefix+name)
	// The folder of a dead run can still be there: Sweep before.
	if _, err := os.Stat(link); err == nil {
		id, _ := os.Readlink(link)
		return fmt.Errorf("the name %q is taken by %s, which runs", name, id)
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(r.ID, link)
}

// Named is the folder of the run that has a name.
func Named(name string) (dir string, err error) {
	link := filepath.Join(base(), namePrefix+name)
	if _, err := os.Stat(link); err != nil {
		return "", fmt.Errorf("nothing runs under the name %q", name)
	}
	return link, nil
}

// sweepNames removes the names of runs that are gone.
func sweepNames() error {
	entries, err := os.ReadDir(base())
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		link := filepath.Join(base(), e.Name())
		if !strings.HasPrefix(e.Name(), namePrefix) {
			continue
		}
		if _, err := os.Stat(link); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, os.Remove(link))
		}
	}
	return errors.Join(errs...)
}
