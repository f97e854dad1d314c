package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// debFile is where a package is in the cache, by its content.
func (b *Builder) debFile(p LockedPackage) string {
	return filepath.Join(b.Cache, "debs", p.SHA256+".deb")
}

// aptHelper downloads files as apt-get does, with its mirrors, proxies and
// retries (apt-helper --help).
const aptHelper = "/usr/lib/apt/apt-helper"

// fetch downloads the packages that are not in the cache: those of a lock, which
// a mirror may have no longer.
func (b *Builder) fetch(ctx context.Context, arch string, packages []LockedPackage) error {
	var missing []LockedPackage
	var size int64
	for _, p := range packages {
		if st, err := os.Stat(b.debFile(p)); err != nil || st.Size() != p.Size {
			missing = append(missing, p)
			size += p.Size
		}
	}
	if len(missing) == 0 {
		return nil
	}
	b.log("downloading %s, %.1f MB", count(len(missing), "package"), float64(size)/1e6)
	a := b.apt(arch)
	unlock, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	mirrors, err := a.debian(ctx, false)
	if err != nil {
		return err
	}
	// What a build that was killed has left goes; the lock says that nobody is at it.
	dir := filepath.Join(b.Cache, "debs", "part-"+filepath.Base(a.dir))
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// A mirror may have a label twice (for updates), and there may be several
	// mirrors: each is asked for what the others did not have.
	var failed error
	for turn := 0; len(missing) > 0; turn++ {
		var args []string
		for _, p := range missing {
			if uris := urisOf(mirrors, p.Archive); turn < len(uris) {
				args = append(args, uriOf(uris[turn], p), filepath.Join(dir, p.SHA256), "SHA256:"+p.SHA256)
			}
		}
		if len(args) == 0 {
			return errors.Join(gone(missing), failed)
		}
		_, failed = a.run(ctx, aptHelper, append([]string{"download-file"}, args...)...)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var left []LockedPackage
		for _, p := range missing {
			from := filepath.Join(dir, p.SHA256)
			if err := verify(from, p); errors.Is(err, fs.ErrNotExist) {
				left = append(left, p)
				continue
			} else if err != nil {
				return err
			}
			if err := os.Rename(from, b.debFile(p)); err != nil {
				return err
			}
		}
		missing = left
	}
	return nil
}

// gone is the error for packages that no mirror has.
func gone(list []LockedPackage) error {
	var names []string
	for _, p := range list {
		names = append(names, p.String())
	}
	return fmt.Errorf("no mirror gives %s, which the lock names: versions go when newer ones come; --update makes a new lock", strings.Join(names, ", "))
}

// uriOf is where a mirror has a package. A mirror that is a folder here gives its
// files in place, unless it is asked for copies.
func uriOf(mirror string, p LockedPackage) string {
	if folder, ok := strings.CutPrefix(mirror, "file:"); ok {
		mirror = "copy:" + folder
	}
	return strings.TrimSuffix(mirror, "/") + "/" + p.Path
}

// urisOf are the mirrors of an archive, each once.
func urisOf(list []aptSource, label string) (uris []string) {
	seen := map[string]bool{}
	for _, s := range list {
		if s.label == label && !seen[s.uri] {
			seen[s.uri] = true
			uris = append(uris, s.uri)
		}
	}
	return uris
}

// verify checks that a file is the package of a lock.
func verify(file string, p LockedPackage) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("%s: what was downloaded has the SHA-256 %s, and should have %s", p, got, p.SHA256)
	}
	return nil
}

// control reads what a package in the cache says of itself.
func (b *Builder) control(p LockedPackage) (installed, error) {
	f, err := os.Open(b.debFile(p))
	if err != nil {
		return installed{}, err
	}
	defer f.Close()
	d, err := ReadDeb(f)
	if err != nil {
		return installed{}, fmt.Errorf("%s: %w", p, err)
	}
	return installed{control: d.Control}, nil
}
