package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// diskPatience is how long the disks may take to appear after their driver.
const diskPatience = 20 * time.Second

// joinLayers mounts the disks of an image's layers, and an overlay that joins
// them, over the folder of the image. What the folder has in it from the
// initramfs, and what the workload will write, is the overlay's upper layer: in
// memory, since the first file system of all is a tmpfs.
//
// With one layer it is the same: a disk that is read-only needs a cover too.
func (g *guest) joinLayers() error {
	n, err := g.layers()
	if err != nil || n == 0 {
		return err // without disks the folder is the image
	}
	// The kernel has made no devices yet, and /sys says which is which.
	for _, m := range []struct{ fstype, dir string }{{"devtmpfs", "/dev"}, {"sysfs", "/sys"}} {
		if err := makeDir(m.dir); err != nil {
			return err
		}
		if err := unix.Mount(m.fstype, m.dir, m.fstype, 0, ""); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.fstype, m.dir, err)
		}
	}
	disks, err := awaitDisks(n)
	if err != nil {
		return err
	}
	if err := errors.Join(makeDir(filepath.Dir(g.layerDir(0))), makeDir("/"+wire.Work)); err != nil {
		return err
	}
	var lower []string
	for i, disk := range disks {
		dir := g.layerDir(i)
		if err := makeDir(dir); err != nil {
			return err
		}
		if err := unix.Mount(disk, dir, "erofs", unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("mounting %s, layer %d, as erofs: %w (does the kernel have the module erofs?)", disk, i, err)
		}
		lower = append(lower, dir)
	}
	if g.contained() {
		return nil // it joins them itself
	}
	slices.Reverse(lower) // the overlay wants the highest first
	// With xino all files are on one device, as in a container: du -x counts them.
	options := "xino=on,lowerdir=" + strings.Join(lower, ":") + ",upperdir=/" + wire.Image + ",workdir=/" + wire.Work
	if err := unix.Mount("overlay", "/"+wire.Image, "overlay", 0, options); err != nil {
		return fmt.Errorf("joining the layers: mounting an overlay of %s: %w", options, err)
	}
	return nil
}

// layers is how many disks the image is on.
func (g *guest) layers() (n int, err error) {
	text, any := g.spec.Annotations[wire.Layers]
	if !any {
		return 0, nil
	}
	if n, err = strconv.Atoi(text); err != nil || n < 1 {
		return 0, fmt.Errorf("the configuration: annotations: %s: %q is no number of layers", wire.Layers, text)
	}
	return n, nil
}

// awaitDisks gives the device files of n layers, the lowest first. The kernel
// names disks in the order in which it finds them; their serial numbers are ours.
func awaitDisks(n int) ([]string, error) {
	disks := make([]string, n)
	missing := n
	for deadline := time.Now().Add(diskPatience); ; time.Sleep(time.Millisecond / 2) {
		found, err := filepath.Glob("/sys/block/vd*/serial")
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			serial, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			layer, ok := strings.CutPrefix(strings.TrimSpace(string(serial)), wire.Serial(""))
			i, err := strconv.Atoi(layer)
			device := filepath.Join("/dev", filepath.Base(filepath.Dir(path)))
			if ok && err == nil && i >= 0 && i < n && disks[i] == "" && exists(device) {
				disks[i] = device
				missing--
			}
		}
		if missing == 0 {
			return disks, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("waited %v for %d disks, of which %d are missing (found: %q): does the kernel have the module virtio_blk?", diskPatience, n, missing, disks)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func makeDir(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making a mount point: %w", err)
	}
	return nil
}
