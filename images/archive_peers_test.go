package images

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestPodman: archives go to podman and come back with the same layers, in each
// format that either writes.
func TestPodman(t *testing.T) {
	if _, err := exec.LookPath("podman"); err != nil {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "podman") {
			t.Fatalf("BENCH_REQUIRE holds podman: %v", err)
		}
		t.Skipf("%v; try: scripts/setup test", err)
	}
	needRoot(t)
	dir := t.TempDir()
	podman := func(args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		args = append([]string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}, args...)
		if out, err := exec.CommandContext(ctx, "podman", args...).CombinedOutput(); err != nil {
			t.Fatalf("podman %v: %v\n%s", args, err, out)
		}
	}
	s := open(t, t.TempDir())
	layer := archive(t, reg("etc/os-release", 0o644, "ID=test\n"))
	img := put(t, s, "localhost/ours:1", withPlatform(t, image(t, layer, archive(t, reg("x", 0o644, "y")), layer), "amd64"))
	n, err := s.Named(img.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, ours := range []Format{FormatOCI, FormatDocker} {
		var b bytes.Buffer
		if err := s.Export(t.Context(), &b, ours, n); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, string(ours)+".tar")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		podman("load", "-q", "-i", path)
		for _, theirs := range []string{"docker-archive", "oci-archive"} {
			path := filepath.Join(dir, string(ours)+"-"+theirs+".tar")
			podman("save", "-q", "--format", theirs, "-o", path, "localhost/ours:1")
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			other := open(t, t.TempDir())
			if _, err := importInto(t, other, f, ""); err != nil {
				t.Errorf("%s to podman and back as %s: %v", ours, theirs, err)
				continue
			}
			got, err := other.Image("localhost/ours:1", v1.Platform{OS: "linux", Architecture: "amd64"})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.DiffIDs(), img.DiffIDs()) {
				t.Errorf("%s to podman and back as %s: layers %v, want %v", ours, theirs, got.DiffIDs(), img.DiffIDs())
			}
			sound(t, other)
		}
		podman("rmi", "-f", "localhost/ours:1")
	}
}
