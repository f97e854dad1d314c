package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"vmctr/images"
)

type imageHistoryCommand struct {
	Name     string `arg:"" help:"The image, by its name or its digest."`
	Platform string `help:"Of the images of several platforms, the one for this. Default: this host's." placeholder:"OS/ARCH[/VARIANT]"`
	NoTrunc  bool   `help:"Do not cut what is long."`
	Format   string `help:"'table', for people, or 'json', for programs." enum:"table,json" default:"table"`
}

// historyStep is one line: a step, and the layer that it made.
type historyStep struct {
	Created   *time.Time    `json:"created"`
	CreatedBy string        `json:"created_by"`
	Comment   string        `json:"comment,omitempty"`
	Layer     *images.Layer `json:"layer"` // nothing if the step changed no file
}

// Run prints the steps that made the image, the last one first as docker does.
func (c *imageHistoryCommand) Run(s streams) error {
	return withStore(func(ctx context.Context, store *images.Store) error {
		img, err := findImage(store, c.Name, c.Platform)
		if err != nil {
			return err
		}
		layers, err := img.Layers(ctx)
		if err != nil {
			return err
		}
		steps := []historyStep{}
		for _, step := range slices.Backward(images.History(img.Config)) {
			h := historyStep{Created: created(step.Created.Time), CreatedBy: step.CreatedBy, Comment: step.Comment}
			if step.Layer >= 0 {
				h.Layer = &layers[step.Layer]
			}
			steps = append(steps, h)
		}
		if c.Format == "json" {
			return printJSON(s.out, steps)
		}
		var rows [][]string
		for _, h := range steps {
			id, size, archive, by := "", "0 B", "0 B", h.CreatedBy
			if l := h.Layer; l != nil {
				id, size, archive = shortDigest(l.Digest.String()), bytesText(l.Size), bytesText(l.Archive)
			}
			if by == "" {
				by = h.Comment
			}
			by = strings.Join(strings.Fields(by), " ")
			if !c.NoTrunc {
				by = firstLine(by, 45)
			}
			if by == "" {
				by = "–"
			}
			rows = append(rows, []string{id, ago(h.Created, time.Now()), by, size, archive})
		}
		return printTable(s.out, []string{"LAYER", "CREATED", "CREATED BY", "SIZE", "UNPACKED"}, "lllrr", rows)
	})
}
