package build

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Load reads the recipe name, file name.yaml of dir, and those that it is based
// on. A base is looked for in dir first and then in library.
func Load(dir, library fs.FS, name string) (*Recipe, error) {
	return load(dir, library, name, nil)
}

func load(dir, library fs.FS, name string, above []string) (*Recipe, error) {
	if slices.Contains(above, name) {
		return nil, fmt.Errorf("recipe %s: it is based on itself: %s", name, strings.Join(append(above, name), ", "))
	}
	file := name + ".yaml"
	b, err := fs.ReadFile(dir, file)
	if errors.Is(err, fs.ErrNotExist) && len(above) > 0 {
		dir = library
		b, err = fs.ReadFile(dir, file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no recipe %q; there are %s", name, strings.Join(Names(library), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the recipe %s: %w", name, err)
	}
	r, err := Parse(name, b)
	if err != nil {
		return nil, err
	}
	r.dir = dir
	if r.From != Scratch {
		if r.base, err = load(dir, library, r.From, append(above, name)); err != nil {
			return nil, fmt.Errorf("the base of recipe %s: %w", name, err)
		}
	}
	return r, nil
}

// In tells whether the recipe is from this folder.
func (r *Recipe) In(dir fs.FS) bool { return r.dir == dir }

// Names are the recipes of a folder.
func Names(dir fs.FS) (names []string) {
	files, _ := fs.Glob(dir, "*.yaml")
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f, ".yaml"))
	}
	return names
}

// chain is the recipe and its bases, the lowest first.
func (r *Recipe) chain() []*Recipe {
	if r == nil {
		return nil
	}
	return append(r.base.chain(), r)
}

// part is one layer of a chain of recipes, with what it has from its recipe.
type part struct {
	Layer
	recipe  *Recipe
	number  int // in its recipe, from 1
	exclude []string
	include []string
}

func (p part) String() string { return fmt.Sprintf("layer %d of recipe %s", p.number, p.recipe.Name) }

// parts are all layers of a recipe's image, the lowest first.
func (r *Recipe) parts() (parts []part) {
	var exclude, include []string
	for _, r := range r.chain() {
		exclude = append(exclude, r.Exclude...)
		include = append(include, r.Include...)
		for i, l := range r.Layers {
			parts = append(parts, part{l, r, i + 1, slices.Concat(exclude, l.Remove), slices.Clone(include)})
		}
	}
	return parts
}

// Digest names the recipe, with its bases and the files that they name, by
// content: with the packages of a lock it makes one image.
func (r *Recipe) Digest() (v1.Hash, error) {
	h := sha256.New()
	for _, r := range r.chain() {
		b, err := json.Marshal(r)
		if err != nil {
			return v1.Hash{}, err
		}
		fmt.Fprintf(h, "%s %d %s\n", r.Name, len(b), b)
		for _, l := range r.Layers {
			for _, p := range sorted(l.Files) {
				if s := l.Files[p].Source; s != "" {
					b, err := fs.ReadFile(r.dir, s)
					if err != nil {
						return v1.Hash{}, fmt.Errorf("recipe %s: %w", r.Name, err)
					}
					fmt.Fprintf(h, "%s %d %s\n", s, len(b), b)
				}
			}
		}
	}
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", h.Sum(nil))}, nil
}
