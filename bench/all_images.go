package main

import (
	"context"
	"fmt"
	"os"

	"vmctr/bench/embedded"
	"vmctr/images"
	"vmctr/report/result"
)

// resolveImages finds the images of --images, before anything is made.
func (c *allCommand) resolveImages() ([]string, error) {
	if len(c.Images) == 0 {
		return nil, nil
	}
	store, err := openStore()
	if err != nil {
		return nil, err
	}
	defer store.Close()
	names, err := namesOf(store, c.Images)
	if err != nil {
		return nil, fmt.Errorf("--images: %w", err)
	}
	return names, nil
}

// resolveBase finds the image of --image, before anything is made.
func resolveBase(name string) (string, error) {
	store, err := openStore()
	if err != nil {
		return "", err
	}
	defer store.Close()
	img, err := store.Image(name, images.HostPlatform())
	if err != nil {
		return "", fmt.Errorf("--image: %w", missingImage(err))
	}
	return img.Name, nil
}

// image is the one that is measured.
func (r *runner) image(ctx context.Context) (*images.Image, error) {
	if r.choice.base == "" {
		return workload(ctx)
	}
	program, err := embedded.Workload()
	if err != nil {
		return nil, err
	}
	store, err := openStore()
	if err != nil {
		return nil, err
	}
	return store.PutWorkloadOn(ctx, r.choice.base, program)
}

// recordImages writes down what the measured image, for each of its platforms,
// and those that the user named are made of: the report counts from it what
// images carry and share. What cannot be told of one is a note, and no reason not
// to measure.
func (r *runner) recordImages(ctx context.Context, measured *images.Image) error {
	store, err := openStore()
	if err != nil {
		return err
	}
	defer store.Close()
	all, err := store.Children(measured.Name)
	if err != nil {
		return err
	}
	for _, name := range r.choice.images {
		if name == measured.Name {
			continue
		}
		img, err := store.Image(name, images.HostPlatform())
		if err != nil {
			if err := r.harness.Note("image %s is not counted: %v", name, err); err != nil {
				return err
			}
			continue
		}
		all = append(all, img)
	}
	for _, img := range all {
		record, err := describeImage(ctx, img)
		if err == nil && images.Runs(images.HostPlatform(), img.Platform()) {
			err = addDisks(ctx, img, &record)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if err := r.harness.Note("not all of image %s is counted: %v", img.Name, err); err != nil {
				return err
			}
		}
		if r.past.has(record) {
			continue
		}
		record.Measured = img.Digest == measured.Digest
		if err := r.harness.Journal.Append(result.Record{Image: &record}); err != nil {
			return err
		}
	}
	return nil
}

// describeImage tells what an image is made of.
func describeImage(ctx context.Context, img *images.Image) (result.StoredImage, error) {
	record := result.StoredImage{Name: img.Name, Platform: images.FormatPlatform(img.Platform()), Digest: img.Digest, Layers: []result.StoredLayer{}}
	layers, err := img.Layers(ctx)
	for _, l := range layers {
		record.Layers = append(record.Layers, result.StoredLayer{
			DiffID: l.DiffID.String(), Digest: l.Digest.String(), BlobBytes: l.Size, ArchiveBytes: l.Archive, CreatedBy: l.CreatedBy,
		})
	}
	return record, err
}

// addDisks adds what the layers take as the disks of a machine, which it makes.
func addDisks(ctx context.Context, img *images.Image, record *result.StoredImage) error {
	paths, err := img.Disks(ctx)
	if err != nil {
		return err
	}
	for n, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		record.Layers[n].DiskBytes = st.Size()
	}
	return nil
}
