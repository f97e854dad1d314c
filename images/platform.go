package images

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// HostPlatform is the platform of this program, and so of what the host's
// kernel executes.
func HostPlatform() v1.Platform {
	return normalize(v1.Platform{OS: "linux", Architecture: runtime.GOARCH})
}

// ParsePlatform reads OS/ARCHITECTURE[/VARIANT], such as linux/arm64/v8, or an
// architecture alone.
func ParsePlatform(s string) (v1.Platform, error) {
	parts := strings.Split(s, "/")
	if len(parts) == 1 {
		parts = []string{"linux", s}
	}
	if len(parts) > 3 || slices.Contains(parts, "") {
		return v1.Platform{}, fmt.Errorf("%q is no platform: the form is OS/ARCHITECTURE[/VARIANT], such as linux/arm64", s)
	}
	p := v1.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return normalize(p), nil
}

// FormatPlatform is the form that ParsePlatform reads.
func FormatPlatform(p v1.Platform) string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// normalize gives a platform the one form that all ways to write it mean: the
// names of uname(1) are those of Go, and a variant that is assumed is left out
// (image-index.md, "Platform Variants"), but for that of arm.
func normalize(p v1.Platform) v1.Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "i386", "i486", "i586", "i686":
		p.Architecture, p.Variant = "386", ""
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	if len(p.Variant) == 1 && p.Variant[0] >= '0' && p.Variant[0] <= '9' {
		p.Variant = "v" + p.Variant
	}
	switch p.Architecture + "/" + p.Variant {
	case "amd64/v1", "arm64/v8":
		p.Variant = ""
	case "arm/":
		p.Variant = "v7"
	}
	return p
}

// better are the variants of an architecture, each of which runs what those
// after it run.
var better = map[string][]string{
	"amd64": {"v4", "v3", "v2", ""},
	"arm":   {"v8", "v7", "v6", "v5"},
}

// rank tells how well what is for one platform runs on another: 0 is best, -1
// not at all. A 64-bit processor also runs the programs of its 32-bit
// predecessor, as Docker assumes.
func rank(on, of v1.Platform) int {
	on, of = normalize(on), normalize(of)
	if on.OS != of.OS {
		return -1
	}
	if on.Architecture == of.Architecture && on.Variant == of.Variant {
		return 0
	}
	if on.Architecture == of.Architecture {
		list := better[on.Architecture]
		a, b := slices.Index(list, on.Variant), slices.Index(list, of.Variant)
		if a < 0 || b < a {
			return -1
		}
		return b - a
	}
	const predecessor = 10
	switch {
	case on.Architecture == "amd64" && of.Architecture == "386":
		return predecessor
	case on.Architecture == "arm64" && of.Architecture == "arm":
		if i := slices.Index(better["arm"], of.Variant); i >= 0 {
			return predecessor + i
		}
	}
	return -1
}

// Runs tells whether a host of one platform runs what is for another.
func Runs(on, of v1.Platform) bool { return rank(on, of) >= 0 }

// isAttestation tells whether an entry of an index is no image, but what a
// builder says of one; it has a platform that there is not.
func isAttestation(d v1.Descriptor) bool {
	return d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
}

// Choose finds, among the images of an index, the one for a platform: the best
// of those that run there, and of equals the first; nil if none does. have are
// the platforms that there are.
func Choose(list []v1.Descriptor, p v1.Platform) (best *v1.Descriptor, have []v1.Platform) {
	bestRank := -1
	for i, d := range list {
		if d.Platform == nil || isAttestation(d) || !d.MediaType.IsImage() {
			continue
		}
		have = append(have, *d.Platform)
		if r := rank(p, *d.Platform); r >= 0 && (bestRank < 0 || r < bestRank) {
			best, bestRank = &list[i], r
		}
	}
	return best, have
}

// A PlatformError is an image that there is not for a platform.
type PlatformError struct {
	Name string
	Want v1.Platform
	Have []v1.Platform // those that its index, or the image itself, names
	// Missing says that its index names one for Want, which is not in the store.
	Missing bool
}

func (e *PlatformError) Error() string {
	want := FormatPlatform(e.Want)
	if e.Missing {
		return fmt.Sprintf("the image %s for %s is not in the store, which has it for another platform only: bench image pull --platform %s %s gets it", e.Name, want, want, e.Name)
	}
	var have []string
	for _, p := range e.Have {
		have = append(have, FormatPlatform(p))
	}
	return fmt.Sprintf("the image %s is not for %s, but for %s: its programs are made of another processor's instructions; --platform names one of those", e.Name, want, strings.Join(have, ", "))
}
