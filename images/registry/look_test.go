package registry

import (
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/images/registry/registrytest"
)

// TestLook: what a pull would bring is known without one.
func TestLook(t *testing.T) {
	index := registrytest.Alpine(t)
	server := registrytest.New(t)
	server.Put(t, "alpine", index)
	ref := server.Host() + "/alpine"
	for n, architecture := range []string{"amd64", "arm64"} {
		m, config, err := client().Look(t.Context(), ref, v1.Platform{OS: "linux", Architecture: architecture})
		if err != nil {
			t.Fatal(err)
		}
		if want := layer(t, index, n); len(m.Layers) != 1 || m.Layers[0].Digest != want.Digest || config.Architecture != architecture {
			t.Errorf("%s: layers %v of %s, want %v", architecture, m.Layers, config.Architecture, want)
		}
		if sent := server.Sent(layer(t, index, n).Digest); sent != 0 {
			t.Errorf("%s: %d bytes of the layer came", architecture, sent)
		}
	}
	if _, _, err := client().Look(t.Context(), ref, v1.Platform{OS: "linux", Architecture: "s390x"}); err == nil || !strings.Contains(err.Error(), "is not for linux/s390x") {
		t.Error(err)
	}
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			w.Write([]byte("{}"))
			return true
		}
		return false
	}
	if _, _, err := client().Look(t.Context(), ref, amd64); err == nil || !strings.Contains(err.Error(), "damaged or changed") {
		t.Errorf("another configuration: %v", err)
	}
}
