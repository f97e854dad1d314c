package registry

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"vmctr/images"
)

// A MissingError is an index that cannot be pushed, since a registry takes none
// of which it has not got all images.
type MissingError struct {
	Name    string
	Missing []string // platforms, or digests
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("of the images of its index those for %s are not in the store: bench image pull --all-platforms %s gets them, and --platform pushes one that is here alone",
		strings.Join(e.Missing, ", "), e.Name)
}

// Push brings an image, or all images of an index, to a registry, under the name
// ref. What is there is not sent, nor is a layer that the registry has in another
// repository from which this store's image came.
func (c *Client) Push(ctx context.Context, s *images.Store, n images.Named, ref string) (Transferred, error) {
	r, err := c.parse(ref)
	if err != nil {
		return Transferred{}, err
	}
	p := &pusher{c: c, s: s, begun: map[v1.Hash]bool{}, blobs: map[v1.Hash]v1.Descriptor{}}
	if err := p.push(ctx, n, r); err != nil {
		return p.transferred(), explain("pushing", r, err)
	}
	return p.transferred(), nil
}

type pusher struct {
	c *Client
	s *images.Store
	// origins are repositories of the same registry in which a blob is, for all
	// that is known.
	origins map[v1.Hash]name.Reference

	mu    sync.Mutex
	blobs map[v1.Hash]v1.Descriptor
	begun map[v1.Hash]bool // those of them that were sent
}

func (p *pusher) push(ctx context.Context, n images.Named, ref name.Reference) error {
	what, err := p.content(n)
	if err != nil {
		return err
	}
	if p.origins, err = p.findOrigins(ref); err != nil {
		return err
	}
	base, closeIdle, err := p.c.transport(ref.Context().Registry)
	if err != nil {
		return err
	}
	defer closeIdle()
	pause := p.c.pause
	if pause == 0 {
		pause = firstPause
	}
	remotePusher, err := remote.NewPusher(
		remote.WithTransport(base), remote.WithAuthFromKeychain(p.c.keychain()), remote.WithJobs(p.c.parallel()),
		remote.WithRetryStatusCodes(), // those are the transport's
		remote.WithRetryBackoff(remote.Backoff{Duration: pause, Factor: 3, Jitter: 0.5, Steps: 3, Cap: 10 * time.Second}))
	if err != nil {
		return err
	}
	if err := remotePusher.Push(ctx, ref, what); err != nil {
		return err
	}
	for _, d := range p.blobs {
		if !p.begun[d.Digest] {
			p.c.tell(Event{Blob: d, State: Present, Done: d.Size})
		}
	}
	return nil
}

func (p *pusher) transferred() (t Transferred) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for h, d := range p.blobs {
		if p.begun[h] {
			t.Blobs++
			t.Bytes += d.Size
		} else {
			t.PresentBlobs++
			t.PresentBytes += d.Size
		}
	}
	return t
}

// content is what is pushed, as package remote wants it.
func (p *pusher) content(n images.Named) (remote.Taggable, error) {
	if !n.Descriptor.MediaType.IsIndex() {
		return p.image(n.Descriptor)
	}
	index, err := p.s.Index(n.Descriptor)
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	missing := &MissingError{Name: n.Name}
	for _, d := range m.Manifests {
		if p.s.Has(d.Digest) {
			continue
		}
		what := d.Digest.String()
		if d.Platform != nil {
			what = images.FormatPlatform(*d.Platform)
		}
		missing.Missing = append(missing.Missing, what)
	}
	if missing.Missing != nil {
		return nil, missing
	}
	return pushedIndex{index, p}, nil
}

func (p *pusher) image(d v1.Descriptor) (v1.Image, error) {
	img, err := p.s.V1(d)
	return pushedImage{img, p}, err
}

// findOrigins lists the layers of all images that are named after the registry.
func (p *pusher) findOrigins(ref name.Reference) (map[v1.Hash]name.Reference, error) {
	names, err := p.s.Names()
	if err != nil {
		return nil, err
	}
	origins := map[v1.Hash]name.Reference{}
	for _, n := range names {
		r, err := p.c.parse(n.Name)
		if err != nil || r.Context().RegistryStr() != ref.Context().RegistryStr() || r.Context().String() == ref.Context().String() {
			continue
		}
		children, err := p.s.Children(n.Name)
		if err != nil {
			continue // a damaged image has nothing to do with this one
		}
		for _, img := range children {
			m, err := img.Manifest()
			if err != nil {
				continue
			}
			for _, l := range m.Layers {
				origins[l.Digest] = r
			}
		}
	}
	return origins, nil
}

// pushedIndex gives images whose layers tell that they are sent.
type pushedIndex struct {
	children
	p *pusher
}

type children = v1.ImageIndex // a field may not have the name of a method

func (i pushedIndex) Image(h v1.Hash) (v1.Image, error) {
	img, err := i.children.Image(h)
	return pushedImage{img, i.p}, err
}

func (i pushedIndex) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	index, err := i.children.ImageIndex(h)
	return pushedIndex{index, i.p}, err
}

type pushedImage struct {
	v1.Image
	p *pusher
}

func (i pushedImage) Layers() ([]v1.Layer, error) {
	layers, err := i.Image.Layers()
	if err != nil {
		return nil, err
	}
	for n, l := range layers {
		pushed := pushedLayer{l, i.p, v1.Descriptor{}}
		if pushed.d.Digest, err = l.Digest(); err != nil {
			return nil, err
		}
		if pushed.d.Size, err = l.Size(); err != nil {
			return nil, err
		}
		if pushed.d.MediaType, err = l.MediaType(); err != nil {
			return nil, err
		}
		i.p.mu.Lock()
		i.p.blobs[pushed.d.Digest] = pushed.d
		i.p.mu.Unlock()
		layers[n] = pushed
		if origin, ok := i.p.origins[pushed.d.Digest]; ok {
			layers[n] = &remote.MountableLayer{Layer: pushed, Reference: origin}
		}
	}
	return layers, nil
}

// pushedLayer tells when it is read, which is when it is sent.
type pushedLayer struct {
	v1.Layer
	p *pusher
	d v1.Descriptor
}

func (l pushedLayer) Compressed() (io.ReadCloser, error) {
	r, err := l.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	l.p.mu.Lock()
	l.p.begun[l.d.Digest] = true
	l.p.mu.Unlock()
	var done int64
	return &counted{ReadCloser: r, read: func(n int) {
		done += int64(n)
		e := Event{Blob: l.d, State: Moving, Done: done}
		if done == l.d.Size && n > 0 {
			e.State = Complete
		}
		l.p.c.tell(e)
	}}, nil
}
