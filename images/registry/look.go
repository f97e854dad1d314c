package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/images"
)

// Look reads the manifest and the configuration of an image for a platform, and
// keeps nothing: what layers it has, and so what a pull would bring.
func (c *Client) Look(ctx context.Context, ref string, platform v1.Platform) (*v1.Manifest, *v1.ConfigFile, error) {
	r, err := c.parse(ref)
	if err != nil {
		return nil, nil, err
	}
	p := &puller{c: c, repo: r.Context()}
	closeIdle, err := p.connect(ctx)
	if err != nil {
		return nil, nil, explain("looking at", r, err)
	}
	defer closeIdle()
	d, raw, err := p.manifest(ctx, r)
	if err == nil && d.MediaType.IsIndex() {
		d, raw, err = p.choose(ctx, ref, raw, platform)
	}
	if err == nil && !d.MediaType.IsImage() {
		err = &images.MediaTypeError{MediaType: d.MediaType}
	}
	var m v1.Manifest
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	var config v1.ConfigFile
	if err == nil {
		err = p.json(ctx, m.Config, &config)
	}
	if err != nil {
		return nil, nil, explain("looking at", r, err)
	}
	return &m, &config, nil
}

// choose reads the manifest of an index for a platform.
func (p *puller) choose(ctx context.Context, ref string, index []byte, platform v1.Platform) (v1.Descriptor, []byte, error) {
	var m v1.IndexManifest
	if err := json.Unmarshal(index, &m); err != nil {
		return v1.Descriptor{}, nil, err
	}
	list, err := images.ForPlatform(ref, platform)(m.Manifests)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	raw, err := p.small(ctx, list[0])
	return list[0], raw, err
}

func (p *puller) json(ctx context.Context, d v1.Descriptor, to any) error {
	raw, err := p.small(ctx, d)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, to)
}

// small reads what is no larger than a manifest, and checks it.
func (p *puller) small(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	body, err := p.open(ctx, d, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	raw, err := io.ReadAll(io.LimitReader(body, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxManifest {
		return nil, fmt.Errorf("blob %s has more than %d bytes, which is too much for what it is", d.Digest, maxManifest)
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != d.Digest.Hex {
		return nil, &images.DigestError{Want: d.Digest, Have: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
	}
	return raw, nil
}
