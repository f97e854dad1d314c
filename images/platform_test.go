package images

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TestChoose holds the choice against Docker's: containerd's platforms.Only, of
// its package github.com/containerd/platforms.
func TestChoose(t *testing.T) {
	for _, tt := range []struct{ on, index, want string }{
		{"linux/amd64", "linux/amd64 linux/arm64", "linux/amd64"},
		{"linux/amd64", "linux/arm64 linux/amd64", "linux/amd64"},
		{"linux/amd64", "linux/arm64 linux/s390x", ""},
		{"linux/amd64", "windows/amd64 linux/amd64", "linux/amd64"},
		{"linux/amd64", "windows/amd64", ""},
		{"linux/amd64", "unknown/unknown linux/amd64", "linux/amd64"}, // an attestation of BuildKit
		{"linux/amd64", "unknown/unknown", ""},
		{"linux/amd64", "linux/386", "linux/386"},
		{"linux/amd64", "linux/386 linux/amd64", "linux/amd64"},
		{"linux/386", "linux/amd64", ""},
		{"linux/amd64", "linux/amd64/v1", "linux/amd64/v1"},
		{"linux/amd64", "linux/amd64/v2 linux/amd64", "linux/amd64"},
		{"linux/amd64", "linux/amd64/v2", ""},
		{"linux/amd64/v3", "linux/amd64 linux/amd64/v2 linux/amd64/v4", "linux/amd64/v2"},
		{"linux/amd64/v3", "linux/amd64/v3 linux/amd64", "linux/amd64/v3"},
		{"linux/amd64/v1", "linux/amd64", "linux/amd64"},
		{"linux/arm64", "linux/arm64/v8", "linux/arm64/v8"},
		{"linux/arm64/v8", "linux/arm64", "linux/arm64"},
		{"linux/arm64", "linux/arm/v7 linux/arm64", "linux/arm64"},
		{"linux/arm64", "linux/arm/v6 linux/arm/v7", "linux/arm/v7"},
		{"linux/arm/v7", "linux/arm/v5 linux/arm/v6", "linux/arm/v6"},
		{"linux/arm/v6", "linux/arm/v7", ""},
		{"linux/arm/v6", "linux/arm/v7 linux/arm/v5", "linux/arm/v5"},
		{"linux/arm", "linux/arm/v7", "linux/arm/v7"}, // v7 is what is meant without one
		{"linux/arm/v7", "linux/arm", "linux/arm"},
		{"linux/arm/v7", "linux/arm64", ""},
		{"linux/x86_64", "linux/amd64", "linux/amd64"},
		{"linux/aarch64", "linux/arm64", "linux/arm64"},
		{"linux/armhf", "linux/arm/v7", "linux/arm/v7"},
		{"linux/armel", "linux/arm/v7", ""},
		{"linux/s390x", "linux/amd64 linux/s390x", "linux/s390x"},
		{"arm64", "linux/amd64 linux/arm64", "linux/arm64"}, // the system is this one's
	} {
		on, err := ParsePlatform(tt.on)
		if err != nil {
			t.Fatal(err)
		}
		var list []v1.Descriptor
		for _, s := range strings.Fields(tt.index) {
			// As an index has it: no name is made another.
			parts := append(strings.Split(s, "/"), "")
			list = append(list, v1.Descriptor{MediaType: types.OCIManifestSchema1, Platform: &v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}})
		}
		got := ""
		if d, _ := Choose(list, on); d != nil {
			got = FormatPlatform(*d.Platform)
		}
		if got != tt.want {
			t.Errorf("on %s, of %s: %q, want %q", tt.on, tt.index, got, tt.want)
		}
	}
}

// TestChooseFirst: of several that are as good, the first.
func TestChooseFirst(t *testing.T) {
	p := &v1.Platform{OS: "linux", Architecture: "amd64"}
	list := []v1.Descriptor{
		{MediaType: types.OCIManifestSchema1},                          // for nobody knows what
		{MediaType: "application/vnd.in-toto+json", Platform: p},       // no image
		{MediaType: types.DockerManifestSchema2, Size: 1, Platform: p}, // Docker's own type
		{MediaType: types.OCIManifestSchema1, Size: 2, Platform: p},
	}
	if d, have := Choose(list, *p); d == nil || d.Size != 1 || len(have) != 2 {
		t.Errorf("%v of %v", d, have)
	}
}

func TestParsePlatform(t *testing.T) {
	for s, want := range map[string]string{
		"linux/arm64/v8": "linux/arm64", "LINUX/ARM64": "linux/arm64", "amd64": "linux/amd64", "linux/arm": "linux/arm/v7", "linux/arm/6": "linux/arm/v6",
		"": "", "linux/": "", "/amd64": "", "linux/arm/v7/x": "", "linux//v8": "",
	} {
		p, err := ParsePlatform(s)
		if (err != nil) != (want == "") || err == nil && FormatPlatform(p) != want {
			t.Errorf("%q: %v, %v, want %q", s, p, err, want)
		}
	}
}
