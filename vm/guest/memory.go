package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// memory reports what the kernel says of its RAM.
func memory() wire.Report {
	r := wire.Report{Event: wire.EventMemory}
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		r.Error = err.Error()
	}
	r.Text = string(b)
	return r
}

// touch takes memory from the kernel, writes to each page, so that there is one, and
// gives it back: to this kernel. The host does not hear of that.
func touch(bytes int64) wire.Report {
	r := wire.Report{Event: wire.EventTouched}
	b, err := unix.Mmap(-1, 0, int(bytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		r.Error = fmt.Sprintf("mapping %d bytes: %v", bytes, err)
		return r
	}
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	if err := unix.Munmap(b); err != nil {
		r.Error = fmt.Sprintf("freeing %d bytes: %v", bytes, err)
	}
	return r
}
