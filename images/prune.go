package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// Pruned is what was removed.
type Pruned struct {
	Blobs    int
	Partials int   // blobs that were never whole
	Layers   int   // unpacked ones, with disks and merged trees
	InUse    int   // unpacked layers that nothing names, and something uses
	Bytes    int64 // that were freed
}

// Prune removes what no name leads to. It waits for those who write, no longer
// than ctx lasts, and leaves an unpacked layer alone that a running container, or
// anything else with its lock, uses. A dry run only counts.
func (s *Store) Prune(ctx context.Context, dry bool) (p Pruned, err error) {
	l, err := Lock(ctx, s.path("lock"), unix.LOCK_EX)
	if err != nil {
		return p, fmt.Errorf("pruning the image store: %w", err)
	}
	defer l.Close()
	m, err := s.index()
	if err != nil {
		return p, err
	}
	used := map[string]bool{} // hexadecimal digits of blobs, diff IDs and manifests
	for _, d := range m.Manifests {
		if err := s.mark(d, used); err != nil {
			// What cannot be read leads nowhere, and nothing may go for that.
			return p, fmt.Errorf("pruning the image store: image %s: %w; bench image verify says more, and bench image rm removes the name", d.Annotations[refName], err)
		}
	}
	for _, folder := range []struct {
		dir   string
		count *int
	}{
		{"oci/blobs/sha256", &p.Blobs}, {"ingest", &p.Partials},
		{"layers", &p.Layers}, {"disks", &p.Layers}, {"rootfs", &p.Layers},
	} {
		entries, err := os.ReadDir(s.path(folder.dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
		for _, e := range entries {
			hex, rest, _ := strings.Cut(e.Name(), ".")
			if folder.dir != "ingest" && used[hex] && (rest == "" || rest == "erofs") {
				continue
			}
			if err := context.Cause(ctx); err != nil {
				return p, err
			}
			path := s.path(folder.dir, e.Name())
			gone, size, err := discard(path, dry)
			if err != nil {
				return p, fmt.Errorf("pruning the image store: %w", err)
			}
			if !gone {
				p.InUse++
				continue
			}
			*folder.count++
			p.Bytes += size
		}
	}
	return p, nil
}

// mark notes all that a descriptor leads to.
func (s *Store) mark(d v1.Descriptor, used map[string]bool) error {
	used[d.Digest.Hex] = true
	if d.MediaType.IsIndex() {
		m, err := s.readIndex(d)
		if err != nil {
			return err
		}
		for _, child := range m.Manifests {
			if !s.Has(child.Digest) {
				continue // of a platform that was not pulled
			}
			if err := s.mark(child, used); err != nil {
				return err
			}
		}
		return nil
	}
	m, err := s.readManifest(d)
	if err != nil {
		return err
	}
	for _, part := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		used[part.Digest.Hex] = true
	}
	config, err := s.readBlob(m.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a pull that was cut off: what came of it stays
	}
	if err != nil {
		return err
	}
	var c v1.ConfigFile
	if err := json.Unmarshal(config, &c); err != nil {
		return nil // an artifact, which is no image, has what it likes there
	}
	for _, id := range c.RootFS.DiffIDs {
		used[id.Hex] = true
	}
	return nil
}

// discard removes a file or a folder that nobody has a lock on, and says how
// much room that gives. It goes by another name first, so that what is half
// removed has not the name of what is whole.
func discard(path string, dry bool) (gone bool, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, 0, err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return false, 0, nil
	} else if err != nil {
		return false, 0, fmt.Errorf("locking %s: %w", path, err)
	}
	if size, err = diskUsage(path); err != nil || dry {
		return true, size, err
	}
	if !strings.HasSuffix(path, removing) {
		if err := os.Rename(path, path+removing); err != nil {
			return false, 0, err
		}
		path += removing
	}
	return true, size, removeTree(path)
}

// removing ends the name of what is being removed; what is left with it, a
// killed prune has left.
const removing = ".gone"

// diskUsage is what a tree takes, in bytes, as du(1) counts: a file with several
// names once.
func diskUsage(path string) (int64, error) {
	var total int64
	seen := map[uint64]bool{}
	return total, filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
			if seen[st.Ino] {
				return nil
			}
			seen[st.Ino] = true
		}
		total += st.Blocks * 512
		return nil
	})
}

// Sweep removes what a process that was killed has left and none can go on with:
// blobs that had no digest yet, and layers and disks that were being made. It says
// what that was. While somebody writes to the store, it leaves all as it is.
//
// A blob that was being pulled stays, for the next pull to go on with.
func (s *Store) Sweep() (swept []string, err error) {
	f, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sweeping the image store: %w", err)
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil, nil
	}
	for _, pattern := range []string{"ingest/" + newPrefix + "*", "layers/*.part", "rootfs/*.part", "disks/*.part", "*/*" + removing, "oci/blobs/sha256/*" + removing} {
		paths, err := filepath.Glob(s.path(pattern))
		if err != nil {
			return swept, err
		}
		for _, path := range paths {
			gone, _, err := discard(path, false)
			if err != nil {
				return swept, fmt.Errorf("sweeping the image store: %w", err)
			}
			if gone {
				swept = append(swept, path)
			}
		}
	}
	return swept, nil
}
