package registry

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"vmctr/images"
	"vmctr/images/registry/registrytest"
)

// named is the name of the only image of a store.
func named(t testing.TB, s *images.Store, ref string) images.Named {
	t.Helper()
	n, err := s.Named(ref)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func push(t testing.TB, c *Client, s *images.Store, n images.Named, ref string) (Transferred, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return c.Push(ctx, s, n, ref)
}

// TestPush: an index goes to another registry and comes back the same.
func TestPush(t *testing.T) {
	index := registrytest.Alpine(t)
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	from, to, s := registrytest.New(t), registrytest.New(t), store(t)
	from.Put(t, "alpine", index)
	ref := from.Host() + "/alpine"
	if _, err := pull(t, client(), s, ref); err != nil {
		t.Fatal(err)
	}
	_, err = push(t, client(), s, named(t, s, ref), to.Host()+"/copy:1")
	if err == nil || !strings.Contains(err.Error(), "those for linux/arm64, unknown/unknown are not in the store: bench image pull --all-platforms "+ref) {
		t.Errorf("an index with one platform: %v", err)
	}
	if _, err := pullAs(t, client(), s, ref, images.ForAll); err != nil {
		t.Fatal(err)
	}
	l := layer(t, index, 0)
	n, err := push(t, client(), s, named(t, s, ref), to.Host()+"/copy:1")
	if err != nil {
		t.Fatal(err)
	}
	if n.Blobs != 3 || n.Bytes < 2*l.Size || n.PresentBlobs != 0 {
		t.Errorf("transferred %+v", n)
	}
	other := store(t)
	if _, err := pullAs(t, client(), other, to.Host()+"/copy:1", images.ForAll); err != nil {
		t.Fatal(err)
	}
	if got := named(t, other, to.Host()+"/copy:1").Descriptor.Digest; got != digest {
		t.Errorf("what came back is %s, not %s", got, digest)
	}
	verify(t, other)
}

// TestPushSendsLittle: a layer that the registry has, there or in another
// repository, is not sent.
func TestPushSendsLittle(t *testing.T) {
	server, s := registrytest.New(t), store(t)
	base := registrytest.Layer(t, 20, 1<<20, types.OCILayer)
	server.Put(t, "base", registrytest.Image(t, "amd64", false, base))
	if _, err := pull(t, client(), s, server.Host()+"/base"); err != nil {
		t.Fatal(err)
	}
	ref := server.Host() + "/app"
	if _, err := s.Put(t.Context(), ref, registrytest.Image(t, "amd64", false, base, registrytest.Layer(t, 21, 1000, types.OCILayer))); err != nil {
		t.Fatal(err)
	}
	server.Requests()
	// The registry of the test has one room for all repositories. One that has
	// not would say that it has no such blob here.
	h, _ := base.Digest()
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "/app/blobs/"+h.String()) {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		if r.Method == http.MethodPost && r.FormValue("mount") == h.String() && r.FormValue("from") == "base" {
			w.WriteHeader(http.StatusCreated)
			return true
		}
		return false
	}
	var present []v1.Hash
	c := client()
	c.Progress = func(e Event) {
		if e.State == Present {
			present = append(present, e.Blob.Digest)
		}
	}
	n, err := push(t, c, s, named(t, s, ref), ref)
	if err != nil {
		t.Fatal(err)
	}
	if n.Blobs != 1 || n.PresentBlobs != 1 || !slices.Equal(present, []v1.Hash{h}) {
		t.Errorf("transferred %+v; said to be there: %v", n, present)
	}
	server.Fault = nil
	if n, err := push(t, client(), s, named(t, s, ref), ref); err != nil || n.Blobs != 0 {
		t.Errorf("again: %+v, %v", n, err)
	}
}

// TestPushRetries: a registry that is busy gets it at the second try, and one
// that refuses says so.
func TestPushRetries(t *testing.T) {
	server, s := registrytest.New(t), store(t)
	ref := server.Host() + "/app"
	if _, err := s.Put(t.Context(), ref, registrytest.Image(t, "amd64", false, registrytest.Layer(t, 30, 1<<20, types.OCILayer))); err != nil {
		t.Fatal(err)
	}
	failed := map[string]bool{}
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if what := r.Method; what != http.MethodHead && !failed[what] {
			failed[what] = true
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	c := client()
	c.Parallel = 1
	if _, err := push(t, c, s, named(t, s, ref), ref); err != nil {
		t.Error(err)
	}
	if !failed[http.MethodPut] {
		t.Error("nothing failed")
	}
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	if _, err := s.Put(t.Context(), ref, registrytest.Image(t, "amd64", false, registrytest.Layer(t, 31, 1000, types.OCILayer))); err != nil {
		t.Fatal(err)
	}
	if _, err := push(t, c, s, named(t, s, ref), ref); err == nil || !strings.Contains(err.Error(), "does not allow it") {
		t.Errorf("without the right: %v", err)
	}
}
