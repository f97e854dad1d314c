package kernel

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestFind(t *testing.T) {
	root := t.TempDir()
	const running = "6.18.44"
	image := func(release string) []byte { return bzImage(release, nil) }
	driver := ko("name=virtio_pci", "depends=")
	files(t, root, map[string][]byte{
		// The newest fetched has a number that a plain comparison of text
		// puts before the others.
		"cache/kernel/6.1.9-1/boot/vmlinuz-6.1.0-9-amd64":                            image("6.1.0-9-amd64"),
		"cache/kernel/6.1.9-1/lib/modules/6.1.0-9-amd64/kernel/virtio_pci.ko":        driver,
		"cache/kernel/6.1.192-2/boot/vmlinuz-6.1.0-56-amd64":                         image("6.1.0-56-amd64"),
		"cache/kernel/6.1.192-2/usr/lib/modules/6.1.0-56-amd64/kernel/virtio_pci.ko": driver,
		"cache/kernel/7/boot/vmlinuz-7.0-amd64":                                      image("7.0-amd64"), // no modules
		"cache/kernel/8/boot/vmlinuz-8.0-amd64":                                      []byte("half a download"),
		"cache/kernel/arm/boot/vmlinuz-9.0-arm64":                                    arm64Image("9.0-arm64", 4096),
		"cache/kernel/arm/lib/modules/9.0-arm64/kernel/virtio-pci.ko":                driver,
		"none/boot/other":                               nil,
		"own/boot/vmlinuz-" + running:                   image(running),
		"own/lib/modules/" + running + "/virtio_pci.ko": driver,
		"own/boot/vmlinuz-9.0":                          image("9.0"),
		"own/lib/modules/9.0/virtio_pci.ko":             driver,
		"built-in/boot/vmlinuz-" + running:              image(running),
		"built-in/boot/config-" + running:               []byte("CONFIG_VIRTIO=m\nCONFIG_VIRTIO_PCI=y\n"),
		"ikconfig/lib/modules/" + running + "/vmlinuz":  image(running),
		"ikconfig/proc/config.gz":                       pack(t, "gzip", []byte("CONFIG_VIRTIO_PCI=y\n")),
		"lacks/boot/vmlinuz-" + running:                 image(running),
		"lacks/lib/modules/" + running + "/other.ko":    driver,
		"lacks/boot/config-" + running:                  []byte("# CONFIG_VIRTIO_PCI is not set\n"),
		"other/boot/vmlinuz-5.10":                       image("5.10"),
		"other/boot/vmlinuz-5.9":                        image("5.9"),
		"other/boot/vmlinuz-6.0":                        image("6.0"), // no modules
		"other/lib/modules/5.10/virtio_pci.ko":          driver,
		"other/lib/modules/5.9/virtio_pci.ko":           driver,
		"given/renamed":                                 image("5.10"),
		"fedora/lib/modules/7.1.fc99/vmlinuz":           image("7.1.fc99"),
	})
	at := func(path string) string { return filepath.Join(root, path) }
	caches := Options{Caches: []string{at("none"), at("cache")}}
	arm := caches
	arm.Arch = "arm64"
	const fetched = "6.1.0-56-amd64"
	none := at("none/kernel/*/boot/vmlinuz-*")
	for _, c := range []struct {
		name, root string
		o          Options
		want       Kernel
		passed     []string
	}{
		{"the running one, though others are newer", "own", caches,
			Kernel{Release: running, Image: at("own/boot/vmlinuz-" + running), Modules: at("own/lib/modules/" + running), Source: "host"}, nil},
		{"the running one, with all built in", "built-in", caches,
			Kernel{Release: running, Image: at("built-in/boot/vmlinuz-" + running), Source: "host"}, nil},
		{"the running one, which has its configuration in it", "ikconfig", caches,
			Kernel{Release: running, Image: at("ikconfig/lib/modules/" + running + "/vmlinuz"), Modules: at("ikconfig/lib/modules/" + running), Source: "host"}, nil},
		{"the running one lacks a driver", "lacks", caches,
			Kernel{Release: fetched, Image: at("cache/kernel/6.1.192-2/boot/vmlinuz-" + fetched), Modules: at("cache/kernel/6.1.192-2/usr/lib/modules/" + fetched), Source: "fetched"},
			[]string{at("lacks/boot/vmlinuz-"+running) + ": kernel " + running + " has no module virtio_pci", "fetched: there is no " + none, "not a Linux bzImage", "kernel 7.0-amd64 has no module virtio_pci"}},
		{"another of the host, with modules", "other", Options{},
			Kernel{Release: "5.10", Image: at("other/boot/vmlinuz-5.10"), Modules: at("other/lib/modules/5.10"), Source: "installed"},
			[]string{"host: there is no " + at("other/boot/vmlinuz-"+running) + ", nor ", "kernel 6.0 has no module virtio_pci"}},
		{"another architecture's", "own", arm,
			Kernel{Release: "9.0-arm64", Image: at("cache/kernel/arm/boot/vmlinuz-9.0-arm64"), Modules: at("cache/kernel/arm/lib/modules/9.0-arm64"), Arch: "arm64", Source: "fetched"},
			[]string{"fetched: there is no " + none, "cache/kernel/8/boot/vmlinuz-8.0-amd64: not a Linux Image"}},
		{"given, its modules on the host", "other", Options{Path: at("given/renamed"), Caches: []string{at("cache")}},
			Kernel{Release: "5.10", Image: at("given/renamed"), Modules: at("other/lib/modules/5.10"), Source: "given"}, nil},
		{"given, its modules in its package", "none", Options{Path: at("cache/kernel/6.1.9-1/boot/vmlinuz-6.1.0-9-amd64")},
			Kernel{Release: "6.1.0-9-amd64", Image: at("cache/kernel/6.1.9-1/boot/vmlinuz-6.1.0-9-amd64"), Modules: at("cache/kernel/6.1.9-1/lib/modules/6.1.0-9-amd64"), Source: "given"}, nil},
		{"given, among its modules", "none", Options{Path: at("fedora/lib/modules/7.1.fc99/vmlinuz")},
			Kernel{Release: "7.1.fc99", Image: at("fedora/lib/modules/7.1.fc99/vmlinuz"), Modules: at("fedora/lib/modules/7.1.fc99"), Source: "given"}, nil},
		{"given, without modules", "none", Options{Path: at("cache/kernel/7/boot/vmlinuz-7.0-amd64")},
			Kernel{Release: "7.0-amd64", Image: at("cache/kernel/7/boot/vmlinuz-7.0-amd64"), Source: "given"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Needs = []string{"virtio_pci"}
			got, err := host{root: at(c.root), release: running}.find(c.o)
			if err != nil {
				t.Fatal(err)
			}
			c.want.Arch = cmp.Or(c.want.Arch, "amd64")
			if diff := gocmp.Diff(&c.want, got, cmpopts.IgnoreFields(Kernel{}, "Passed"), cmpopts.IgnoreUnexported(Kernel{})); diff != "" {
				t.Error(diff)
			}
			if len(got.Passed) != len(c.passed) {
				t.Fatalf("passed over: %q", got.Passed)
			}
			for i, want := range c.passed {
				wantError(t, got.Passed[i], want)
			}
		})
	}
}

func TestFindNothing(t *testing.T) {
	cache, root := t.TempDir(), t.TempDir()
	files(t, cache, map[string][]byte{"kernel/8/boot/vmlinuz-8.0": []byte("half a download")})
	files(t, root, map[string][]byte{"boot/vmlinuz-7.0": bzImage("7.0", nil)})
	needs := []string{"virtio_pci"}
	_, err := host{root: root, release: "6.18.44"}.find(Options{Caches: []string{cache}, Needs: needs})
	if !errors.Is(err, ErrNotFound) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{
		filepath.Join(cache, "kernel/8/boot/vmlinuz-8.0") + ": not a Linux bzImage",
		"host: there is no " + filepath.Join(root, "boot/vmlinuz-6.18.44"),
		"no folder lib/modules/7.0 was found",
	} {
		wantError(t, err, want)
	}

	_, err = host{root: t.TempDir(), release: "1"}.find(Options{Path: filepath.Join(root, "nothing"), Caches: []string{cache}})
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotFound) {
		t.Errorf("a given kernel that does not exist: %v", err)
	}
	_, err = host{root: t.TempDir(), release: "1"}.find(Options{Path: filepath.Join(root, "boot/vmlinuz-7.0"), Arch: "arm64"})
	wantError(t, err, "it is a bzImage, for x86, and wanted is one for arm64")
	_, err = host{root: root, release: "7.0"}.find(Options{Caches: []string{root}, Arch: "arm64"})
	wantError(t, err, "no guest kernel found for arm64; tried:\nfetched: there is no ")
}

func TestCompareReleases(t *testing.T) {
	ordered := []string{
		"5.9", "5.10", "6.1.0-9-amd64", "6.1.0-56-amd64", "6.1.0-56-cloud-amd64", "6.12~rc6-amd64",
		"6.12-amd64", "6.12.0-rc1", "6.12.0-rc2", "6.12.0", "6.12.1", "6.120",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := compareReleases(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compareReleases(%s, %s) = %d", a, b, got)
			}
		}
	}
	if got := compareReleases("6.01", "6.1"); got != 0 {
		t.Errorf("leading zeros count: %d", got)
	}
}

func TestString(t *testing.T) {
	k := &Kernel{Release: "6.1.0", Image: "/boot/vmlinuz-6.1.0", Modules: "/lib/modules/6.1.0", Source: "host"}
	if got, want := k.String(), "Linux 6.1.0 (host: /boot/vmlinuz-6.1.0)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	k.Modules = ""
	if got := k.String(); !strings.Contains(got, "no modules") {
		t.Errorf("%s: does not say that it has no modules", got)
	}
}

// TestFindRunning: a distribution's kernel serves as the host's own too.
func TestFindRunning(t *testing.T) {
	k := realKernel(t)
	root := t.TempDir()
	boot, modules := filepath.Join(root, "boot"), filepath.Join(root, "lib/modules")
	if err := errors.Join(os.MkdirAll(boot, 0o755), os.MkdirAll(modules, 0o755),
		os.Symlink(k.Image, filepath.Join(boot, "vmlinuz-"+k.Release)), os.Symlink(k.Modules, filepath.Join(modules, k.Release))); err != nil {
		t.Fatal(err)
	}
	o := Options{Needs: []string{"virtio_pci", "virtio_console", "virtio_blk", "virtio_net", "erofs", "overlay"}}
	got, err := host{root: root, release: k.Release}.find(o)
	if err != nil {
		t.Fatal(err)
	}
	if got.Source != "host" || got.Release != k.Release || len(got.Passed) > 0 {
		t.Errorf("%+v", got)
	}
	// What it lacks, it is passed over for.
	o.Needs = append(o.Needs, "not-a-module")
	_, err = host{root: root, release: k.Release}.find(o)
	wantError(t, err, "kernel "+k.Release+" has no module not_a_module")
}

// realKernel finds a real kernel, or skips the test.
func realKernel(t *testing.T) *Kernel {
	t.Helper()
	cache := os.Getenv("BENCH_CACHE")
	if cache == "" {
		cache = "/var/cache/bench"
	}
	k, err := Find(Options{Caches: []string{cache}, Needs: []string{"virtio_pci", "virtio_console"}})
	if err == nil {
		return k
	}
	for require := range strings.SplitSeq(os.Getenv("BENCH_REQUIRE"), ",") {
		if require == "qemu" {
			t.Fatal(err)
		}
	}
	t.Skipf("needs a real kernel: `sudo scripts/test` fetches one, and BENCH_CACHE says where: %v", err)
	return nil
}
