package peer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Config is a configuration that many containers share but for the cgroup.
type Config struct {
	text  []byte
	owner int
}

// groupMark stands for the cgroup in a Config's text.
const groupMark = "/the-cgroup-of-this-container"

// oldest is the version of the runtime-spec that has all that a configuration
// here needs: crun before 1.9 refuses one that claims to be newer than 1.0.
const oldest = "1.0.2"

// NewConfig prepares a configuration, of which root.path is the bundle's
// "rootfs". owner is the host's number of the container's user and group 0.
func NewConfig(s *specs.Spec, owner int) (*Config, error) {
	spec := *s
	spec.Version = oldest
	spec.Root = &specs.Root{Path: "rootfs", Readonly: s.Root.Readonly}
	linux := *s.Linux
	linux.CgroupsPath = groupMark
	spec.Linux = &linux
	text, err := json.Marshal(&spec)
	return &Config{text, owner}, err
}

// A Bundle is one container's, in a room.
type Bundle struct {
	room    *Room
	config  *Config
	name    string
	dir     string // its folder
	path    string // the same, as the room sees it
	mounted bool
}

// Bundle makes a folder with config.json in it. The container will be in the
// cgroup, a linux.cgroupsPath.
func (r *Room) Bundle(name, cgroup string, c *Config) (*Bundle, error) {
	b := &Bundle{room: r, config: c, name: name, dir: filepath.Join(r.dir, name), path: filepath.Join(r.at, name)}
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		return nil, err
	}
	text := strings.Replace(string(c.text), groupMark, cgroup, 1)
	err := os.WriteFile(filepath.Join(b.dir, "config.json"), []byte(text), 0o644)
	if err == nil {
		err = os.Mkdir(filepath.Join(b.dir, "rootfs"), 0o755)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(b.dir))
	}
	return b, nil
}

// Mount makes a new writable layer and mounts the overlay: what an engine does
// before it calls a runtime.
func (b *Bundle) Mount() error {
	for _, name := range []string{"upper", "work"} {
		dir := filepath.Join(b.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := os.Chown(dir, b.config.owner, b.config.owner); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", b.room.Lowerdir(), b.path, b.path)
	err := b.room.Do(func() error { return unix.Mount("overlay", b.path+"/rootfs", "overlay", 0, options) })
	if err != nil {
		return fmt.Errorf("joining the layers: mount %s: %w", options, err)
	}
	b.mounted = true
	return nil
}

// Unmount undoes Mount.
func (b *Bundle) Unmount() error {
	var errs []error
	if b.mounted {
		at := b.path + "/rootfs"
		if err := b.room.Do(func() error { return unix.Unmount(at, unix.MNT_DETACH) }); err != nil {
			return &os.PathError{Op: "umount", Path: at, Err: err}
		}
		b.mounted = false
	}
	for _, name := range []string{"upper", "work"} {
		errs = append(errs, os.RemoveAll(filepath.Join(b.dir, name)))
	}
	return errors.Join(errs...)
}

// Remove removes the bundle.
func (b *Bundle) Remove() error {
	if err := b.Unmount(); err != nil {
		return err
	}
	return os.RemoveAll(b.dir)
}
