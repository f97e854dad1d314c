package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Lock is what the packages of a recipe were when it was resolved: with it
// the same image is built again. It is a JSON file.
type Lock struct {
	Recipe string  `json:"recipe"`
	Digest v1.Hash `json:"digest"` // of the recipe when its packages were last resolved, for the record
	// Platforms are the layers for each ("linux/amd64"), the base's too.
	Platforms map[string][]LockedLayer `json:"platforms"`
}

// LockedLayer is one layer: what was asked for, and what came of it.
type LockedLayer struct {
	Recipe  string   `json:"recipe"`
	Layer   int      `json:"layer"` // of that recipe, from 1
	Wanted  []string `json:"wanted,omitempty"`
	Without []string `json:"without,omitempty"`
	// Date is when the distribution last published a list that the packages
	// are from: the image's time. No file in the layer is younger.
	Date     time.Time       `json:"date"`
	Suites   []string        `json:"suites,omitempty"` // "Debian bookworm", "Debian-Security bookworm-security"
	Packages []LockedPackage `json:"packages,omitempty"`
}

// LockedPackage is one package, by name and by content.
type LockedPackage struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
	// Archive is the label of the archive that it is from, "Debian" or
	// "Debian-Security", and Path where it is in each mirror of that.
	Archive string `json:"archive"`
	Path    string `json:"path"`
	Size    int64  `json:"size"` // in bytes
	SHA256  string `json:"sha256"`
}

func (p LockedPackage) String() string {
	return p.Name + " " + p.Version + " (" + p.Architecture + ")"
}

// ReadLock reads a lock; nil if there is no such file.
func ReadLock(file string) (*Lock, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a lock: %w", err)
	}
	l := &Lock{}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("reading the lock %s: %w", file, err)
	}
	for _, layers := range l.Platforms {
		for _, layer := range layers {
			for _, p := range layer.Packages {
				if err := p.check(); err != nil {
					return nil, fmt.Errorf("the lock %s: package %q: %w", file, p.Name, err)
				}
			}
		}
	}
	return l, nil
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// check keeps a lock from naming a file outside the cache or the mirror.
func (p LockedPackage) check() error {
	switch {
	case !sha256Hex.MatchString(p.SHA256):
		return fmt.Errorf("%q is no SHA-256", p.SHA256)
	case !fs.ValidPath(p.Path):
		return fmt.Errorf("%q is no path in a mirror", p.Path)
	case p.Size <= 0:
		return fmt.Errorf("a size of %d bytes", p.Size)
	}
	return nil
}

// Write writes the lock; a reader sees the old one or the new.
func (l *Lock) Write(file string) error {
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(file, append(b, '\n')); err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	return nil
}

// writeFile replaces a file as a whole, or not at all.
func writeFile(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".*.part")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// fits tells whether the locked layers are those of the recipe.
func fits(locked []LockedLayer, parts []part) bool {
	return slices.EqualFunc(locked, parts, func(l LockedLayer, p part) bool {
		return l.Recipe == p.recipe.Name && l.Layer == p.number && slices.Equal(l.Wanted, p.Packages) && slices.Equal(l.Without, p.Without)
	})
}

// sorted are the keys of a map, in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
