// Package cgrouptest gives tests control groups of their own, which go with the test.
// Those of tests that were killed are removed by the next that asks for one.
package cgrouptest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
)

// Prefix begins the names of all groups of a process of tests. A PID is one of a PID
// namespace (pid_namespaces(7)), and tests in another one may see the same hierarchies:
// so the namespace's inode number is in it too.
func Prefix(pid int) string { return fmt.Sprintf("benchtest-%d-%d-", namespace(), pid) }

func namespace() uint64 {
	var st unix.Stat_t
	unix.Stat("/proc/self/ns/pid", &st) // without /proc 0 is as good for all who have none
	return st.Ino
}

// Sweep removes the groups of processes of tests that are dead, with all that is in them.
func Sweep() error {
	_, err := cgroup.Sweep(context.Background(), func(name string) bool {
		var ns uint64
		var pid int
		n, _ := fmt.Sscanf(name, "benchtest-%d-%d-", &ns, &pid)
		return n == 2 && ns == namespace() && pid > 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	})
	return err
}

var count atomic.Int64

// Group names a control group, "/NAME", that is not there yet, for a test to make groups
// in. At the test's end none of those may be left; the group itself is removed.
func Group(t testing.TB) string {
	t.Helper()
	if err := Sweep(); err != nil {
		t.Fatal(err)
	}
	group := fmt.Sprintf("%s%d", Prefix(os.Getpid()), count.Add(1))
	t.Cleanup(func() {
		left, err := cgroup.Sweep(context.Background(), func(name string) bool { return name == group })
		for _, l := range left {
			if path.Base(l) != group {
				t.Errorf("left behind: %s", l)
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	return "/" + group
}
