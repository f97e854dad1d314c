package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
)

// refName is the annotation that names an image in a layout (image-spec,
// annotations.md).
const refName = "org.opencontainers.image.ref.name"

// Named is a name and the manifest, or index, that it stands for.
type Named struct {
	Name       string
	Descriptor v1.Descriptor
}

// A NotFoundError is a name that no image of the store has.
type NotFoundError struct {
	Name string
	Have []string // the names that there are
}

func (e *NotFoundError) Error() string {
	have := "it is empty"
	if len(e.Have) > 0 {
		have = "it has " + strings.Join(e.Have, ", ")
	}
	return fmt.Sprintf("no image named %q in the store: %s", e.Name, have)
}

// FamiliarName is a reference as Docker shows it: without the registry and the
// folder that it assumes, and with the tag that it assumes, "latest".
func FamiliarName(ref string) (string, error) {
	r, err := name.ParseReference(ref)
	if err == nil && strings.HasPrefix(ref, ".") {
		err = errors.New("it is a path")
	}
	if err != nil {
		return "", fmt.Errorf("%q is no name of an image: %w", ref, err)
	}
	repository := r.Context().Name()
	if r.Context().Registry.Name() == name.DefaultRegistry {
		repository = strings.TrimPrefix(r.Context().RepositoryStr(), "library/")
	}
	if d, ok := r.(name.Digest); ok {
		return repository + "@" + d.DigestStr(), nil
	}
	return repository + ":" + r.Identifier(), nil
}

// index reads the layout's list of names.
func (s *Store) index() (v1.IndexManifest, error) {
	var m v1.IndexManifest
	path := s.path("oci/index.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return m, fmt.Errorf("reading the names of the images: %w", err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("reading the names of the images: %s: %w", path, err)
	}
	return m, nil
}

// changeIndex changes the list of names. Who reads meanwhile gets the old one
// or the new one, and so does who comes after a power failure.
func (s *Store) changeIndex(change func(*v1.IndexManifest) error) error {
	// Whoever has this lock has it for a moment.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l, err := Lock(ctx, s.path("oci/index.lock"), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer l.Close()
	m, err := s.index()
	if errors.Is(err, fs.ErrNotExist) {
		m, err = v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}, nil
		err = errors.Join(err, replace(s.path("oci", layoutFile), []byte(layoutVersion)))
	}
	if err != nil {
		return err
	}
	if err := change(&m); err != nil {
		return err
	}
	content, err := json.MarshalIndent(m, "", "   ")
	if err != nil {
		return err
	}
	// The blobs' own names come first.
	if err := syncDir(s.path("oci/blobs/sha256")); err != nil {
		return err
	}
	return replace(s.path("oci/index.json"), content)
}

// replace writes a file in place of another one, whole or not at all.
func replace(path string, content []byte) (err error) {
	part := path + ".part"
	defer func() {
		if err != nil {
			os.Remove(part)
		}
	}()
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(part, path)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Names are the images that have one, in the order of their names.
func (s *Store) Names() ([]Named, error) {
	m, err := s.index()
	if err != nil {
		return nil, err
	}
	var all []Named
	for _, d := range m.Manifests {
		if n := d.Annotations[refName]; n != "" {
			d.Annotations = nil
			all = append(all, Named{n, d})
		}
	}
	slices.SortFunc(all, func(a, b Named) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Tag gives a manifest, or an index, a name, which is taken from the one that
// had it. All that the manifest needs has to be there; of an index, what it
// needs for one platform.
func (w *Writer) Tag(ref string, d v1.Descriptor) error {
	familiar, err := FamiliarName(ref)
	if err != nil {
		return err
	}
	if err := w.store.complete(d); err != nil {
		return fmt.Errorf("naming an image %s: %w", familiar, err)
	}
	return w.store.changeIndex(func(m *v1.IndexManifest) error {
		m.Manifests = append(without(m.Manifests, familiar), v1.Descriptor{
			MediaType: d.MediaType, Size: d.Size, Digest: d.Digest, Annotations: map[string]string{refName: familiar},
		})
		return nil
	})
}

// Remove takes an image's name away. Its content stays until Prune.
func (s *Store) Remove(ref string) error {
	n, err := s.Named(ref)
	if err != nil {
		return err
	}
	return s.changeIndex(func(m *v1.IndexManifest) error {
		m.Manifests = without(m.Manifests, n.Name)
		return nil
	})
}

// without leaves a name out, in whatever form another tool, or an older bench,
// has written it.
func without(list []v1.Descriptor, familiar string) []v1.Descriptor {
	return slices.DeleteFunc(list, func(d v1.Descriptor) bool {
		n := d.Annotations[refName]
		other, err := FamiliarName(n)
		return n == familiar || err == nil && n != "" && other == familiar
	})
}

// complete tells whether a manifest and all it points at are there.
func (s *Store) complete(d v1.Descriptor) error {
	if d.MediaType.IsIndex() {
		m, err := s.readIndex(d)
		if err != nil {
			return err
		}
		err = errors.New("the index has no images")
		for _, child := range m.Manifests {
			if err = s.complete(child); err == nil {
				return nil
			}
		}
		return fmt.Errorf("of no platform of the index %s all is there: %w", d.Digest, err)
	}
	m, err := s.readManifest(d)
	if err != nil {
		return err
	}
	for _, part := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if err := checkHash(part.Digest); err != nil {
			return fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
		if n, err := sizeOf(s.blobPath(part.Digest)); err != nil {
			return err
		} else if n != part.Size || !s.Has(part.Digest) {
			return fmt.Errorf("manifest %s: blob %s of %d bytes is missing, or has %d", d.Digest, part.Digest, part.Size, n)
		}
	}
	return nil
}

func (s *Store) readManifest(d v1.Descriptor) (*v1.Manifest, error) {
	var m v1.Manifest
	return &m, s.readJSON(d, &m)
}

func (s *Store) readIndex(d v1.Descriptor) (*v1.IndexManifest, error) {
	var m v1.IndexManifest
	return &m, s.readJSON(d, &m)
}

func (s *Store) readJSON(d v1.Descriptor, to any) error {
	b, err := s.readBlob(d)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("blob %s is no %s: %w", d.Digest, d.MediaType, err)
	}
	return nil
}

// Named finds an image by its name, in full or as Docker shows it, or by the first
// digits of its digest, 6 at least, if only one has them. An error is a
// [*NotFoundError] if there is no such image.
func (s *Store) Named(ref string) (Named, error) {
	all, err := s.Names()
	if err != nil {
		return Named{}, err
	}
	familiar, parseErr := FamiliarName(ref)
	digits := strings.TrimPrefix(ref, "sha256:")
	var byDigest []Named
	var have []string
	for _, n := range all {
		if n.Name == familiar && parseErr == nil || n.Name == ref {
			return n, nil
		}
		if len(digits) >= 6 && strings.HasPrefix(n.Descriptor.Digest.Hex, digits) {
			byDigest = append(byDigest, n)
		}
		have = append(have, n.Name)
	}
	if len(byDigest) > 0 {
		for _, n := range byDigest {
			if n.Descriptor.Digest != byDigest[0].Descriptor.Digest {
				return Named{}, fmt.Errorf("%q begins the digests of several images, of %s and of %s", ref, byDigest[0].Name, n.Name)
			}
		}
		return byDigest[0], nil
	}
	if parseErr != nil && !strings.HasPrefix(ref, "sha256:") {
		return Named{}, parseErr
	}
	return Named{}, &NotFoundError{ref, have}
}

// Image is the image that a name, or a digest, stands for on a platform. The
// zero platform is this host's. Errors are a [*NotFoundError] and a
// [*PlatformError].
func (s *Store) Image(ref string, p v1.Platform) (*Image, error) {
	n, err := s.Named(ref)
	if err != nil {
		return nil, err
	}
	return s.Resolve(n, p)
}

// Resolve is Image for what may have no name in the store, such as one that was
// imported only now.
func (s *Store) Resolve(n Named, p v1.Platform) (*Image, error) {
	if p.Equals(v1.Platform{}) {
		p = HostPlatform()
	}
	d, err := s.resolve(n, p)
	if err != nil {
		return nil, err
	}
	img, err := s.open(n.Name, d)
	if err != nil {
		return nil, err
	}
	// What an index says of an image it has to say itself. One that says
	// nothing is for all: it may have no program at all.
	if have := img.Platform(); have.OS != "" && have.Architecture != "" && rank(p, have) < 0 {
		return nil, &PlatformError{Name: n.Name, Want: p, Have: []v1.Platform{have}}
	}
	return img, nil
}

// resolve finds the manifest for a platform.
func (s *Store) resolve(n Named, p v1.Platform) (v1.Descriptor, error) {
	if !n.Descriptor.MediaType.IsIndex() {
		return n.Descriptor, nil
	}
	m, err := s.readIndex(n.Descriptor)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("image %s: %w", n.Name, err)
	}
	d, have := Choose(m.Manifests, p)
	if d == nil {
		return v1.Descriptor{}, &PlatformError{Name: n.Name, Want: p, Have: have}
	}
	if !s.Has(d.Digest) {
		return v1.Descriptor{}, &PlatformError{Name: n.Name, Want: p, Have: have, Missing: true}
	}
	return *d, nil
}

// Children are the images of a name for all its platforms, those of them that
// are there.
func (s *Store) Children(ref string) ([]*Image, error) {
	n, err := s.Named(ref)
	if err != nil {
		return nil, err
	}
	descriptors := []v1.Descriptor{n.Descriptor}
	if n.Descriptor.MediaType.IsIndex() {
		m, err := s.readIndex(n.Descriptor)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", n.Name, err)
		}
		descriptors = m.Manifests
	}
	var all []*Image
	for _, d := range descriptors {
		if !d.MediaType.IsImage() || isAttestation(d) || !s.Has(d.Digest) {
			continue
		}
		img, err := s.open(n.Name, d)
		if err != nil {
			return nil, err
		}
		all = append(all, img)
	}
	return all, nil
}
