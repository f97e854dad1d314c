package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// enterImage makes the image's file system the root.
//
// The kernel unpacks an initramfs into the first file system of all, which is
// at the bottom of the tree of mounts and can never be unmounted or replaced:
// pivot_root(2) refuses to move it, and so would refuse any container that is
// started while it is the root. What every initramfs does instead (it is what
// switch_root(8) is for) is to mount another file system over it: the new root
// is moved onto "/", which hides the first one, and chroot(2) then steps onto
// what is mounted there. After that the root is an ordinary mount that has a
// parent, and pivot_root works.
//
// The new root here is a bind mount of the folder in which the image lies: the
// files are in memory already, and are not copied. An image on disks has an overlay
// there (layers.go), which is a mount as it is; to bind it once more does no harm. Of an
// image that a container joins, the layers are mounted in it (MS_REC).
func (g *guest) enterImage() error {
	const root = "/" + wire.Image
	if err := g.joinLayers(); err != nil {
		return err
	}
	if err := unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("making a mount of the image, %s: %w", root, err)
	}
	for _, m := range []struct {
		fstype, dir, options string
		flags                uintptr
	}{
		{"devtmpfs", root + "/dev", "", unix.MS_NOSUID},
		{"devpts", root + "/dev/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5", unix.MS_NOSUID | unix.MS_NOEXEC},
		{"tmpfs", root + "/dev/shm", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{"proc", root + "/proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{"sysfs", root + "/sys", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	} {
		if err := makeDir(m.dir); err != nil {
			return err
		}
		if err := unix.Mount(m.fstype, m.dir, m.fstype, m.flags, m.options); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.fstype, m.dir, err)
		}
	}
	// What the kernel does not make, and programs expect (runtime-spec,
	// runtime-linux.md, "Dev symbolic links").
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := unix.Symlink(target, root+"/dev/"+name); err != nil && err != unix.EEXIST {
			return fmt.Errorf("making /dev/%s: %w", name, err)
		}
	}
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("entering the image: chdir %s: %w", root, err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the image onto /: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("entering the image: chroot: %w", err)
	}
	return nil
}
