package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"vmctr/bench/experiment"
	"vmctr/images"
)

// builtImage is what came of the first question for an image.
type builtImage struct {
	image *images.Image
	err   error
}

// applicationImage is experiment.Subject's Image.
func (r *runner) applicationImage(ctx context.Context, name string) (*images.Image, error) {
	if b, ok := r.built[name]; ok {
		return b.image, b.err
	}
	var b builtImage
	if name == experiment.PostgresWithData {
		b.image, b.err = r.postgresWithData(ctx)
	} else {
		b.image, b.err = r.buildImage(ctx, name)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if r.built == nil {
		r.built = map[string]builtImage{}
	}
	r.built[name] = b
	return b.image, b.err
}

// buildImage gives an image of the store, and makes it by its recipe if it is not there.
func (r *runner) buildImage(ctx context.Context, name string) (*images.Image, error) {
	store, err := openStore()
	if err != nil {
		return nil, err
	}
	img, err := store.Image(name, images.HostPlatform())
	if errors.As(err, new(*images.NotFoundError)) {
		r.harness.Progress.Say("building the image %s, which is not in the store yet", name)
		var said bytes.Buffer
		if err := (&imageBuildCommand{Recipes: []string{name}}).run(ctx, streams{io.Discard, &said}); err != nil {
			return nil, fmt.Errorf("its image cannot be built: %w; bench image build %s shows more", err, name)
		}
		img, err = store.Image(name, images.HostPlatform())
	}
	return img, err
}

// baseLabel is the label of an image with data: the digest of the image that made them.
const baseLabel = "bench.base"

// postgresData is where the image postgres keeps its database.
const postgresData = "/var/lib/postgresql/data"

// postgresWithData gives the image postgres with one more layer: the database that its
// entrypoint makes the first time. A recipe cannot, since no two of them are the same.
func (r *runner) postgresWithData(ctx context.Context) (*images.Image, error) {
	base, err := r.buildImage(ctx, "postgres")
	if err != nil {
		return nil, err
	}
	store, err := openStore()
	if err != nil {
		return nil, err
	}
	if img, err := store.Image(experiment.PostgresWithData, images.HostPlatform()); err == nil && img.Config.Config.Labels[baseLabel] == base.Digest {
		return img, nil
	}
	if !isRoot() {
		return nil, errors.New("to make its database takes root, since its files have other owners: sudo bench all --experiments applications does it, once")
	}
	r.harness.Progress.Say("making the database of the image %s", experiment.PostgresWithData)
	dir, err := os.MkdirTemp(r.states[0].workload.NetworkDir, "data-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	data, archive := filepath.Join(dir, "data"), filepath.Join(dir, "layer.tar")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	// The version is all that the server says then; but its entrypoint makes the database
	// before.
	var said bytes.Buffer
	args := []string{"run", "--userns", "host", "--network", "none", "--volume", data + ":" + postgresData, "postgres", "postgres", "--version"}
	if code := bench(args, &said, &said); code != 0 {
		return nil, fmt.Errorf("making its database, bench %s: exit code %d: %.1000s", strings.Join(args, " "), code, strings.TrimSpace(said.String()))
	}
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		return nil, fmt.Errorf("making its database: there is none: %w: %.1000s", err, said.String())
	}
	if err := archiveFolder(ctx, archive, data, postgresData); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromFile(archive, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(base.V1(), layer)
	if err != nil {
		return nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	cfg.Config.Labels = maps.Clone(cfg.Config.Labels)
	if cfg.Config.Labels == nil {
		cfg.Config.Labels = map[string]string{}
	}
	cfg.Config.Labels[baseLabel] = base.Digest
	// An engine would copy all data into a volume, at each start.
	delete(cfg.Config.Volumes, postgresData)
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		return nil, err
	}
	return store.Put(ctx, experiment.PostgresWithData, img)
}

// archiveFolder writes a folder into an archive as the one at a path of an image, with
// the owners that its files have.
func archiveFolder(ctx context.Context, archive, dir, at string) (err error) {
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if !info.IsDir() && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a folder", path)
		}
		h, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		h.Name = strings.TrimPrefix(at, "/") + strings.TrimPrefix(path, dir)
		if info.IsDir() {
			h.Name += "/"
		}
		st := info.Sys().(*syscall.Stat_t)
		h.Uid, h.Gid, h.Uname, h.Gname = int(st.Uid), int(st.Gid), "", ""
		if err := w.WriteHeader(h); err != nil || info.IsDir() {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		_, err = io.Copy(w, in)
		return err
	})
	return errors.Join(err, w.Close())
}
