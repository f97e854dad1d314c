package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Options say where to look for a kernel.
type Options struct {
	Path   string   // of a bzImage; "" to search
	Caches []string // in each, CACHE/kernel/*/ are unpacked packages
}

// ErrNotFound is matched by the error of [Find] when there is no kernel.
var ErrNotFound = errors.New("no guest kernel found")

// Find finds a guest kernel. A given one is taken or is an error. Otherwise it
// is the newest of those that were fetched from a distribution and unpacked
// into a cache; then the one that the host itself runs; then the newest in
// the host's /boot that has modules.
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
	if o.Path != "" {
		return h.open(o.Path, "given")
	}
	var tried []error
	for _, cache := range o.Caches {
		k, err := h.newest(filepath.Join(cache, "kernel", "*", "boot", "vmlinuz-*"), "fetched")
		if err == nil {
			return k, nil
		}
		tried = append(tried, err)
	}
	// It may well have all that it needs built in.
	k, err := h.open(filepath.Join(h.root, "boot", "vmlinuz-"+h.release), "host")
	if err == nil {
		return k, nil
	}
	tried = append(tried, err)
	k, err = h.newest(filepath.Join(h.root, "boot", "vmlinuz-*"), "host")
	if err == nil {
		return k, nil
	}
	tried = append(tried, err)
	return nil, fmt.Errorf("%w; tried:\n%w", ErrNotFound, errors.Join(tried...))
}

// newest opens the kernels that match the pattern and takes the newest that
// has modules.
func (h host) newest(pattern, source string) (*Kernel, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("kernels %s: %w", pattern, err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("kernels %s: there are none", pattern)
	}
	var found []*Kernel
	var failed []error
	for _, path := range paths {
		k, err := h.open(path, source)
		if err == nil && k.Modules == "" {
			err = fmt.Errorf("kernel %s: no lib/modules/%s belongs to it", path, k.Release)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		found = append(found, k)
	}
	if len(found) == 0 {
		return nil, errors.Join(failed...)
	}
	return slices.MaxFunc(found, func(a, b *Kernel) int { return compareReleases(a.Release, b.Release) }), nil
}

// open makes a Kernel of the bzImage at path.
func (h host) open(path, source string) (*Kernel, error) {
	header, err := openImage(path)
	if err != nil {
		return nil, err
	}
	k := &Kernel{Release: header.release, Image: path, Source: source}
	dir := filepath.Dir(path)
	for _, modules := range []string{
		// In a package, boot/vmlinuz-REL lies beside lib.
		filepath.Join(dir, "..", "lib/modules", k.Release),
		filepath.Join(dir, "..", "usr/lib/modules", k.Release),
		// Fedora and Arch keep the kernel among its modules.
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
