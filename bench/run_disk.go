package main

import (
	"path/filepath"
	"strconv"
	"strings"

	"vmctr/vm"
)

// How a machine may use a disk of --disk.
const (
	diskOverlay  = "overlay" // what it writes is thrown away with it, as all that it writes
	diskWritable = "rw"
	diskReadOnly = "ro"
)

// openDisks opens the disks that were given with --disk, in their order. Overlays are
// made in dir.
func openDisks(given []string, dir string) (disks []vm.Disk, err error) {
	for n, value := range given {
		path, how := value, diskOverlay
		if i := strings.LastIndexByte(value, ':'); i >= 0 {
			switch word := value[i+1:]; word {
			case diskOverlay, diskWritable, diskReadOnly:
				path, how = value[:i], word
			}
		}
		var d vm.Disk
		if how == diskOverlay {
			d, err = vm.Overlay(filepath.Join(dir, "disk"+strconv.Itoa(n)+".qcow2"), path)
		} else {
			d, _, err = vm.OpenDisk(path)
		}
		if err != nil {
			return nil, err
		}
		d.ReadOnly = how == diskReadOnly
		disks = append(disks, d)
	}
	return disks, nil
}

// driversFor are the modules that disks need, with that of the file system that most
// have: an image has no modprobe that the machine's kernel could ask for more.
func driversFor(disks []vm.Disk) []string {
	if len(disks) == 0 {
		return nil
	}
	return []string{"virtio_blk", "ext4"}
}
