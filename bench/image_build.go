package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/images"
	"vmctr/images/build"
	"vmctr/images/recipes"
)

// imageBuildCommand makes images from recipes.
type imageBuildCommand struct {
	Recipes  []string `arg:"" name:"recipe" help:"A recipe of bench's (${recipes}), or the path of one's own, FILE.yaml."`
	Platform []string `help:"What it is built for; several make an index." placeholder:"OS/ARCHITECTURE"`
	Lock     string   `help:"The file that says which packages they are, by version and content; written where there is none. Otherwise it is beside the recipe." placeholder:"FILE"`
	Update   bool     `help:"Find the newest packages, for the bases too, and write the locks anew."`
	Name     string   `help:"The image's name, in place of the recipe's." placeholder:"NAME"`
	Sources  string   `help:"Where packages come from, in place of this host's sources: a file as in sources.list(5)." placeholder:"FILE"`
}

func (c *imageBuildCommand) Run(s streams) error {
	ctx, stop := interruptible()
	defer stop()
	err := c.run(ctx, s)
	if err != nil && ctx.Err() != nil {
		return &exitError{exitInterrupted, errors.New("interrupted; what was downloaded is kept, and the next build goes on from there")}
	}
	return err
}

func (c *imageBuildCommand) run(ctx context.Context, s streams) (err error) {
	if len(c.Recipes) > 1 && (c.Lock != "" || c.Name != "") {
		return usageError("--lock and --name are of one recipe, and here are several")
	}
	platforms, err := c.platforms()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if c.Sources != "" {
		if c.Sources, err = filepath.Abs(c.Sources); err != nil {
			return err
		}
		if _, err := os.Stat(c.Sources); err != nil {
			return fmt.Errorf("--sources: %w", err)
		}
	}
	store, err := openStore()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	w, err := store.Writer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	b := &build.Builder{
		To: w, Cache: cacheDir(), Sources: c.Sources, Update: c.Update,
		Log: func(format string, a ...any) { fmt.Fprintf(s.err, "bench: "+format+"\n", a...) },
	}
	for _, name := range c.Recipes {
		r, dir, err := openRecipe(name)
		if err != nil {
			return err
		}
		b.Lock = func(of *build.Recipe) string {
			switch {
			case c.Lock != "" && of == r:
				return c.Lock
			case of.In(recipes.FS):
				return filepath.Join(cacheDir(), "locks", of.Name+".json")
			}
			return filepath.Join(dir, of.Name+".lock.json")
		}
		d, err := b.Build(ctx, r, platforms)
		if err != nil {
			return err
		}
		if name = c.Name; name == "" {
			name = r.Name
		}
		if err := w.Tag(name, d); err != nil {
			return err
		}
		familiar, err := images.FamiliarName(name)
		if err != nil {
			return err
		}
		fmt.Fprintln(s.out, familiar, d.Digest)
	}
	return nil
}

// platforms are those that are asked for; this host's if none is.
func (c *imageBuildCommand) platforms() (list []v1.Platform, err error) {
	for _, p := range c.Platform {
		platform, err := images.ParsePlatform(p)
		if err != nil {
			return nil, err
		}
		list = append(list, platform)
	}
	if len(list) == 0 {
		list = append(list, images.HostPlatform())
	}
	return list, nil
}

// openRecipe finds a recipe: one of bench's by its name, one's own by its path.
func openRecipe(name string) (r *build.Recipe, dir string, err error) {
	if !strings.ContainsAny(name, "/") && !strings.HasSuffix(name, ".yaml") {
		r, err = build.Load(recipes.FS, recipes.FS, name)
		return r, "", err
	}
	dir, file := filepath.Split(name)
	stem, ok := strings.CutSuffix(file, ".yaml")
	if !ok {
		return nil, "", fmt.Errorf("%s: a recipe is a file NAME.yaml", name)
	}
	if dir == "" {
		dir = "."
	}
	if _, err := os.Stat(name); err != nil {
		return nil, "", fmt.Errorf("opening the recipe: %w", err)
	}
	r, err = build.Load(os.DirFS(dir), recipes.FS, stem)
	return r, dir, err
}

// hasRecipe tells whether one of bench's recipes makes the image of a name.
func hasRecipe(image string) bool {
	return slices.Contains(build.Names(recipes.FS), strings.TrimSuffix(image, ":latest"))
}

// recipeNames are those that bench has.
func recipeNames() string { return strings.Join(build.Names(recipes.FS), ", ") }
