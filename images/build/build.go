package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"vmctr/images"
)

// A Builder builds images. What several of them have in common it makes once.
type Builder struct {
	To      Blobs                         // where layers, configurations and manifests go
	Cache   string                        // a folder for downloads and for work
	Sources string                        // a sources.list to use in place of the host's; "" for that
	Update  bool                          // resolve anew, whatever locks there are
	Lock    func(r *Recipe) string        // the file of a recipe's lock
	Log     func(format string, a ...any) // is told what goes on; may be nil

	made    map[string]madeLayer
	updated map[string]bool // the locks, and the lists of apt, that are new already
}

// madeLayer is a layer that is in the store, and the system up to it.
type madeLayer struct {
	descriptor v1.Descriptor
	diffID     v1.Hash
	after      system
}

func (b *Builder) log(format string, a ...any) {
	if b.Log != nil {
		b.Log(format, a...)
	}
}

// count is a number of things, as one says it.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func (b *Builder) apt(arch string) apt {
	name := arch
	if b.Sources != "" {
		content, _ := os.ReadFile(b.Sources) // without it, apt says so
		name += fmt.Sprintf("-%x", sha256.Sum256(content))[:12]
	}
	return apt{filepath.Join(b.Cache, "apt", name), arch, b.Sources}
}

// architectures are Debian's names for those of OCI, which are Go's
// (image-index.md; Debian policy, 11.1).
var architectures = map[string]string{
	"amd64": "amd64", "arm64": "arm64", "386": "i386", "arm/v7": "armhf", "arm/v6": "armel",
	"ppc64le": "ppc64el", "s390x": "s390x", "riscv64": "riscv64", "mips64le": "mips64el",
}

// architecture is Debian's name for a platform's.
func architecture(p v1.Platform) (string, error) {
	a, ok := architectures[strings.TrimSuffix(p.Architecture+"/"+p.Variant, "/")]
	if p.OS != "linux" || !ok {
		return "", fmt.Errorf("no packages of Debian's are for %s; there are some for linux/%s", images.FormatPlatform(p), strings.Join(sorted(architectures), ", linux/"))
	}
	return a, nil
}

// Build builds a recipe's image for each of the platforms, with the packages of
// its lock; what has no lock is resolved, and locked. It gives the descriptor
// of the manifest, or of an index if there are several platforms.
func (b *Builder) Build(ctx context.Context, r *Recipe, platforms []v1.Platform) (v1.Descriptor, error) {
	var manifests []v1.Descriptor
	for _, p := range platforms {
		d, err := b.build(ctx, r, p)
		if err != nil {
			return d, fmt.Errorf("building %s for %s: %w", r.Name, images.FormatPlatform(p), err)
		}
		d.Platform = &p
		manifests = append(manifests, d)
	}
	if len(manifests) == 1 {
		return manifests[0], nil
	}
	return b.add(ctx, types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: manifests})
}

func (b *Builder) add(ctx context.Context, t types.MediaType, v any) (v1.Descriptor, error) {
	content, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d, err := b.To.Add(ctx, t, bytes.NewReader(content))
	return v1.Descriptor{MediaType: t, Size: d.Size, Digest: d.Digest}, err
}

// build builds the image for one platform.
func (b *Builder) build(ctx context.Context, r *Recipe, platform v1.Platform) (v1.Descriptor, error) {
	locked, err := b.Resolve(ctx, r, platform)
	if err != nil {
		return v1.Descriptor{}, err
	}
	layers, err := b.layers(ctx, r, platform, locked)
	if err != nil {
		return v1.Descriptor{}, err
	}
	date := time.Unix(0, 0).UTC()
	if len(locked) > 0 {
		date = locked[len(locked)-1].Date
	}
	config := v1.ConfigFile{
		Architecture: platform.Architecture, Variant: platform.Variant, OS: platform.OS,
		Created: v1.Time{Time: date}, RootFS: v1.RootFS{Type: "layers"},
	}
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	for i, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.diffID)
		config.History = append(config.History, history(locked[i]))
		manifest.Layers = append(manifest.Layers, l.descriptor)
	}
	for _, r := range r.chain() {
		if err := r.Config.apply(&config.Config); err != nil {
			return v1.Descriptor{}, fmt.Errorf("recipe %s: config: %w", r.Name, err)
		}
		if r.Ready != nil {
			if err := r.Ready.Label(&config.Config); err != nil {
				return v1.Descriptor{}, fmt.Errorf("recipe %s: ready: %w", r.Name, err)
			}
		}
	}
	if manifest.Config, err = b.add(ctx, types.OCIConfigJSON, config); err != nil {
		return v1.Descriptor{}, err
	}
	if r.About != "" {
		manifest.Annotations = map[string]string{"org.opencontainers.image.description": r.About}
	}
	return b.add(ctx, types.OCIManifestSchema1, manifest)
}

// history is what `docker history` shows of a layer.
func history(l LockedLayer) v1.History {
	by := fmt.Sprintf("bench image build: recipe %s, layer %d", l.Recipe, l.Layer)
	if len(l.Wanted) > 0 {
		by += ": " + strings.Join(l.Wanted, " ")
	}
	return v1.History{Created: v1.Time{Time: l.Date}, CreatedBy: by}
}

// layers builds all layers of an image, each on those below it.
func (b *Builder) layers(ctx context.Context, r *Recipe, platform v1.Platform, locked []LockedLayer) (layers []madeLayer, err error) {
	if b.made == nil {
		b.made = map[string]madeLayer{}
	}
	work := filepath.Join(b.Cache, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return nil, err
	}
	arch, err := architecture(platform)
	if err != nil {
		return nil, err
	}
	var below system
	key := images.FormatPlatform(platform)
	for i, p := range r.parts() {
		id, err := json.Marshal(struct {
			Locked LockedLayer
			Recipe *Recipe
		}{locked[i], p.recipe})
		if err != nil {
			return nil, err
		}
		key += "\n" + string(id)
		m, ok := b.made[key]
		if !ok {
			if m, err = b.layer(ctx, p, arch, locked[i], below, work); err != nil {
				return nil, err
			}
			b.made[key] = m
		}
		below = m.after
		layers = append(layers, m)
	}
	return layers, nil
}

// layer builds one.
func (b *Builder) layer(ctx context.Context, p part, arch string, locked LockedLayer, below system, work string) (m madeLayer, err error) {
	if err := b.fetch(ctx, arch, locked.Packages); err != nil {
		return m, err
	}
	b.log("building %s, of %s", p, count(len(locked.Packages), "package"))
	var debs []debFile
	for _, p := range locked.Packages {
		debs = append(debs, debFile{b.debFile(p), p.SHA256})
	}
	l, after, err := makeLayer(ctx, p, debs, below, locked.Date, work)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	m.after = after
	m.descriptor, m.diffID, err = l.write(ctx, b.To)
	if err != nil {
		return m, fmt.Errorf("%s: %w", p, err)
	}
	m.descriptor = v1.Descriptor{MediaType: types.OCILayer, Size: m.descriptor.Size, Digest: m.descriptor.Digest}
	return m, nil
}
