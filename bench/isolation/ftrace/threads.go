package ftrace

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Threads are those of some processes, and the kernel's own threads that work for one of
// them alone, as its name says: "vhost-4711" carries packets between a machine and a tap,
// "kvm-pit/4711" is its timer. (From Linux 6.4 on vhost's are threads of the process.)
func Threads(pids []int) (tids []int, err error) { return threads("/proc", pids) }

func threads(proc string, pids []int) (tids []int, err error) {
	for _, pid := range pids {
		tasks, err := os.ReadDir(filepath.Join(proc, strconv.Itoa(pid), "task"))
		if err != nil {
			return nil, fmt.Errorf("the threads of process %d: %w", pid, err)
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				return nil, err
			}
			tids = append(tids, tid)
		}
	}
	all, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm"))
	if err != nil {
		return nil, err
	}
	for _, file := range all {
		comm, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if pid, ok := worksFor(strings.TrimSpace(string(comm))); ok && slices.Contains(pids, pid) {
			tid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				return nil, err
			}
			tids = append(tids, tid)
		}
	}
	return tids, nil
}

// worksFor reads the PID in the name of a thread of the kernel.
func worksFor(comm string) (pid int, ok bool) {
	for _, prefix := range []string{"vhost-", "kvm-pit/", "kvm-nx-lpage-recovery-"} {
		if tail, found := strings.CutPrefix(comm, prefix); found {
			pid, err := strconv.Atoi(tail)
			return pid, err == nil
		}
	}
	return 0, false
}
