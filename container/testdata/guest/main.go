// Guest prepares a virtual machine for the tests of package container, and
// becomes them: it mounts cgroup v2 and a disk, whose file system can be
// ID-mapped as that of an initramfs cannot.
//
//	guest TESTS FLAGS...
//
// Under the name rm it is that program, which such a guest does not have.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func main() {
	if filepath.Base(os.Args[0]) == "rm" {
		if err := os.RemoveAll(os.Args[len(os.Args)-1]); err != nil {
			fmt.Println("rm:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Println("guest:", err)
		os.Exit(1)
	}
}

func run() error {
	// The console is slow, and its lines are the kernel's.
	if err := unix.Dup2(1, 2); err != nil {
		return err
	}
	for _, m := range []struct{ source, at, fstype string }{
		{"cgroup2", "/sys/fs/cgroup", "cgroup2"},
		{"/dev/vda", "/tmp", "ext4"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.at, m.fstype, 0, ""); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.source, m.at, err)
		}
	}
	if err := os.Chmod("/tmp", 0o777|os.ModeSticky); err != nil {
		return err
	}
	return unix.Exec(os.Args[1], os.Args[1:], append(os.Environ(), "CONTAINER_TEST_PROBE=/tmp/probe"))
}
