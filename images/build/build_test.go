package build

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"vmctr/images"
)

// blobs are in memory.
type blobs map[v1.Hash][]byte

func (b blobs) Add(_ context.Context, t types.MediaType, r io.Reader) (v1.Descriptor, error) {
	content, err := io.ReadAll(r)
	if err != nil {
		return v1.Descriptor{}, err
	}
	h := v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(content))}
	b[h] = content
	return v1.Descriptor{MediaType: t, Size: int64(len(content)), Digest: h}, nil
}

func read[T any](t *testing.T, b blobs, h v1.Hash) (v T) {
	t.Helper()
	if err := json.Unmarshal(b[h], &v); err != nil {
		t.Fatalf("%s: %v", h, err)
	}
	return v
}

func needApt(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("apt-get"); err != nil {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "apt") {
			t.Fatalf("BENCH_REQUIRE holds apt: %v", err)
		}
		t.Skipf("asks apt: %v; run on Debian or Ubuntu", err)
	}
}

// mirror is a folder that apt takes packages from.
type mirror struct {
	dir      string
	packages []string // paragraphs of its list
}

// add makes a package in it.
func (m *mirror) add(t *testing.T, name, version, arch, fields string, files ...string) {
	t.Helper()
	p := packaged{version: version, arch: arch, content: map[string]string{}}
	for _, f := range files {
		p.files = append(p.files, tarFile(f))
		p.content[f] = version
	}
	b := p.deb(t, name, "")
	file := fmt.Sprintf("%s_%s_%s.deb", name, strings.TrimPrefix(version, "1:"), arch)
	if err := os.WriteFile(filepath.Join(m.dir, file), b, 0o644); err != nil {
		t.Fatal(err)
	}
	m.packages = append(m.packages, fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Nobody <nobody@example.org>\nFilename: ./%s\nSize: %d\nSHA256: %x\n%sDescription: test\n", name, version, arch, file, len(b), sha256.Sum256(b), fields))
}

// publish writes its list, and says who it is from; it gives the sources that
// name it.
func (m *mirror) publish(t *testing.T, origin, date string) (sources string) {
	t.Helper()
	list := strings.Join(m.packages, "\n")
	release := fmt.Sprintf("Origin: %s\nLabel: Debian\nCodename: test\nDate: %s\nSHA256:\n %x %d Packages\n", origin, date, sha256.Sum256([]byte(list)), len(list))
	sources = filepath.Join(t.TempDir(), "sources.list")
	for file, content := range map[string]string{filepath.Join(m.dir, "Packages"): list, filepath.Join(m.dir, "Release"): release, sources: "deb [trusted=yes] file:" + m.dir + " ./\n"} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return sources
}

const (
	monday  = "Mon, 02 Nov 2026 10:00:00 UTC"
	tuesday = "Tue, 03 Nov 2026 10:00:00 UTC"
)

var testRecipes = fstest.MapFS{
	"base.yaml": {Data: []byte("about: A base.\nfrom: scratch\nlayers: [{packages: [lib]}]\nconfig: {cmd: [sh], env: [A=1]}")},
	"app.yaml":  {Data: []byte("from: base\nlayers: [{packages: [app], without: [heavy]}, {files: {/etc/app: {content: x}}}]\nconfig: {cmd: [app], ports: ['80']}\nready: {port: 80}")},
}

// site is a place to build in: a cache, a store, locks.
func site(t *testing.T, sources string) (*Builder, blobs) {
	t.Helper()
	dir, to := t.TempDir(), blobs{}
	return &Builder{
		To: to, Cache: filepath.Join(dir, "cache"), Sources: sources, Log: t.Logf,
		Lock: func(r *Recipe) string { return filepath.Join(dir, "locks", r.Name+".json") },
	}, to
}

func recipe(t *testing.T, name string) *Recipe {
	t.Helper()
	r, err := Load(testRecipes, testRecipes, name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBuild builds images from a mirror of its own, with the host's apt.
func TestBuild(t *testing.T) {
	needApt(t)
	amd64, arm64 := v1.Platform{OS: "linux", Architecture: "amd64"}, v1.Platform{OS: "linux", Architecture: "arm64"}
	m := &mirror{dir: t.TempDir()}
	for _, arch := range []string{"amd64", "arm64"} {
		m.add(t, "lib", "1:1.0", arch, "", "./lib/lib-"+arch)
		m.add(t, "app", "1.0", arch, "Depends: lib (>= 1:1), data, heavy:any (>= 3)\nRecommends: more\n", "./bin/app-"+arch)
		m.add(t, "heavy", "3.0", arch, "Multi-Arch: allowed\n", "./heavy")
	}
	m.add(t, "data", "1.0", "all", "", "./usr/share/data")
	m.add(t, "more", "1.0", "all", "", "./usr/share/more")
	sources := m.publish(t, "Debian", monday)
	b, to := site(t, sources)
	build := func(b *Builder, name string, platforms ...v1.Platform) v1.Descriptor {
		t.Helper()
		d, err := b.Build(t.Context(), recipe(t, name), platforms)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}

	d := build(b, "app", amd64)
	manifest := read[v1.Manifest](t, to, d.Digest)
	config := read[v1.ConfigFile](t, to, manifest.Config.Digest)
	if len(manifest.Layers) != 3 || len(config.RootFS.DiffIDs) != 3 || len(config.History) != 3 {
		t.Fatalf("layers of base and app: %d, %d diff IDs", len(manifest.Layers), len(config.RootFS.DiffIDs))
	}
	if config.Architecture != "amd64" || !slices.Equal(config.Config.Cmd, []string{"app"}) || !slices.Equal(config.Config.Env, []string{"A=1"}) {
		t.Errorf("config: %+v", config)
	}
	if got := config.Created.Format("2006-01-02"); got != "2026-11-02" {
		t.Errorf("it was created on %s; the list is of 2026-11-02", got)
	}
	if ready, ok, err := images.ReadyOf(config.Config); !ok || err != nil || ready.Port != 80 {
		t.Errorf("ready: %+v, %v, %v", ready, ok, err)
	}
	lock, err := ReadLock(b.Lock(recipe(t, "app")))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range lock.Platforms["linux/amd64"] {
		for _, p := range l.Packages {
			names = append(names, p.String())
		}
	}
	// Neither what it does without, nor what is only recommended, nor the base's again.
	if want := []string{"lib 1:1.0 (amd64)", "app 1.0 (amd64)", "data 1.0 (all)"}; !slices.Equal(names, want) {
		t.Errorf("the lock has %q, want %q", names, want)
	}

	base := read[v1.Manifest](t, to, build(b, "base", amd64).Digest)
	if base.Layers[0].Digest != manifest.Layers[0].Digest {
		t.Error("the base's layer is another one in the image on it")
	}

	index := read[v1.IndexManifest](t, to, build(b, "app", amd64, arm64).Digest)
	if len(index.Manifests) != 2 || index.Manifests[0].Digest != d.Digest || index.Manifests[1].Platform.Architecture != "arm64" {
		t.Errorf("index: %+v", index.Manifests)
	}

	t.Run("interrupted", func(t *testing.T) {
		other, _ := site(t, sources)
		ctx, cancel := context.WithCancel(t.Context())
		other.Log = func(string, ...any) { cancel() } // the first that it does
		if _, err := other.Build(ctx, recipe(t, "app"), []v1.Platform{amd64}); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
			t.Errorf("%v", err)
		}
		other.Log = nil
		if got := build(other, "app", amd64); got.Digest != d.Digest {
			t.Errorf("after an interrupted build: %s, and was %s", got.Digest, d.Digest)
		}
	})
	t.Run("elsewhere", func(t *testing.T) {
		other, _ := site(t, sources)
		if got := build(other, "app", amd64); got.Digest != d.Digest {
			t.Errorf("from the same mirror: %s, and was %s", got.Digest, d.Digest)
		}
	})

	// The mirror goes on.
	m.packages = nil
	m.add(t, "lib", "1:1.1", "amd64", "", "./lib/lib-amd64")
	m.add(t, "app", "1.1", "amd64", "Depends: lib (>= 1:1.1)\n", "./bin/app-amd64")
	sources = m.publish(t, "Debian", tuesday)
	locks := b.Lock

	t.Run("from the lock, with the mirror", func(t *testing.T) {
		other, _ := site(t, sources)
		other.Lock = locks
		if got := build(other, "app", amd64); got.Digest != d.Digest { // the old files are still there
			t.Errorf("from the lock: %s, and was %s", got.Digest, d.Digest)
		}
	})
	old, err := filepath.Glob(filepath.Join(m.dir, "*1.0*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("from the lock, without a mirror", func(t *testing.T) {
		other, _ := site(t, "/nonexistent")
		other.Lock, other.Cache = locks, b.Cache
		if got := build(other, "app", amd64); got.Digest != d.Digest {
			t.Errorf("from lock and cache: %s, and was %s", got.Digest, d.Digest)
		}
	})
	t.Run("a version that has gone", func(t *testing.T) {
		other, _ := site(t, sources)
		other.Lock = locks
		_, err := other.Build(t.Context(), recipe(t, "app"), []v1.Platform{amd64})
		if err == nil || !strings.Contains(err.Error(), "lib 1:1.0 (amd64)") || !strings.Contains(err.Error(), "--update") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a base that is too old", func(t *testing.T) {
		other, _ := site(t, sources)
		other.Lock = func(r *Recipe) string {
			if r.Name == "base" {
				return locks(r)
			}
			return filepath.Join(other.Cache, "new.json")
		}
		if err := errors.Join(os.Mkdir(other.Cache, 0o755), os.Symlink(filepath.Join(b.Cache, "debs"), filepath.Join(other.Cache, "debs"))); err != nil {
			t.Fatal(err)
		}
		_, err := other.Build(t.Context(), recipe(t, "app"), []v1.Platform{amd64})
		if err == nil || !strings.Contains(err.Error(), "lib 1:1.1 (amd64) is needed in place of version 1:1.0") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a recipe that has changed", func(t *testing.T) {
		other, _ := site(t, sources)
		other.Lock = locks
		changed, err := Load(fstest.MapFS{"app.yaml": {Data: []byte("from: base\nlayers: [{packages: [app, more]}]")}}, testRecipes, "app")
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.Build(t.Context(), changed, []v1.Platform{amd64})
		if err == nil || !strings.Contains(err.Error(), "--update") || !strings.Contains(err.Error(), "app.json is of other packages") {
			t.Errorf("%v", err)
		}
	})
	t.Run("update", func(t *testing.T) {
		other, to := site(t, sources)
		other.Lock, other.Update = locks, true
		got := build(other, "app", amd64)
		if got.Digest == d.Digest {
			t.Error("the same image after an update")
		}
		base := read[v1.Manifest](t, to, build(other, "base", amd64).Digest)
		if base.Layers[0].Digest != read[v1.Manifest](t, to, got.Digest).Layers[0].Digest {
			t.Error("the base was not updated with it")
		}
	})
	t.Run("not Debian's", func(t *testing.T) {
		other, _ := site(t, m.publish(t, "Ubuntu", tuesday))
		_, err := other.Build(t.Context(), recipe(t, "app"), []v1.Platform{amd64})
		if err == nil || !strings.Contains(err.Error(), "has those of Ubuntu") || !strings.Contains(err.Error(), "--sources FILE") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a package that there is not", func(t *testing.T) {
		other, _ := site(t, m.publish(t, "Debian", tuesday))
		r, err := Load(fstest.MapFS{"x.yaml": {Data: []byte("from: scratch\nlayers: [{packages: [nothere]}]")}}, testRecipes, "x")
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.Build(t.Context(), r, []v1.Platform{amd64})
		if err == nil || !strings.Contains(err.Error(), "Unable to locate package nothere") {
			t.Errorf("%v", err)
		}
	})
}

func TestNoApt(t *testing.T) {
	t.Setenv("PATH", "")
	b, _ := site(t, "")
	_, err := b.Build(t.Context(), recipe(t, "base"), []v1.Platform{{OS: "linux", Architecture: "amd64"}})
	if err == nil || !strings.Contains(err.Error(), "this host has no apt") {
		t.Errorf("%v", err)
	}
}

func TestArchitecture(t *testing.T) {
	for _, tt := range []struct{ platform, want string }{
		{"linux/amd64", "amd64"}, {"linux/arm64/v8", "arm64"}, {"arm", "armhf"}, {"linux/386", "i386"}, {"linux/ppc64le", "ppc64el"},
	} {
		p, err := images.ParsePlatform(tt.platform)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := architecture(p); got != tt.want || err != nil {
			t.Errorf("%s is %q, %v; want %q", tt.platform, got, err, tt.want)
		}
	}
	for _, p := range []v1.Platform{{OS: "windows", Architecture: "amd64"}, {OS: "linux", Architecture: "loong64"}} {
		if got, err := architecture(p); err == nil {
			t.Errorf("%v is %q", p, got)
		}
	}
}
