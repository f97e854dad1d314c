package kernel

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestArm64: the three forms that a kernel for arm64 comes in hold the same.
func TestArm64(t *testing.T) {
	image := arm64Image("6.1.0-56-cloud-arm64", 1<<20)
	forms := map[string][]byte{"plain": image, "Image.gz": pack(t, "gzip", image)}
	for _, c := range []struct{ format, compression string }{{"gzip", "gzip"}, {"zstd", "zstd22"}, {"xz", "xzkern"}, {"lzma", "lzma"}} {
		forms["EFI, "+c.format] = zboot(c.compression, pack(t, c.format, image))
	}
	for name, b := range forms {
		t.Run(name, func(t *testing.T) {
			dir, cache := t.TempDir(), t.TempDir()
			path := filepath.Join(dir, "vmlinuz")
			files(t, dir, map[string][]byte{"vmlinuz": b})
			k, err := host{root: dir}.find(Options{Path: path, Arch: "arm64"})
			if err != nil {
				t.Fatal(err)
			}
			if k.Release != "6.1.0-56-cloud-arm64" || k.Arch != "arm64" {
				t.Errorf("%+v", k)
			}
			plain, err := k.Plain(cache)
			if err != nil {
				t.Fatal(err)
			}
			if (plain == path) != (name == "plain") {
				t.Errorf("it boots from %s", plain)
			}
			if got, err := os.ReadFile(plain); err != nil || !bytes.Equal(got, image) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

func TestArm64Bad(t *testing.T) {
	image := arm64Image("6.1.0", 4096)
	packed := zboot("gzip", pack(t, "gzip", image))
	for _, c := range []struct {
		name, want string
		b          []byte
	}{
		{"empty", "only 0 bytes", nil},
		{"text", "not a Linux Image for arm64", bytes.Repeat([]byte("not a kernel "), 100)},
		{"a bzImage", "it is a bzImage, for x86", bzImage("6.1.0", nil)},
		{"packed, not a kernel", "what it holds is not", pack(t, "gzip", bytes.Repeat([]byte("text"), 100_000))},
		{"EFI, cut off", "cut off", packed[:520]},
		{"EFI, beyond everything", "cut off", changed(packed, func(b []byte) { le.PutUint32(b[zbootOffsetAt:], 0xffffffff) })},
		{"EFI, of unknown compression", "not a Linux Image for arm64", zboot("rot13", bytes.Repeat([]byte("x"), 100))},
		{"EFI, damaged", "unpacking the Image for arm64 (gzip", changed(packed, func(b []byte) { b[540] ^= 0xff })},
		{"no banner", "no banner with its version", image[:arm64HeaderLen]},
		{"a banner with a path", "no banner with its version", arm64Image("../../etc", 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := unpackArm64(c.b)
			if err == nil {
				_, err = releaseInImage(b)
			}
			wantError(t, err, c.want)
		})
	}
}

func FuzzArm64(f *testing.F) {
	image := arm64Image("6.1.0-arm64", 1024)
	f.Add(image)
	f.Add(pack(f, "gzip", image))
	f.Add(zboot("zstd22", pack(f, "zstd", image)))
	f.Add(zboot("xzkern", pack(f, "xz", image)))
	f.Fuzz(func(t *testing.T, b []byte) {
		image, err := unpackArm64(b)
		if err != nil {
			return
		}
		if !isArm64(image) {
			t.Error("no Image came out")
		}
		if release, err := releaseInImage(image); err == nil && (filepath.Base(release) != release || release == "..") {
			t.Errorf("release %q is not the name of a file", release)
		}
	})
}
