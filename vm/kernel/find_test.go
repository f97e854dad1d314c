package kernel

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	root := t.TempDir()
	const running = "6.18.44"
	image := func(release string) []byte { return bzImage(release, nil) }
	files(t, root, map[string][]byte{
		// The newest fetched has a number that a plain comparison of text
		// puts before the others.
		"cache/kernel/6.1.9-1/boot/vmlinuz-6.1.0-9-amd64":                   image("6.1.0-9-amd64"),
		"cache/kernel/6.1.9-1/lib/modules/6.1.0-9-amd64/kernel/a.ko":        nil,
		"cache/kernel/6.1.192-2/boot/vmlinuz-6.1.0-56-amd64":                image("6.1.0-56-amd64"),
		"cache/kernel/6.1.192-2/usr/lib/modules/6.1.0-56-amd64/kernel/a.ko": nil,
		"cache/kernel/7/boot/vmlinuz-7.0-amd64":                             image("7.0-amd64"), // no modules
		"cache/kernel/8/boot/vmlinuz-8.0-amd64":                             []byte("half a download"),
		"none/boot/other":                                                   nil,
		"own/boot/vmlinuz-" + running:                                       image(running),
		"own/boot/vmlinuz-9.0":                                              image("9.0"),
		"own/lib/modules/9.0/a.ko":                                          nil,
		"other/boot/vmlinuz-5.10":                                           image("5.10"),
		"other/boot/vmlinuz-5.9":                                            image("5.9"),
		"other/boot/vmlinuz-6.0":                                            image("6.0"), // no modules
		"other/lib/modules/5.10/a.ko":                                       nil,
		"other/lib/modules/5.9/a.ko":                                        nil,
		"given/renamed":                                                     image("5.10"),
		"fedora/lib/modules/7.1.fc99/vmlinuz":                               image("7.1.fc99"),
	})
	at := func(path string) string { return filepath.Join(root, path) }
	for _, c := range []struct {
		name, root string
		o          Options
		want       Kernel
	}{
		{"fetched before the host's", "own", Options{Caches: []string{at("cache")}},
			Kernel{"6.1.0-56-amd64", at("cache/kernel/6.1.192-2/boot/vmlinuz-6.1.0-56-amd64"), at("cache/kernel/6.1.192-2/usr/lib/modules/6.1.0-56-amd64"), "fetched"}},
		{"the running one, though another is newer", "own", Options{Caches: []string{at("none")}},
			Kernel{running, at("own/boot/vmlinuz-" + running), "", "host"}},
		{"another of the host, with modules", "other", Options{},
			Kernel{"5.10", at("other/boot/vmlinuz-5.10"), at("other/lib/modules/5.10"), "host"}},
		{"given, its modules on the host", "other", Options{Path: at("given/renamed"), Caches: []string{at("cache")}},
			Kernel{"5.10", at("given/renamed"), at("other/lib/modules/5.10"), "given"}},
		{"given, its modules in its package", "none", Options{Path: at("cache/kernel/6.1.9-1/boot/vmlinuz-6.1.0-9-amd64")},
			Kernel{"6.1.0-9-amd64", at("cache/kernel/6.1.9-1/boot/vmlinuz-6.1.0-9-amd64"), at("cache/kernel/6.1.9-1/lib/modules/6.1.0-9-amd64"), "given"}},
		{"given, among its modules", "none", Options{Path: at("fedora/lib/modules/7.1.fc99/vmlinuz")},
			Kernel{"7.1.fc99", at("fedora/lib/modules/7.1.fc99/vmlinuz"), at("fedora/lib/modules/7.1.fc99"), "given"}},
		{"given, without modules", "none", Options{Path: at("own/boot/vmlinuz-" + running)},
			Kernel{running, at("own/boot/vmlinuz-" + running), "", "given"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := host{root: at(c.root), release: running}.find(c.o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFindNothing(t *testing.T) {
	cache, root := t.TempDir(), t.TempDir()
	files(t, cache, map[string][]byte{"kernel/8/boot/vmlinuz-8.0": []byte("half a download")})
	files(t, root, map[string][]byte{"boot/vmlinuz-7.0": bzImage("7.0", nil)})
	_, err := host{root: root, release: "6.18.44"}.find(Options{Caches: []string{cache}})
	if !errors.Is(err, ErrNotFound) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{
		filepath.Join(cache, "kernel/8/boot/vmlinuz-8.0") + ": not a Linux bzImage",
		filepath.Join(root, "boot/vmlinuz-6.18.44") + ": no such file",
		"no lib/modules/7.0 belongs to it",
	} {
		wantError(t, err, want)
	}

	_, err = host{root: t.TempDir(), release: "1"}.find(Options{Path: filepath.Join(root, "nothing"), Caches: []string{cache}})
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotFound) {
		t.Errorf("a given kernel that does not exist: %v", err)
	}
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

// realKernel finds a real kernel, or skips the test.
func realKernel(t *testing.T) *Kernel {
	t.Helper()
	cache := os.Getenv("BENCH_CACHE")
	if cache == "" {
		cache = "/var/cache/bench"
	}
	k, err := Find(Options{Caches: []string{cache}})
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
