package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"vmctr/images"
	"vmctr/report/result"
)

type imageLsCommand struct {
	Format string `help:"'table', for people, or 'json', for programs." enum:"table,json" default:"table"`
}

// listedImage is a line of the list: a name and what it stands for.
type listedImage struct {
	Name      string           `json:"name"`
	Digest    string           `json:"digest"`
	MediaType types.MediaType  `json:"media_type"`
	Platforms []listedPlatform `json:"platforms"`       // those that are here
	Error     string           `json:"error,omitempty"` // why it cannot be read
}

// listedPlatform is the image of one platform.
type listedPlatform struct {
	Platform string     `json:"platform"`
	Digest   string     `json:"digest"`
	Layers   int        `json:"layers"`
	Size     int64      `json:"size"`    // of the layers' blobs, in bytes
	Archive  int64      `json:"archive"` // of the layers, uncompressed, in bytes
	Created  *time.Time `json:"created"` // nothing if it does not say

	host bool // this host runs it
}

func (c *imageLsCommand) Run(s streams) error {
	return withStore(func(ctx context.Context, store *images.Store) error {
		list, err := listImages(ctx, store)
		if err != nil {
			return err
		}
		if c.Format == "json" {
			return printJSON(s.out, list)
		}
		if len(list) == 0 {
			fmt.Fprintln(s.err, "bench: there is no image yet; bench image pull, build or import brings one")
			return nil
		}
		var rows [][]string
		damaged := 0
		for _, i := range list {
			rows = append(rows, i.row(time.Now()))
			if i.Error != "" {
				damaged++
			}
		}
		if damaged > 0 {
			defer fmt.Fprintf(s.err, "bench: %d of them cannot be read; bench image verify says why\n", damaged)
		}
		return printTable(s.out, []string{"NAME", "PLATFORMS", "DIGEST", "LAYERS", "SIZE", "UNPACKED", "CREATED"}, "llrrrrl", rows)
	})
}

// listImages describes all images. One that is damaged hides none of the others.
func listImages(ctx context.Context, store *images.Store) ([]listedImage, error) {
	all, err := store.Names()
	if err != nil {
		return nil, err
	}
	list := []listedImage{} // in JSON, none are [] and not null
	for _, n := range all {
		item := listedImage{Name: n.Name, Digest: n.Descriptor.Digest.String(), MediaType: n.Descriptor.MediaType}
		if item.Platforms, err = listPlatforms(ctx, store, n.Name); err != nil {
			item.Error = err.Error()
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		list = append(list, item)
	}
	return list, nil
}

func listPlatforms(ctx context.Context, store *images.Store, name string) ([]listedPlatform, error) {
	children, err := store.Children(name)
	if err != nil {
		return nil, err
	}
	host, err := store.Image(name, images.HostPlatform())
	if err != nil && !errors.As(err, new(*images.PlatformError)) {
		return nil, err
	}
	list := []listedPlatform{}
	for _, i := range children {
		layers, err := i.Layers(ctx)
		if err != nil {
			return nil, err
		}
		p := listedPlatform{
			Platform: images.FormatPlatform(i.Platform()), Digest: i.Digest, Layers: len(layers), Created: created(i.Config.Created.Time),
			host: host != nil && host.Digest == i.Digest,
		}
		for _, l := range layers {
			p.Size += l.Size
			p.Archive += max(l.Archive, 0)
		}
		list = append(list, p)
	}
	return list, nil
}

// row is the image as a line of the table: all its platforms, and the figures
// of the one that this host runs, or of the first.
func (i listedImage) row(now time.Time) []string {
	if i.Error != "" {
		return []string{i.Name, "unreadable", shortDigest(i.Digest), "–", "–", "–", "–"}
	}
	var names []string
	var shown listedPlatform
	for n, p := range i.Platforms {
		names = append(names, strings.TrimPrefix(p.Platform, "linux/"))
		if n == 0 || p.host {
			shown = p
		}
	}
	return []string{
		i.Name, strings.Join(names, ","), shortDigest(i.Digest), fmt.Sprint(shown.Layers),
		bytesText(shown.Size), bytesText(shown.Archive), ago(shown.Created, now),
	}
}

// created is when an image was made. One that is the same whenever it is built
// says the year 1 or 1970, which is no time.
func created(t time.Time) *time.Time {
	if t.Unix() <= 0 {
		return nil
	}
	return &t
}

// ago is how long ago, in the largest unit of which there are two.
func ago(t *time.Time, now time.Time) string {
	if t == nil {
		return "–"
	}
	d := now.Sub(*t)
	for _, u := range []struct {
		name string
		is   time.Duration
	}{{"years", 365 * 24 * time.Hour}, {"months", 30 * 24 * time.Hour}, {"weeks", 7 * 24 * time.Hour}, {"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute}} {
		if n := d / u.is; n >= 2 {
			return fmt.Sprintf("%d %s ago", n, u.name)
		}
	}
	return "just now"
}

// shortDigest is enough of a digest to name the image by.
func shortDigest(d string) string {
	_, hex, _ := strings.Cut(d, ":")
	return hex[:min(12, len(hex))]
}

func bytesText(n int64) string {
	if n < 0 {
		return "?"
	}
	return result.FormatValue(float64(n), "bytes")
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printTable prints a table as docker does: columns and no lines. Each column
// goes to the left or to the right: l or r in align.
func printTable(w io.Writer, header []string, align string, rows [][]string) error {
	var sides tw.Alignment
	for _, a := range align {
		sides = append(sides, map[rune]tw.Align{'l': tw.AlignLeft, 'r': tw.AlignRight}[a])
	}
	none := tw.CellPadding{Global: tw.Padding{Right: "   ", Overwrite: true}}
	var b strings.Builder
	t := tablewriter.NewTable(&b,
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithConfig(tablewriter.Config{Header: tw.CellConfig{Padding: none}, Row: tw.CellConfig{Padding: none}}),
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: sides}),
		tablewriter.WithAlignment(sides),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone},
		})),
	)
	t.Header(header)
	for _, r := range rows {
		if err := t.Append(r); err != nil {
			return err
		}
	}
	if err := t.Render(); err != nil {
		return fmt.Errorf("setting the table: %w", err)
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// firstLine is a text in one line, of a width at most.
func firstLine(text string, width int) string {
	r := []rune(strings.Join(strings.Fields(text), " "))
	if len(r) > width {
		return string(r[:max(width-1, 0)]) + "…"
	}
	return string(r)
}
