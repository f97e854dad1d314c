package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"vmctr/images"
	"vmctr/images/registry"
	"vmctr/images/sharing"
	"vmctr/report"
	"vmctr/report/result"
)

type imageLayersCommand struct {
	Names     []string `arg:"" optional:"" name:"name" help:"The images. Default: all that are here."`
	Platform  string   `help:"Of images for several platforms, the one for this; 'all': each as an image of its own. Default: this host's." placeholder:"OS/ARCH[/VARIANT]"`
	Format    string   `help:"'table', for people, or 'json', for programs." enum:"table,json" default:"table"`
	Registry  bool     `help:"Ask the registries of images that are not here what they are made of: no layer is downloaded."`
	SVG       string   `name:"svg" help:"Draw it into this file as well." placeholder:"FILE"`
	PNG       string   `name:"png" help:"The same in pixels, for a projector." placeholder:"FILE"`
	PlainHTTP bool     `name:"plain-http" help:"Allow a registry without TLS."`
	Insecure  bool     `help:"Accept any certificate of the registry."`
}

// Run shows which layers images share, and what that saves.
func (c *imageLayersCommand) Run(s streams) error {
	return withStore(func(ctx context.Context, store *images.Store) error {
		stacks, err := c.stacks(ctx, store)
		if err != nil {
			return err
		}
		shared := sharing.Of(stacks)
		for _, f := range []struct {
			path   string
			render func(sharing.Sharing) ([]byte, error)
		}{{c.SVG, report.LayersSVG}, {c.PNG, report.LayersPNG}} {
			if f.path == "" {
				continue
			}
			b, err := f.render(shared)
			if err != nil {
				return err
			}
			if err := os.WriteFile(f.path, b, 0o644); err != nil {
				return fmt.Errorf("writing the drawing: %w", err)
			}
		}
		if c.Format == "json" {
			return printJSON(s.out, shared)
		}
		if len(stacks) == 0 {
			fmt.Fprintln(s.err, "bench: there is no image yet; bench image pull, build or import brings one")
			return nil
		}
		return printSharing(s, shared, width(s.out))
	})
}

func (c *imageLayersCommand) stacks(ctx context.Context, store *images.Store) ([]sharing.Stack, error) {
	refs := c.Names
	if len(refs) == 0 {
		var err error
		if refs, err = namesOf(store, nil); err != nil {
			return nil, err
		}
	}
	var stacks []sharing.Stack
	for _, ref := range refs {
		n, err := store.Named(ref)
		if c.Registry && errors.As(err, new(*images.NotFoundError)) {
			stack, err := c.elsewhere(ctx, store, ref)
			if err != nil {
				return nil, err
			}
			stacks = append(stacks, stack)
			continue
		}
		if err != nil {
			return nil, missingImage(err)
		}
		list, err := c.images(store, n.Name)
		if err != nil {
			return nil, err
		}
		for _, img := range list {
			layers, err := img.Layers(ctx)
			if err != nil {
				return nil, err
			}
			label := n.Name
			if len(list) > 1 || !images.Runs(images.HostPlatform(), img.Platform()) {
				label += " " + strings.TrimPrefix(images.FormatPlatform(img.Platform()), "linux/")
			}
			stacks = append(stacks, stackOf(label, layers))
		}
	}
	return stacks, nil
}

// elsewhere asks a registry what an image is made of that is not here.
func (c *imageLayersCommand) elsewhere(ctx context.Context, store *images.Store, ref string) (sharing.Stack, error) {
	p := images.HostPlatform()
	if c.Platform != "" && c.Platform != "all" {
		var err error
		if p, err = parsePlatform(c.Platform); err != nil {
			return sharing.Stack{}, err
		}
	}
	client := &registry.Client{PlainHTTP: c.PlainHTTP, Insecure: c.Insecure}
	m, config, err := client.Describe(ctx, ref, p)
	if err != nil {
		return sharing.Stack{}, err
	}
	layers, err := store.Layers(ctx, m, config)
	if err != nil {
		return sharing.Stack{}, fmt.Errorf("image %s: %w", ref, err)
	}
	familiar, err := images.FamiliarName(ref)
	return stackOf(familiar, layers), err
}

// images are those of a name that were asked for.
func (c *imageLayersCommand) images(store *images.Store, name string) ([]*images.Image, error) {
	if c.Platform == "all" {
		return store.Children(name)
	}
	img, err := findImage(store, name, c.Platform)
	if err == nil {
		return []*images.Image{img}, nil
	}
	// When nothing was said of platforms, one for another host is shown too.
	if c.Platform == "" && errors.As(err, new(*images.PlatformError)) {
		if all, err := store.Children(name); err == nil && len(all) > 0 {
			return all[:1], nil
		}
	}
	return nil, err
}

// stackOf is an image as package sharing sees it. Its layers can be those of an
// image that is elsewhere (Store.Layers).
func stackOf(name string, layers []images.Layer) sharing.Stack {
	s := sharing.Stack{Name: name}
	for _, l := range layers {
		s.Layers = append(s.Layers, sharing.Layer{
			DiffID: l.DiffID.String(), Digest: l.Digest.String(), Size: l.Size, Archive: l.Archive, Stored: l.Stored, CreatedBy: l.CreatedBy,
		})
	}
	return s
}

// printSharing prints the drawing, what the signs in it stand for, and the sums.
func printSharing(s streams, shared sharing.Sharing, width int) error {
	if err := drawLayers(s.out, shared, min(width, 100)); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "From left to right: from the lowest layer to the highest. A layer is drawn\nonce for all images that it is the same part of.%s\n\n", again(shared))

	var rows [][]string
	for _, l := range shared.Layers {
		rows = append(rows, []string{l.Sign, shortDigest(l.Digest), fmt.Sprint(len(l.Images)), bytesText(l.Size), bytesText(l.Archive), firstLine(l.CreatedBy, max(width-50, 16))})
	}
	if err := printTable(s.out, []string{"", "LAYER", "IMAGES", "SIZE", "UNPACKED", "CREATED BY"}, "llrrrl", rows); err != nil {
		return err
	}
	fmt.Fprintln(s.out)

	rows = nil
	header, align := []string{"IMAGE", "LAYERS", "SIZE", "ITS OWN", "TO FETCH"}, "lrrrr"
	elsewhere := slices.ContainsFunc(shared.Images, func(i sharing.Image) bool { return i.Fetch > 0 })
	if elsewhere {
		header, align = append(header, "NOW"), align+"r"
	}
	for _, i := range shared.Images {
		row := []string{firstLine(i.Name, width/3), fmt.Sprint(len(i.Layers)), bytesText(i.All.Size), bytesText(i.Own.Size), bytesText(i.FetchBeside)}
		if elsewhere {
			row = append(row, bytesText(i.Fetch))
		}
		rows = append(rows, row)
	}
	if err := printTable(s.out, header, align, rows); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "TO FETCH is what a pull of it downloads where all the others are.")
	if elsewhere {
		fmt.Fprintln(s.out, "NOW is what it would download here, with all that this store has.")
	}
	fmt.Fprintln(s.out)

	rows = [][]string{
		{"stored once", bytesText(shared.Once.Size), bytesText(shared.Once.Archive)},
		{"if copied", bytesText(shared.Copied.Size), bytesText(shared.Copied.Archive)},
	}
	if err := printTable(s.out, []string{"", "SIZE", "UNPACKED"}, "lrr", rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "Copies would take %s times the room.\n", result.FormatRatio(shared.Saved()))
	return err
}

// again explains a sign that stands in several blocks.
func again(shared sharing.Sharing) string {
	seen := map[int]bool{}
	for _, b := range shared.Blocks(false) {
		if l := b.Layers[0]; seen[l] {
			return "\nA letter that stands twice is one layer too, upon others: it is stored once."
		}
		seen[b.Layers[0]] = true
	}
	return ""
}
