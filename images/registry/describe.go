package registry

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"vmctr/images"
)

// Describe asks for what is known of an image for a platform without its
// layers: the manifest, which has their digests and sizes, and the configuration,
// which has their diff IDs. With that one can tell what a pull would fetch.
func (c *Client) Describe(ctx context.Context, ref string, platform v1.Platform) (*v1.Manifest, *v1.ConfigFile, error) {
	r, err := c.parse(ref)
	if err != nil {
		return nil, nil, err
	}
	p := &puller{c: c, repo: r.Context()}
	client, closeIdle, err := c.connect(ctx, p.repo, transport.PullScope)
	if err != nil {
		return nil, nil, explain("asking for", r, err)
	}
	defer closeIdle()
	p.http = client
	d, raw, err := p.manifest(ctx, r)
	if err == nil && d.MediaType.IsIndex() {
		var index v1.IndexManifest
		if err = json.Unmarshal(raw, &index); err == nil {
			child, have := images.Choose(index.Manifests, platform)
			if child == nil {
				return nil, nil, &images.PlatformError{Name: ref, Want: platform, Have: have}
			}
			_, raw, err = p.manifest(ctx, p.repo.Digest(child.Digest.String()))
		}
	}
	if err != nil {
		return nil, nil, explain("asking for", r, err)
	}
	m, cfg := &v1.Manifest{}, &v1.ConfigFile{}
	if err = json.Unmarshal(raw, m); err == nil {
		if raw, err = p.config(ctx, m.Config); err == nil {
			err = json.Unmarshal(raw, cfg)
		}
	}
	if err != nil {
		return nil, nil, explain("asking for", r, err)
	}
	return m, cfg, nil
}

// config gets a configuration into memory.
func (p *puller) config(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	resp, err := p.get(ctx, "blobs", d.Digest.String(), 0)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if have := fmt.Sprintf("%x", sha256.Sum256(raw)); have != d.Digest.Hex {
		return nil, &images.DigestError{Want: d.Digest, Have: v1.Hash{Algorithm: "sha256", Hex: have}}
	}
	return raw, nil
}
