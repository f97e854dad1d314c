package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Processes are the PIDs in the group and in those below it.
func (c *Cgroup) Processes() ([]int, error) {
	var pids []int
	for _, dir := range c.list {
		err := walk(dir, func(dir string) error {
			p, err := processes(dir)
			pids = append(pids, p...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// walk calls f for a folder and then for those below it, some of which may
// disappear meanwhile.
func walk(dir string, f func(dir string) error) error {
	if err := f(dir); err != nil {
		return err
	}
	below, err := folders(dir)
	if err != nil {
		return err
	}
	for _, d := range below {
		if err := walk(d, f); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return nil
}

// folders are the groups right below one. A folder's links count those in it
// (inode(7)), and most groups have none, so that their files need not be
// listed.
func folders(dir string) ([]string, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if st.Nlink == 2 {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		if e.IsDir() {
			list = append(list, dir+"/"+e.Name())
		}
	}
	return list, nil
}

func processes(dir string) ([]int, error) {
	text, err := read(dir, "cgroup.procs")
	if errors.Is(err, unix.EOPNOTSUPP) { // a threaded group (cgroup-v2.rst, "Threads"): its processes count to the one above
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	for f := range strings.FieldsSeq(text) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// Kill kills all processes of the group, and of those below it, and does not
// wait until they are dead. On version 2 the kernel kills all at once (Linux
// 5.14), so that none can fork in time; elsewhere they are killed one by one,
// until there is none that was not.
func (c *Cgroup) Kill() error {
	if c.unified != "" && write(c.unified, "cgroup.kill", "1") == nil && len(c.list) == 1 {
		return nil
	}
	killed := map[int]bool{}
	for {
		pids, err := c.Processes()
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
				return nil // the group is gone
			}
			return err
		}
		again := false
		for _, pid := range pids {
			if pid > 0 && !killed[pid] { // 0 is a process of another PID namespace
				killed[pid], again = true, true
				if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
					return os.NewSyscallError("kill", err)
				}
			}
		}
		if !again {
			break
		}
	}
	for _, dir := range c.list {
		thaw(dir)
	}
	return nil
}

// Signal sends a signal to all processes of the group and of those below it.
// Those that are born meanwhile may miss it; see Kill, and Freeze.
func (c *Cgroup) Signal(sig unix.Signal) error {
	if sig == unix.SIGKILL {
		return c.Kill()
	}
	pids, err := c.Processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if pid > 0 {
			if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
				return os.NewSyscallError("kill", err)
			}
		}
	}
	return nil
}
