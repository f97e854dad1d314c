package look

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
	"vmctr/report/result/isolation"
)

// devices are those that are tried where they are there: opening one of them has no
// effect. Left out are those for which it has (watchdogs, terminals, tapes, /dev/snapshot,
// cpu_dma_latency) and those that only one program can have open (rtc0, tpm0).
var devices = []string{
	"null", "zero", "full", "random", "urandom", "kmsg", "mem", "port", "kvm", "fuse", "net/tun", "loop-control",
	"vhost-net", "vhost-vsock", "vsock", "vfio/vfio", "userfaultfd", "mapper/control", "hwrng", "autofs", "cuse",
}

// disks are tried for reading alone: when one that was open for writing is closed, udev
// looks at it anew.
var disks = []string{"sd?", "vd?", "xvd?", "nvme?n?", "mmcblk?", "dm-?", "loop0"}

// Devices opens devices, and neither reads nor writes.
func (s System) Devices() (all []isolation.Opening) {
	for _, name := range devices {
		path := "/dev/" + name
		if _, err := os.Stat(s.path(path)); err != nil {
			continue
		}
		all = append(all, isolation.Opening{Path: path, Read: answer(s.opens(path, unix.O_RDONLY)), Write: answer(s.opens(path, unix.O_WRONLY))})
	}
	for _, pattern := range disks {
		found, _ := filepath.Glob(s.path("/dev/" + pattern))
		for _, f := range found {
			path := filepath.Join("/dev", filepath.Base(f))
			all = append(all, isolation.Opening{Path: path, Read: answer(s.opens(path, unix.O_RDONLY)), Write: "not tried"})
		}
	}
	return all
}

func answer(err error) string {
	if err == nil {
		return ""
	}
	return errno.Name(err)
}

// knobsPatience is for all of them: an emulated machine needs a second or two.
const knobsPatience = 8 * time.Second

// Knobs opens for writing, without writing, what a kernel is set with: the files of
// /proc/sys and /sys that are for writing by their mode. It stays on these two file
// systems: others that are mounted below them, such as tracefs, do something when one of
// their files is opened.
func (s System) Knobs() *isolation.Knobs {
	k := &isolation.Knobs{By: map[string]int{}}
	end := time.Now().Add(knobsPatience)
	for _, root := range []string{"/proc/sys", "/sys"} {
		var top unix.Stat_t
		if unix.Stat(s.path(root), &top) != nil {
			continue
		}
		err := filepath.WalkDir(s.path(root), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // a folder that is not to be read has no files to be opened
			}
			if d.IsDir() {
				var st unix.Stat_t
				// A mount of the same file system that is read-only is another mount of it,
				// and is walked.
				if unix.Lstat(path, &st) != nil || st.Dev != top.Dev {
					return fs.SkipDir
				}
				return nil
			}
			if time.Now().After(end) {
				return fmt.Errorf("not all were tried within %v", knobsPatience)
			}
			if !d.Type().IsRegular() {
				return nil
			}
			i, err := d.Info()
			if err != nil || i.Mode().Perm()&0o222 == 0 {
				return nil
			}
			k.Files++
			fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil
			}
			unix.Close(fd)
			k.Open++
			k.By[s.folder(path)]++
			return nil
		})
		if err != nil {
			k.Error = err.Error()
		}
	}
	return k
}

// folder is the part of a path by which knobs are counted: "/proc/sys/kernel", "/sys/block".
func (s System) folder(path string) string {
	parts := strings.FieldsFunc(strings.TrimPrefix(path, s.path("/")), func(r rune) bool { return r == '/' })
	n := 2
	if parts[0] == "proc" {
		n = 3
	}
	return "/" + strings.Join(parts[:min(n, len(parts)-1)], "/")
}
