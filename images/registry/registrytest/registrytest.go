// Package registrytest is a registry on loopback for tests: it serves images of
// the shapes that are met outside, counts what it is asked for, and fails when
// it is told to.
package registrytest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Server is a registry. Its fields may be set before it is asked.
type Server struct {
	*httptest.Server
	// Fault answers a request in the registry's place, if it says so.
	Fault func(w http.ResponseWriter, r *http.Request) bool
	// NoRanges makes it answer with all of a blob, whatever was asked for.
	NoRanges bool

	inner http.Handler
	mu    sync.Mutex
	log   []string
	sent  map[string]int64 // bytes of bodies, by path
}

// New starts a registry without TLS.
func New(t testing.TB) *Server { return start(t, (*httptest.Server).Start) }

// NewTLS starts one with TLS, and a certificate that nobody knows.
func NewTLS(t testing.TB) *Server { return start(t, (*httptest.Server).StartTLS) }

func start(t testing.TB, how func(*httptest.Server)) *Server {
	s := &Server{inner: registry.New(registry.Logger(log.New(io.Discard, "", 0))), sent: map[string]int64{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	how(s.Server)
	t.Cleanup(s.Close)
	return s
}

// Host is the registry's in the name of an image.
func (s *Server) Host() string { return s.Listener.Addr().String() }

// Requests are those that came, as "GET /v2/..." with the range that was asked
// for, and forgets them.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.log
	s.log, s.sent = nil, map[string]int64{}
	return all
}

// Sent is how many bytes were sent of the blob since the last Requests.
func (s *Server) Sent(h v1.Hash) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, sent := range s.sent {
		if strings.HasSuffix(path, "/blobs/"+h.String()) {
			n += sent
		}
	}
	return n
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.log = append(s.log, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
	s.mu.Unlock()
	w = &meter{w, s, r.URL.Path}
	if s.Fault != nil && s.Fault(w, r) {
		return
	}
	s.Inner(w, r)
}

// Inner answers without a fault. The registry of go-containerregistry knows no
// open ranges: here it does.
func (s *Server) Inner(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/sha256:") || r.Header.Get("Range") == "" {
		s.inner.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	whole := r.Clone(r.Context())
	whole.Header.Del("Range")
	s.inner.ServeHTTP(rec, whole)
	if rec.Code == http.StatusOK && !s.NoRanges {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(rec.Body.Bytes()))
		return
	}
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
}

// meter counts what is sent.
type meter struct {
	http.ResponseWriter
	s    *Server
	path string
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.ResponseWriter.Write(p)
	m.s.mu.Lock()
	m.s.sent[m.path] += int64(n)
	m.s.mu.Unlock()
	return n, err
}

func (m *meter) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// CutAfter answers with the first n bytes of what the registry would say, and
// then breaks the connection.
func (s *Server) CutAfter(w http.ResponseWriter, r *http.Request, n int) {
	rec := httptest.NewRecorder()
	s.Inner(rec, r)
	for key, values := range rec.Header() {
		w.Header()[key] = values
	}
	w.Header().Set("Content-Length", fmt.Sprint(rec.Body.Len()))
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes()[:min(n, rec.Body.Len())])
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// Put brings an image, or an index, into the registry, past all faults.
func (s *Server) Put(t testing.TB, repository string, what remote.Taggable) {
	t.Helper()
	server := httptest.NewServer(s.inner)
	defer server.Close()
	ref, err := name.ParseReference(server.Listener.Addr().String() + "/" + repository)
	if err == nil {
		err = remote.Push(ref, what)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Layer is one of that many bytes, incompressible, and the same for the same seed.
func Layer(t testing.TB, seed uint64, size int, mediaType types.MediaType) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	content := make([]byte, size)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	rand.NewChaCha8(key).Read(content)
	for _, f := range []struct {
		name    string
		content []byte
	}{{"etc/os-release", fmt.Appendf(nil, "ID=test\nVERSION_ID=%d\n", seed)}, {fmt.Sprintf("lib/%d", seed), content}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithMediaType(mediaType))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Image is one of layers, with Docker's types or with those of OCI.
func Image(t testing.TB, architecture string, docker bool, layers ...v1.Layer) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	if docker {
		img = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.DockerManifestSchema2), types.DockerConfigJSON)
	}
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: architecture, Config: v1.Config{Cmd: []string{"/bin/sh"}}})
	if err == nil {
		img, err = mutate.AppendLayers(img, layers...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Index is one of images, by architecture, and an attestation of the first, as
// a builder adds it.
func Index(t testing.TB, mediaType types.MediaType, list ...v1.Image) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, mediaType)
	for _, img := range list {
		cfg, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: cfg.Architecture}}})
	}
	statement := static.NewLayer([]byte(`{"_type":"https://in-toto.io/Statement/v0.1"}`), "application/vnd.in-toto+json")
	attestation := Image(t, "unknown", false, statement)
	return mutate.AppendManifests(index, mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{
		Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
	}})
}

// Alpine has the shape of that image: one layer, Docker's types, two platforms.
func Alpine(t testing.TB) v1.ImageIndex {
	return Index(t, types.DockerManifestList,
		Image(t, "amd64", true, Layer(t, 1, 3<<20, types.DockerLayer)),
		Image(t, "arm64", true, Layer(t, 2, 3<<20, types.DockerLayer)))
}

// Ubuntu has the shape of that image: an OCI index.
func Ubuntu(t testing.TB) v1.ImageIndex {
	return Index(t, types.OCIImageIndex,
		Image(t, "amd64", false, Layer(t, 3, 1<<20, types.OCILayer)),
		Image(t, "arm64", false, Layer(t, 4, 1<<20, types.OCILayer)))
}
