package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// notes are the files of Register in a run's folder.
const notes = "engine-*.json"

// Register notes in the folder of a run that the engine may hold something of it: what
// has the run's label, and images whose names begin with a prefix. The note comes first,
// so that there is no moment at which something would be forgotten.
func (c *Client) Register(dir, run, images string) error {
	b, err := note{c, run, images}.marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "engine-"+c.Name+".json"), b, 0o600)
}

// Sweep has the engines that are noted in a run's folder remove what they hold of it,
// and says what that was. As long as one does not, its note stays: the folder then has
// to stay too, for there is no other trace.
func Sweep(ctx context.Context, dir string) (removed []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, notes))
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, file := range files {
		r, err := sweep(ctx, file)
		removed = append(removed, r...)
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

func sweep(ctx context.Context, file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var n note
	if err := json.Unmarshal(b, &n); err != nil || n.Client == nil || n.Run == "" || n.Images == "" {
		// Cut off in the writing, before anything was made.
		return nil, os.Remove(file)
	}
	removed, err := n.Client.Remove(ctx, n.Run, n.Images)
	if err != nil {
		return removed, fmt.Errorf("what %s holds of the run %s stays: %w; start the engine, or remove %s if that is gone for good", n.Client.Name, n.Run, err, file)
	}
	return removed, os.Remove(file)
}
