package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Options say which kernel is wanted, and where to look for it.
type Options struct {
	Path   string   // of a kernel's image; "" to search
	Caches []string // in each, CACHE/kernel/*/ are unpacked packages
	// Arch is the architecture that the kernel is for, as Go names it; "" is this
	// host's.
	Arch string
	// Needs are modules without which a guest is of no use: a kernel that has not
	// each of them, as a file or built in, is passed over. A given one is not.
	Needs []string
}

// ErrNotFound is matched by the error of [Find] when there is no kernel.
var ErrNotFound = errors.New("no guest kernel found")

// Find finds a guest kernel. A given one is taken or is an error. Otherwise it is
// the first that serves, in this order:
//
//   - the one that the host itself runs: machines and containers are compared best
//     with the same kernel on both sides ("host");
//   - the newest of those that were fetched from a distribution and unpacked into a
//     cache ("fetched");
//   - the newest of those that are installed in /boot ("installed").
//
// Another architecture's kernel can only have been fetched.
func Find(o Options) (*Kernel, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, fmt.Errorf("finding a guest kernel: uname: %w", err)
	}
	return host{root: "/", release: unix.ByteSliceToString(u.Release[:])}.find(o)
}

// host is where the search takes place. Tests make their own.
type host struct {
	root    string
	release string // of the running kernel
}

func (h host) find(o Options) (*Kernel, error) {
	o.Arch = cmp.Or(o.Arch, runtime.GOARCH)
	if o.Path != "" {
		return h.open(o.Path, o.Arch, "given")
	}
	type place struct {
		source   string
		patterns []string
	}
	var places []place
	if o.Arch == runtime.GOARCH {
		places = append(places, place{"host", []string{
			filepath.Join(h.root, "boot/vmlinuz-"+h.release),
			// Fedora and Arch keep the kernel among its modules.
			filepath.Join(h.root, "lib/modules", h.release, "vmlinuz"),
			filepath.Join(h.root, "usr/lib/modules", h.release, "vmlinuz"),
		}})
	}
	for _, cache := range o.Caches {
		places = append(places, place{"fetched", []string{filepath.Join(cache, "kernel/*/boot/vmlinuz-*")}})
	}
	if o.Arch == runtime.GOARCH {
		places = append(places, place{"installed", []string{filepath.Join(h.root, "boot/vmlinuz-*")}})
	}
	var passed []error
	for _, p := range places {
		k, failed := h.newest(p.source, o, p.patterns)
		passed = append(passed, failed...)
		if k != nil {
			k.Passed = passed
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w for %s; tried:\n%w", ErrNotFound, o.Arch, errors.Join(passed...))
}

// newest opens the kernels that match the patterns and takes the newest that
// serves. What is wrong with the others comes with it, but for those of another
// architecture.
func (h host) newest(source string, o Options, patterns []string) (_ *Kernel, failed []error) {
	var found []*Kernel
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			failed = append(failed, fmt.Errorf("kernels %s: %w", pattern, err))
		}
		for _, path := range paths {
			k, err := h.open(path, o.Arch, source)
			switch {
			case err == nil:
				found = append(found, k)
			case !errors.Is(err, errOtherArchitecture):
				failed = append(failed, err)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b *Kernel) int { return compareReleases(b.Release, a.Release) })
	for _, k := range found {
		_, err := k.ModuleFiles(o.Needs...)
		if err == nil {
			return k, failed
		}
		failed = append(failed, fmt.Errorf("kernel %s: %w", k.Image, err))
	}
	if len(failed) == 0 {
		failed = append(failed, fmt.Errorf("%s: there is no %s", source, strings.Join(patterns, ", nor ")))
	}
	return nil, failed
}

// open makes a Kernel of the image at path.
func (h host) open(path, arch, source string) (*Kernel, error) {
	release, err := readImage(path, arch)
	if err != nil {
		return nil, err
	}
	k := &Kernel{Release: release, Image: path, Arch: arch, Source: source}
	dir := filepath.Dir(path)
	for _, modules := range []string{
		// In a package, boot/vmlinuz-REL lies beside lib.
		filepath.Join(dir, "..", "lib/modules", k.Release),
		filepath.Join(dir, "..", "usr/lib/modules", k.Release),
		dir,
		filepath.Join(h.root, "lib/modules", k.Release),
		filepath.Join(h.root, "usr/lib/modules", k.Release),
	} {
		if filepath.Base(modules) != k.Release {
			continue
		}
		_, err := os.ReadDir(modules)
		if err == nil {
			k.Modules = modules
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("modules of kernel %s: %w", path, err)
		}
	}
	k.config = h.config(k)
	return k, nil
}

// compareReleases orders releases as Debian does versions (deb-version(7)):
// runs of digits are numbers, and a tilde sorts before everything, even the
// end. Linux writes a release candidate with a hyphen.
func compareReleases(a, b string) int {
	a, b = strings.ReplaceAll(a, "-rc", "~rc"), strings.ReplaceAll(b, "-rc", "~rc")
	for a != "" || b != "" {
		var x, y string
		x, a = cutFunc(a, notDigit)
		y, b = cutFunc(b, notDigit)
		if c := slices.Compare(weights(x), weights(y)); c != 0 {
			return c
		}
		x, a = cutFunc(a, digit)
		y, b = cutFunc(b, digit)
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// weights are how the characters of a run without digits sort: the tilde, the
// end, letters, others.
func weights(s string) []int {
	var w []int
	for _, c := range []byte(s) {
		switch {
		case c == '~':
			w = append(w, -1)
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			w = append(w, int(c))
		default:
			w = append(w, 256+int(c))
		}
	}
	return append(w, 0)
}

func digit(c rune) bool    { return '0' <= c && c <= '9' }
func notDigit(c rune) bool { return !digit(c) }

// cutFunc cuts s after its first characters that satisfy f.
func cutFunc(s string, f func(rune) bool) (head, tail string) {
	i := strings.IndexFunc(s, func(c rune) bool { return !f(c) })
	if i < 0 {
		i = len(s)
	}
	return s[:i], s[i:]
}
