package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"vmctr/images"
)

// Transferred is what a pull or a push had to do, and what not: configurations
// and layers.
type Transferred struct {
	Blobs        int   // that were brought, at least in part
	Bytes        int64 // of them
	PresentBlobs int   // that were there
	PresentBytes int64
}

// maxManifest is what a registry takes at least, and most take at most
// (distribution-spec, "Pushing Manifests"), in bytes.
const maxManifest = 4 << 20

// accept are the kinds of manifest that there are. Schema 1 is asked for too, or
// else a registry that has no other one would say that it has none.
var accept = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1),
	string(types.DockerManifestList), string(types.DockerManifestSchema2),
	string(types.DockerManifestSchema1Signed) + ";q=0.1",
}, ", ")

// Pull brings an image, or, of an index, the images that are chosen, into a
// store. It gives no name to it: that is for the caller, as long as the Writer
// is open. After an error what came is kept, and the next Pull goes on there.
func (c *Client) Pull(ctx context.Context, w *images.Writer, ref string, children func([]v1.Descriptor) ([]v1.Descriptor, error)) (v1.Descriptor, Transferred, error) {
	r, err := c.parse(ref)
	if err != nil {
		return v1.Descriptor{}, Transferred{}, err
	}
	p := &puller{c: c, w: w, repo: r.Context()}
	d, err := p.pull(ctx, r, children)
	if err != nil {
		return d, p.total, explain("pulling", r, err)
	}
	return d, p.total, nil
}

type puller struct {
	c    *Client
	w    *images.Writer
	repo name.Repository
	http *http.Client

	root    v1.Descriptor
	rootRaw []byte

	mu    sync.Mutex
	total Transferred
}

func (p *puller) pull(ctx context.Context, ref name.Reference, children func([]v1.Descriptor) ([]v1.Descriptor, error)) (v1.Descriptor, error) {
	closeIdle, err := p.connect(ctx)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer closeIdle()
	if p.root, p.rootRaw, err = p.manifest(ctx, ref); err != nil {
		return v1.Descriptor{}, err
	}
	return p.root, p.w.Fetch(ctx, p.root, images.Source{Manifest: p.child, Blob: p.blob, Children: children, Parallel: p.c.parallel()})
}

func (p *puller) connect(ctx context.Context) (closeIdle func(), err error) {
	p.http, closeIdle, err = p.c.connect(ctx, p.repo, transport.PullScope)
	return closeIdle, err
}

func (p *puller) url(kind, id string) string {
	u := url.URL{Scheme: p.repo.Scheme(), Host: p.repo.RegistryStr(), Path: fmt.Sprintf("/v2/%s/%s/%s", p.repo.RepositoryStr(), kind, id)}
	return u.String()
}

// manifest gets what a reference stands for.
func (p *puller) manifest(ctx context.Context, ref name.Reference) (v1.Descriptor, []byte, error) {
	fail := func(err error) (v1.Descriptor, []byte, error) { return v1.Descriptor{}, nil, err }
	resp, err := p.get(ctx, "manifests", ref.Identifier(), 0)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return fail(err)
	}
	if len(raw) > maxManifest {
		return fail(fmt.Errorf("its manifest has more than %d bytes, and no image needs that", maxManifest))
	}
	d := v1.Descriptor{Size: int64(len(raw)), Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(raw))}}
	if d.MediaType, err = mediaType(resp.Header.Get("Content-Type"), raw); err != nil {
		return fail(err)
	}
	// What was asked for by its digest has to have it; what the registry says
	// of it is better than nothing.
	want := resp.Header.Get("Docker-Content-Digest")
	if digest, ok := ref.(name.Digest); ok {
		want = digest.DigestStr()
	}
	if h, err := v1.NewHash(want); want != "" && err != nil {
		return fail(fmt.Errorf("the digest of its manifest: %w", err))
	} else if want != "" && h != d.Digest {
		return fail(&images.DigestError{Want: h, Have: d.Digest})
	}
	return d, raw, nil
}

// mediaType tells what a manifest is: by itself, or by the header, which must
// not say something else.
func mediaType(header string, raw []byte) (types.MediaType, error) {
	var m struct {
		MediaType types.MediaType `json:"mediaType"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", fmt.Errorf("the answer, of the type %q, is no manifest: %w", header, err)
	}
	t, _, _ := mime.ParseMediaType(header)
	said := types.MediaType(t)
	if m.MediaType == "" {
		return said, nil
	}
	if (said.IsImage() || said.IsIndex()) && said != m.MediaType {
		return "", fmt.Errorf("the registry says that its manifest is of the type %q, and the manifest says %q", said, m.MediaType)
	}
	return m.MediaType, nil
}

// child reads the manifest of a descriptor.
func (p *puller) child(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Digest == p.root.Digest {
		return p.rootRaw, nil
	}
	return p.small(ctx, d)
}

// blob brings one blob into the store, however often the connection breaks, as
// long as something comes.
func (p *puller) blob(ctx context.Context, d v1.Descriptor) error {
	if p.w.Store().Has(d.Digest) {
		p.present(d)
		return nil
	}
	var came int64     // bytes, in all tries
	restarted := false // for a wrong digest
	for n := 1; ; n++ {
		before, offset := came, int64(-1)
		err := p.w.Ingest(ctx, d, func(ctx context.Context, at int64) (io.ReadCloser, error) {
			offset = at
			p.c.tell(Event{Blob: d, State: Moving, Done: at})
			r, err := p.open(ctx, d, at)
			if err != nil {
				return nil, err
			}
			return &counted{ReadCloser: r, read: func(n int) {
				came += int64(n)
				p.c.tell(Event{Blob: d, State: Moving, Done: offset + came - before})
			}}, nil
		})
		switch wrong := (*images.DigestError)(nil); {
		case err == nil && offset < 0 && came == 0: // another process brought it
			p.present(d)
			return nil
		case err == nil:
			p.mu.Lock()
			p.total.Blobs++
			p.total.Bytes += came
			p.mu.Unlock()
			p.c.tell(Event{Blob: d, State: Complete, Done: d.Size})
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &wrong) && offset > 0 && !restarted:
			// The part that an earlier try left was damaged, it may be.
			restarted = true
		case !isTransient(err):
			return err
		case n == tries:
			return fmt.Errorf("given up after %d tries; what came is kept, and the next pull goes on there: %w", tries, err)
		}
		p.c.tell(Event{Blob: d, State: Retrying, Err: err})
		if err := sleep(ctx, backoff(p.c.pause, n)); err != nil {
			return err
		}
		if came-before >= enough {
			n = 0
		}
	}
}

// enough is how much has to come for an interruption not to count, in bytes.
const enough = 1 << 20

func (p *puller) present(d v1.Descriptor) {
	p.mu.Lock()
	p.total.PresentBlobs++
	p.total.PresentBytes += d.Size
	p.mu.Unlock()
	p.c.tell(Event{Blob: d, State: Present, Done: d.Size})
}

// open opens a blob at an offset.
func (p *puller) open(ctx context.Context, d v1.Descriptor, offset int64) (io.ReadCloser, error) {
	kind := "blobs"
	if d.MediaType.IsImage() || d.MediaType.IsIndex() {
		kind = "manifests"
	}
	resp, err := p.get(ctx, kind, d.Digest.String(), offset)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable ||
		resp.StatusCode == http.StatusPartialContent && !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
		// It has another idea of the blob, or of ranges: all of it, then.
		resp.Body.Close()
		if resp, err = p.get(ctx, kind, d.Digest.String(), 0); err != nil {
			return nil, err
		}
	}
	if resp.StatusCode == http.StatusOK && offset > 0 {
		if _, err := io.CopyN(io.Discard, resp.Body, offset); err != nil {
			resp.Body.Close()
			return nil, err
		}
	}
	return resp.Body, nil
}

// get asks for content, from an offset on if the registry can.
func (p *puller) get(ctx context.Context, kind, id string, offset int64) (*http.Response, error) {
	r, err := http.NewRequest(http.MethodGet, p.url(kind, id), nil)
	if err != nil {
		return nil, err
	}
	allowed := []int{http.StatusOK}
	if kind == "manifests" {
		r.Header.Set("Accept", accept)
	}
	if offset > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		allowed = append(allowed, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable)
	}
	resp, err := get(ctx, p.http, r, cmp.Or(p.c.patience, patience))
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, allowed...); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// counted tells of each read.
type counted struct {
	io.ReadCloser
	read func(int)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read(n)
	return n, err
}
