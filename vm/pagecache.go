package vm

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A CachedFile is a file from which machines boot, and how much of it is in the host's
// page cache: memory of the host that belongs to no process. It is there once, however
// many machines read the file, and goes when the host needs the room.
type CachedFile struct {
	Name   string // what it is to a machine: "kernel", "initramfs", "layer 1", "snapshot"
	Path   string
	Size   int64
	Cached int64 // bytes, whole pages
}

// Cached tells it of the machine's kernel, its initramfs, and the disks of its layers.
func (c Config) Cached() (list []CachedFile, err error) {
	if c.Kernel != "" {
		list = []CachedFile{{Name: "kernel", Path: c.Kernel}, {Name: "initramfs", Path: c.Initramfs}}
	}
	for i, path := range c.Layers {
		list = append(list, CachedFile{Name: "layer " + strconv.Itoa(i+1), Path: path})
	}
	for i := range list {
		if err := list[i].look(); err != nil {
			return nil, fmt.Errorf("looking for %s in the page cache: %w", list[i].Path, err)
		}
	}
	return list, nil
}

// Cached tells how much of the files that this machine has booted from is in the
// host's page cache; and the RAM of the snapshot that it was restored from, which is a
// file that exists nowhere else.
func (m *Machine) Cached() ([]CachedFile, error) {
	list, err := m.cfg.Cached()
	if s := m.cfg.restored; err == nil && s != nil {
		ram := CachedFile{Name: "snapshot", Path: s.ram.Name(), Size: m.cfg.Memory}
		ram.Cached, _, err = s.Size()
		list = append(list, ram)
	}
	return list, err
}

// PageCache tells how much of a file is in the host's page cache.
func PageCache(path string) (bytes int64, err error) {
	c := CachedFile{Path: path}
	if err := c.look(); err != nil {
		return 0, fmt.Errorf("looking for %s in the page cache: %w", path, err)
	}
	return c.Cached, nil
}

func (c *CachedFile) look() error {
	f, err := os.Open(c.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	c.Size = st.Size()
	pages, err := cachestat(f)
	if errors.Is(err, unix.ENOSYS) {
		pages, err = mincore(f, c.Size)
	}
	c.Cached = pages * int64(os.Getpagesize())
	return err
}

// cachestat counts the pages of a whole file (Linux 6.5, Documentation of
// cachestat(2) in the commit cf264e1329fb).
func cachestat(f *os.File) (pages int64, err error) {
	var stat unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &stat, 0); err != nil {
		return 0, os.NewSyscallError("cachestat", err)
	}
	return int64(stat.Cache), nil
}

// mincore does it on older kernels (mincore(2)): the file is mapped, of which nothing is
// read by that. Since Linux 5.0 it says the truth to those who may write to the file.
func mincore(f *os.File, size int64) (pages int64, err error) {
	if size == 0 {
		return 0, nil
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, os.NewSyscallError("mmap", err)
	}
	defer unix.Munmap(b)
	page := int64(os.Getpagesize())
	present := make([]byte, (size+page-1)/page)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(size), uintptr(unsafe.Pointer(&present[0]))); errno != 0 {
		return 0, os.NewSyscallError("mincore", errno)
	}
	for _, p := range present {
		pages += int64(p & 1)
	}
	return pages, nil
}
