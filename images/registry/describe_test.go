package registry

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"vmctr/images"
	"vmctr/images/registry/registrytest"
)

// TestDescribe: an image is described without a byte of its layers, and the
// store says which of them it has.
func TestDescribe(t *testing.T) {
	server, s := registrytest.New(t), store(t)
	base, top := registrytest.Layer(t, 20, 1<<20, types.OCILayer), registrytest.Layer(t, 21, 1000, types.OCILayer)
	server.Put(t, "base", registrytest.Image(t, "amd64", false, base))
	server.Put(t, "app", registrytest.Index(t, types.OCIImageIndex, registrytest.Image(t, "amd64", false, base, top), registrytest.Image(t, "arm64", false, top)))
	if _, err := pull(t, client(), s, server.Host()+"/base"); err != nil {
		t.Fatal(err)
	}
	server.Requests()
	m, cfg, err := client().Describe(t.Context(), server.Host()+"/app", amd64)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range m.Layers {
		if n := server.Sent(l.Digest); n != 0 {
			t.Errorf("%d bytes of a layer came", n)
		}
	}
	layers, err := s.Layers(t.Context(), m, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 2 || !layers[0].Stored || layers[0].Archive < 1<<20 || layers[1].Stored || layers[1].Archive >= 0 {
		t.Errorf("layers %+v", layers)
	}

	_, _, err = client().Describe(t.Context(), server.Host()+"/app", v1.Platform{OS: "linux", Architecture: "s390x"})
	if e, ok := errors.AsType[*images.PlatformError](err); !ok || len(e.Have) != 2 {
		t.Errorf("for another platform: %v", err)
	}
	if _, _, err = client().Describe(t.Context(), server.Host()+"/nothing", amd64); err == nil || !strings.Contains(err.Error(), "/nothing") {
		t.Errorf("of an image that is not there: %v", err)
	}
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/blobs/"+m.Config.Digest.String()) {
			w.Write([]byte("{}"))
			return true
		}
		return false
	}
	if _, _, err = client().Describe(t.Context(), server.Host()+"/app", amd64); !errors.As(err, new(*images.DigestError)) {
		t.Errorf("a configuration that was changed: %v", err)
	}
}
