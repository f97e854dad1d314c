package registry

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"vmctr/images"
	"vmctr/images/registry/registrytest"
)

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

// client is one that does not wait for long.
func client() *Client { return &Client{pause: time.Millisecond, CertDirs: []string{}} }

func store(t testing.TB) *images.Store {
	t.Helper()
	s, err := images.Open(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// pull pulls for amd64 and gives the image its name.
func pull(t testing.TB, c *Client, s *images.Store, ref string) (Transferred, error) {
	t.Helper()
	return pullAs(t, c, s, ref, images.ForPlatform(ref, amd64))
}

func pullAs(t testing.TB, c *Client, s *images.Store, ref string, choose func([]v1.Descriptor) ([]v1.Descriptor, error)) (Transferred, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, err := s.Writer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	d, n, err := c.Pull(ctx, w, ref, choose)
	if err != nil {
		return n, err
	}
	return n, w.Tag(ref, d)
}

// verify tells whether all that is in the store is right.
func verify(t testing.TB, s *images.Store) {
	t.Helper()
	problems, err := s.Verify(t.Context())
	for _, p := range problems {
		t.Errorf("%s: %v", p.Image, p.Err)
	}
	if err != nil {
		t.Error(err)
	}
}

// layer is the only layer of the image for a platform.
func layer(t testing.TB, index v1.ImageIndex, n int) v1.Descriptor {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(m.Manifests[n].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return manifest.Layers[0]
}

func isBlob(r *http.Request, d v1.Descriptor) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+d.Digest.String())
}

// TestPull: what is asked for and kept, of the shapes that registries have.
func TestPull(t *testing.T) {
	for _, tt := range []struct {
		name  string
		index v1.ImageIndex
	}{{"alpine", registrytest.Alpine(t)}, {"library/ubuntu:24.04", registrytest.Ubuntu(t)}} {
		t.Run(tt.name, func(t *testing.T) {
			server := registrytest.New(t)
			server.Put(t, tt.name, tt.index)
			ref := server.Host() + "/" + tt.name
			digest, err := tt.index.Digest()
			if err != nil {
				t.Fatal(err)
			}
			s := store(t)
			amd, arm := layer(t, tt.index, 0), layer(t, tt.index, 1)

			n, err := pull(t, client(), s, ref)
			if err != nil {
				t.Fatal(err)
			}
			if n.Blobs != 2 || n.Bytes < amd.Size || n.PresentBlobs != 0 { // configuration and layer
				t.Errorf("transferred %+v", n)
			}
			if got := server.Sent(arm.Digest); got != 0 {
				t.Errorf("%d bytes of another platform's layer came", got)
			}
			img, err := s.Image(ref, amd64)
			if err != nil {
				t.Fatal(err)
			}
			names, err := s.Names()
			if err != nil || len(names) != 1 || names[0].Descriptor.Digest != digest {
				t.Errorf("names %v, %v; want %s", names, err, digest)
			}
			if _, err := s.Image(ref, v1.Platform{OS: "linux", Architecture: "arm64"}); err == nil || !strings.Contains(err.Error(), "--platform linux/arm64") {
				t.Errorf("the platform that was not pulled: %v", err)
			}
			dirs, err := img.Unpack(t.Context())
			if err != nil || len(dirs) != 1 {
				t.Fatalf("%v, %v", dirs, err)
			}
			if b, err := os.ReadFile(filepath.Join(dirs[0], "etc/os-release")); err != nil || !strings.Contains(string(b), "ID=test") {
				t.Errorf("os-release %q, %v", b, err)
			}
			verify(t, s)

			// Again: nothing but the question what the name stands for.
			server.Requests()
			n, err = pull(t, client(), s, ref)
			if err != nil || n.Bytes != 0 || n.PresentBlobs != 2 || n.PresentBytes < amd.Size {
				t.Errorf("again: transferred %+v, %v", n, err)
			}
			if r := server.Requests(); len(r) != 2 || r[0] != "GET /v2/" && r[1] != "GET /v2/" {
				t.Errorf("again: requests %q", r)
			}
			// By its digest, all of it.
			if _, err := pullAs(t, client(), s, strings.Split(ref, ":24")[0]+"@"+digest.String(), images.ForAll); err != nil {
				t.Error(err)
			}
			if !s.Has(arm.Digest) {
				t.Error("not all platforms came")
			}
			verify(t, s)
		})
	}
}

// TestPullSharesLayers: a layer that another image has is not asked for.
func TestPullSharesLayers(t *testing.T) {
	server, s := registrytest.New(t), store(t)
	base, top := registrytest.Layer(t, 10, 1<<20, types.OCILayer), registrytest.Layer(t, 11, 1000, types.OCILayer)
	server.Put(t, "one", registrytest.Image(t, "amd64", false, base))
	server.Put(t, "two", registrytest.Image(t, "amd64", false, base, top))
	if _, err := pull(t, client(), s, server.Host()+"/one"); err != nil {
		t.Fatal(err)
	}
	server.Requests()
	var present []v1.Hash
	c := client()
	var mu sync.Mutex
	c.Progress = func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.State == Present {
			present = append(present, e.Blob.Digest)
		}
	}
	n, err := pull(t, c, s, server.Host()+"/two")
	if err != nil {
		t.Fatal(err)
	}
	h, _ := base.Digest()
	if server.Sent(h) != 0 || n.PresentBlobs != 1 || !slices.Equal(present, []v1.Hash{h}) {
		t.Errorf("sent %d bytes of the shared layer; %+v; said to be here: %v", server.Sent(h), n, present)
	}
}

// TestPullResumes: a connection that breaks costs what did not come, and no more.
func TestPullResumes(t *testing.T) {
	index := registrytest.Alpine(t)
	l := layer(t, index, 0)
	const cut = 1 << 20
	for _, noRanges := range []bool{false, true} {
		t.Run(fmt.Sprintf("no ranges %v", noRanges), func(t *testing.T) {
			server, s := registrytest.New(t), store(t)
			server.NoRanges = noRanges
			server.Put(t, "alpine", index)
			var cuts atomic.Int32
			server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				if isBlob(r, l) && cuts.Add(1) <= 2 {
					server.CutAfter(w, r, cut)
				}
				return false
			}
			if _, err := pull(t, client(), s, server.Host()+"/alpine"); err != nil {
				t.Fatal(err)
			}
			sent := server.Sent(l.Digest)
			requests := slices.DeleteFunc(server.Requests(), func(r string) bool { return !strings.Contains(r, l.Digest.String()) })
			if len(requests) != 3 || !strings.Contains(requests[1], "bytes=") || !strings.Contains(requests[2], "bytes=") {
				t.Errorf("requests %q", requests)
			}
			if !noRanges && sent > l.Size+cut/2 { // a part may be lost with its connection
				t.Errorf("%d bytes were sent, of a layer of %d", sent, l.Size)
			}
			verify(t, s)
		})
	}
}

// TestStall: an answer that begins and does not go on is given up and asked for
// again.
func TestStall(t *testing.T) {
	index := registrytest.Alpine(t)
	l := layer(t, index, 0)
	server, s := registrytest.New(t), store(t)
	server.Put(t, "alpine", index)
	var stalled atomic.Bool
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if !isBlob(r, l) || !stalled.CompareAndSwap(false, true) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(l.Size))
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	}
	c := client()
	c.patience = 200 * time.Millisecond
	var why error
	c.Progress = func(e Event) {
		if e.State == Retrying {
			why = e.Err
		}
	}
	if _, err := pull(t, c, s, server.Host()+"/alpine"); err != nil || !errors.Is(why, errStalled) {
		t.Errorf("error %v; tried again for %v", err, why)
	}
}

// TestInterruptedPull: what came before the user's Ctrl-C is not fetched again,
// and until then the store is whole.
func TestInterruptedPull(t *testing.T) {
	index := registrytest.Alpine(t)
	l := layer(t, index, 0)
	server, s := registrytest.New(t), store(t)
	server.Put(t, "alpine", index)
	ref := server.Host() + "/alpine"
	c := client()
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	c.Progress = func(e Event) {
		if e.Blob.Digest == l.Digest && e.Done > 1<<20 {
			cancel(interrupted)
		}
	}
	w, err := s.Writer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Pull(ctx, w, ref, images.ForPlatform(ref, amd64)); !errors.Is(err, interrupted) {
		t.Errorf("error %v", err)
	}
	w.Close()
	verify(t, s)
	if names, err := s.Names(); err != nil || len(names) != 0 {
		t.Errorf("names %v, %v", names, err)
	}
	n, err := pull(t, client(), s, ref)
	if err != nil {
		t.Fatal(err)
	}
	// What came again is little beside the layer: the configuration, perhaps.
	if n.Bytes > l.Size-1<<20+4096 || n.Bytes == 0 {
		t.Errorf("%d bytes came again, of a layer of %d", n.Bytes, l.Size)
	}
	verify(t, s)
}

// TestInterruptedPlatform: an image that is there for one platform is whole
// while, and after, the one for another does not come.
func TestInterruptedPlatform(t *testing.T) {
	index := registrytest.Alpine(t)
	l := layer(t, index, 1)
	server, s := registrytest.New(t), store(t)
	server.Put(t, "alpine", index)
	ref := server.Host() + "/alpine"
	if _, err := pull(t, client(), s, ref); err != nil {
		t.Fatal(err)
	}
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if isBlob(r, l) {
			server.CutAfter(w, r, 1000)
		}
		return false
	}
	if _, err := pullAs(t, client(), s, ref, images.ForAll); err == nil {
		t.Error("a layer that never came whole is there")
	}
	verify(t, s)
	if _, err := s.Image(ref, v1.Platform{OS: "linux", Architecture: "arm64"}); err == nil || !strings.Contains(err.Error(), "bench image pull --platform linux/arm64") {
		t.Errorf("the image that did not come: %v", err)
	}
}

// TestDamagedPartial: what an earlier try left and is wrong is fetched again.
func TestDamagedPartial(t *testing.T) {
	index := registrytest.Alpine(t)
	l := layer(t, index, 0)
	server, s := registrytest.New(t), store(t)
	server.Put(t, "alpine", index)
	if err := os.WriteFile(filepath.Join(s.Dir(), "ingest", l.Digest.Hex), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pull(t, client(), s, server.Host()+"/alpine"); err != nil {
		t.Fatal(err)
	}
	verify(t, s)
}

// TestRetry: a registry that is busy is asked again, when it says; one that stays
// so is given up.
func TestRetry(t *testing.T) {
	index := registrytest.Alpine(t)
	server := registrytest.New(t)
	server.Put(t, "alpine", index)
	ref := server.Host() + "/alpine"
	for _, tt := range []struct {
		status, times int
		after         string
		least         time.Duration
		want          string // error
	}{
		{status: 503, times: 2},
		{status: 500, times: tries - 1},
		{status: 429, times: 1, after: "1", least: time.Second},
		{status: 429, times: 1, after: "3600", want: "has had enough of us"},
		{status: 503, times: tries, want: "is in trouble"},
	} {
		var asked atomic.Int32
		server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/latest") || int(asked.Add(1)) > tt.times {
				return false
			}
			if tt.after != "" {
				w.Header().Set("Retry-After", tt.after)
			}
			w.WriteHeader(tt.status)
			return true
		}
		begin := time.Now()
		_, err := pull(t, client(), store(t), ref)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: error %v", tt, err)
		}
		if d := time.Since(begin); d < tt.least {
			t.Errorf("%+v: asked again after %v", tt, d)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": -1, "x": -1, "-1": -1, "7": 7 * time.Second, "Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Thu, 01 Jan 2026 03:05:05 GMT": 0,
	} {
		got, ok := retryAfter(http.Header{"Retry-After": {header}}, now)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %v; want %v", header, got, ok, want)
		}
	}
}

// TestPullRefuses: what a hostile or a broken registry says.
func TestPullRefuses(t *testing.T) {
	index := registrytest.Alpine(t)
	l := layer(t, index, 0)
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	manifest := func(contentType, content string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/manifests/") {
				w.Header().Set("Content-Type", contentType)
				fmt.Fprint(w, content)
				return true
			}
			return false
		}
	}
	descriptor := `{"mediaType":"application/vnd.oci.image.config.v1+json","size":%s,"digest":"sha256:` + strings.Repeat("0", 64) + `"}`
	oci := string(types.OCIManifestSchema1)
	for _, tt := range []struct {
		name  string
		ref   string
		fault func(w http.ResponseWriter, r *http.Request) bool
		want  string
	}{
		{"wrong bytes", "alpine", func(w http.ResponseWriter, r *http.Request) bool {
			if isBlob(r, l) {
				w.Write(make([]byte, l.Size))
				return true
			}
			return false
		}, "damaged or changed on its way"},
		{"too many bytes", "alpine", func(w http.ResponseWriter, r *http.Request) bool {
			if isBlob(r, l) {
				w.Write(make([]byte, l.Size+1))
				return true
			}
			return false
		}, "and more came"},
		{"too few bytes, always", "alpine", func(w http.ResponseWriter, r *http.Request) bool {
			return isBlob(r, l)
		}, "given up after 5 tries"},
		{"another manifest than the digest's", "alpine@" + digest.String(), manifest(oci, "{}"), "damaged or changed on its way"},
		{"a page to log in", "alpine", manifest("text/html", "<html>"), `of the type "text/html", is no manifest`},
		{"schema 1", "alpine", manifest(string(types.DockerManifestSchema1Signed), `{"schemaVersion":1,"fsLayers":[]}`), "Docker's schema 1"},
		{"a chart", "alpine", manifest("application/vnd.cncf.helm", `{}`), `of the type "application/vnd.cncf.helm"`},
		{"two types", "alpine", manifest(oci, `{"mediaType":"`+string(types.OCIImageIndex)+`"}`), "and the manifest says"},
		{"image and index", "alpine", manifest(oci, `{"config":`+fmt.Sprintf(descriptor, "2")+`,"manifests":[]}`), "at once"},
		{"no configuration", "alpine", manifest(oci, `{"layers":[]}`), "no configuration"},
		{"negative size", "alpine", manifest(oci, `{"config":`+fmt.Sprintf(descriptor, "-1")+`}`), "-1 bytes"},
		{"huge configuration", "alpine", manifest(oci, `{"config":`+fmt.Sprintf(descriptor, "99999999")+`}`), "99999999 bytes"},
		{"path as digest", "alpine", manifest(oci, `{"config":{"size":1,"digest":"sha256:../../../etc/passwd"}}`), "found non-hex character in hash"},
		{"huge manifest", "alpine", manifest(oci, strings.Repeat(" ", maxManifest+1)), "more than 4194304 bytes"},
		{"foreign layer", "alpine", manifest(oci, `{"config":`+fmt.Sprintf(descriptor, "2")+`,"layers":[{"mediaType":"`+string(types.DockerForeignLayer)+
			`","size":1,"digest":"sha256:`+strings.Repeat("0", 64)+`","urls":["https://example.com/x"]}]}`), "may not be copied"},
		{"no tag", "alpine:none", nil, "has no alpine with the tag or the digest none"},
		{"no name", "none", nil, "has no repository none"},
		{"no platform", "arm", nil, "is not for linux/amd64, but for linux/arm64"},
		{"bad reference", "UPPER", nil, "is no name of an image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, s := registrytest.New(t), store(t)
			server.Put(t, "alpine", index)
			server.Put(t, "arm", registrytest.Index(t, types.OCIImageIndex, registrytest.Image(t, "arm64", false)))
			server.Fault = tt.fault
			_, err := pull(t, client(), s, server.Host()+"/"+tt.ref)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if names, err := s.Names(); err != nil || len(names) != 0 {
				t.Errorf("names %v, %v", names, err)
			}
		})
	}
}

// TestTokens: a registry that wants a token from its server, and one that wants
// a password, with those of Docker's configuration.
func TestTokens(t *testing.T) {
	index := registrytest.Ubuntu(t)
	for _, scheme := range []string{"Bearer", "Basic"} {
		t.Run(scheme, func(t *testing.T) {
			server := registrytest.New(t)
			server.Put(t, "private/ubuntu", index)
			ref := server.Host() + "/private/ubuntu"
			server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				user, password, _ := r.BasicAuth()
				known := user == "teacher" && password == "secret"
				switch {
				case r.URL.Path == "/token" && known && r.FormValue("scope") == "repository:private/ubuntu:pull":
					fmt.Fprint(w, `{"token":"the token"}`)
				case r.URL.Path == "/token":
					w.WriteHeader(http.StatusUnauthorized)
				case scheme == "Basic" && known, scheme == "Bearer" && r.Header.Get("Authorization") == "Bearer the token":
					return false
				default:
					w.Header().Set("WWW-Authenticate", fmt.Sprintf(`%s realm="%s/token",service="test"`, scheme, server.URL))
					w.WriteHeader(http.StatusUnauthorized)
				}
				return true
			}
			dir := t.TempDir()
			t.Setenv("DOCKER_CONFIG", dir)
			if _, err := pull(t, client(), store(t), ref); err == nil || !strings.Contains(err.Error(), "docker login "+server.Host()) {
				t.Errorf("without credentials: %v", err)
			}
			config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, server.Host(), base64.StdEncoding.EncodeToString([]byte("teacher:secret")))
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := pull(t, client(), store(t), ref); err != nil {
				t.Error(err)
			}
			// A helper knows them, and no file.
			helper := "#!/bin/sh\n" + `echo '{"Username":"teacher","Secret":"secret"}'` + "\n"
			err := errors.Join(
				os.WriteFile(filepath.Join(dir, "config.json"), fmt.Appendf(nil, `{"credHelpers":{%q:"test"}}`, server.Host()), 0o600),
				os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte(helper), 0o755))
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			if _, err := pull(t, client(), store(t), ref); err != nil {
				t.Errorf("with a helper: %v", err)
			}
		})
	}
}

// TestTLS: certificates are checked, and those of the registry's folder trusted.
func TestTLS(t *testing.T) {
	server := registrytest.NewTLS(t)
	server.Put(t, "ubuntu", registrytest.Ubuntu(t))
	ref := server.Host() + "/ubuntu"
	if _, err := pull(t, client(), store(t), ref); err == nil || !strings.Contains(err.Error(), "/etc/docker/certs.d/"+server.Host()+"/ca.crt") {
		t.Errorf("an unknown authority: %v", err)
	}
	insecure := client()
	insecure.Insecure = true
	if _, err := pull(t, insecure, store(t), ref); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	ca := filepath.Join(dir, server.Host(), "ca.crt")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := errors.Join(os.Mkdir(filepath.Dir(ca), 0o755), os.WriteFile(ca, block, 0o644)); err != nil {
		t.Fatal(err)
	}
	c := client()
	c.CertDirs = []string{dir}
	if _, err := pull(t, c, store(t), ref); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(ca, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := pull(t, c, store(t), ref); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("no certificate: %v", err)
	}
}

// TestEncrypted: over a network nothing is asked in the clear.
func TestEncrypted(t *testing.T) {
	r, err := http.NewRequest(http.MethodGet, "http://192.0.2.1/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = encrypted{http.DefaultTransport}.RoundTrip(r)
	if _, ok := errors.AsType[*plainHTTPError](err); !ok {
		t.Errorf("error %v", err)
	}
}

// TestExplain: an error says what would fix it.
func TestExplain(t *testing.T) {
	c := client()
	ref, err := c.parse("registry.example:5000/team/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{x509.UnknownAuthorityError{}, "certs.d/registry.example:5000/ca.crt"},
		{fmt.Errorf("get: %w", http.ErrSchemeMismatch), "--plain-http"},
		{&plainHTTPError{"registry.example:5000"}, "--plain-http"},
		{fmt.Errorf("x: %w", errStalled), "may be bad"},
		{fmt.Errorf("x: %w", syscall.ENOSPC), "no space left on device\nThe disk is full: bench image prune removes what no image needs."},
		{fs.ErrInvalid, "pulling registry.example:5000/team/app:v1: invalid argument"},
	} {
		if got := explain("pulling", ref, tt.err); !strings.Contains(got.Error(), tt.want) || !errors.Is(got, tt.err) && tt.err != error(x509.UnknownAuthorityError{}) {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
	server := registrytest.New(t)
	server.Close()
	if _, err := pull(t, client(), store(t), server.Host()+"/x"); err == nil || !strings.Contains(err.Error(), "Nothing listens at "+server.Host()) {
		t.Errorf("nobody there: %v", err)
	}
}

// TestTwoPulls: two that pull the same at once fetch it once.
func TestTwoPulls(t *testing.T) {
	index := registrytest.Alpine(t)
	l := layer(t, index, 0)
	server, s := registrytest.New(t), store(t)
	server.Put(t, "alpine", index)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			other, err := images.Open(s.Dir())
			if err != nil {
				t.Error(err)
				return
			}
			defer other.Close()
			if _, err := pull(t, client(), other, server.Host()+"/alpine"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sent := server.Sent(l.Digest); sent != l.Size {
		t.Errorf("%d bytes were sent, of a layer of %d", sent, l.Size)
	}
	verify(t, s)
}
