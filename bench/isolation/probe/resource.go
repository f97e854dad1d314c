package probe

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Attempts to get at more of the machine than an instance is given, or to take it from others.
var resource = []Probe{
	{
		Name: "resource-cgroup-limit",
		Plant: func(h *Host) (string, error) {
			dir, err := h.group()
			return fmt.Sprintf("%s/cgroup.max.descendants %d", dir, 1+rand.IntN(1000)), err
		},
		Attempt: func(canary string) Attempt {
			path, value, _ := strings.Cut(canary, " ")
			group, file := filepath.Split(path)
			return inGroup(filepath.Base(group), func(dir string) Attempt {
				if err := writeKnob(dir+"/"+file, value); err != nil {
					return refused("writing to the host's "+file, err)
				}
				return did("writing to the host's "+file, "")
			})
		},
		Reached: func(h *Host, canary string, a Attempt) (bool, string) {
			yes, _ := turned(h, canary, a)
			if yes {
				return true, "the limit of the host's group has the new value"
			}
			return false, "the limit of the host's group is as it was"
		},
	},
	{
		Name:    "resource-cgroup-leave",
		Plant:   plantWatchedGroup,
		Attempt: visitGroup,
		Reached: func(h *Host, _ string, a Attempt) (bool, string) {
			if h.awaits(a, func() bool { return h.noted() != "" }) {
				return true, "the host was told that a process is in its group"
			}
			return false, "nobody has come into the host's group"
		},
	},
	{
		Name: "resource-prlimit",
		Plant: func(h *Host) (string, error) {
			pid, err := h.bystander()
			return fmt.Sprintf("%d %d", pid, 4096+rand.IntN(100_000)), err
		},
		Attempt: func(canary string) Attempt {
			pid, limit := twoNumbers(canary)
			if err := unix.Prlimit(pid, unix.RLIMIT_MSGQUEUE, &unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)}, nil); err != nil {
				return refused(fmt.Sprintf("prlimit(2) of process %d", pid), err)
			}
			return did(fmt.Sprintf("prlimit(2) of process %d", pid), "")
		},
		Reached: func(_ *Host, canary string, _ Attempt) (bool, string) {
			pid, limit := twoNumbers(canary)
			var now unix.Rlimit
			if err := unix.Prlimit(pid, unix.RLIMIT_MSGQUEUE, nil, &now); err != nil {
				return false, ""
			}
			return now.Cur == uint64(limit), fmt.Sprintf("the limit of the host's process is %d bytes", now.Cur)
		},
	},
	{
		Name: "resource-victim",
		Plant: func(h *Host) (string, error) {
			pid, err := h.bystander()
			return fmt.Sprintf("/proc/%d/oom_score_adj %d", pid, 300+rand.IntN(700)), err
		},
		Attempt: turn,
		Reached: turned,
	},
	{
		Name: "resource-oom-exempt",
		Attempt: func(string) Attempt {
			const path = "/proc/self/oom_score_adj"
			old, err := os.ReadFile(path)
			if err != nil {
				return refused("reading "+path, err)
			}
			if err := writeKnob(path, "-1000"); err != nil {
				return refused("writing to "+path, err)
			}
			writeKnob(path, strings.TrimSpace(string(old)))
			return served("writing to " + path)
		},
		Reached: byHostKernel,
	},
	{
		Name: "resource-realtime",
		Attempt: func(string) Attempt {
			attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
			if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
				return refused("sched_setattr(2), SCHED_FIFO", err)
			}
			unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr}, 0)
			return served("sched_setattr(2), SCHED_FIFO")
		},
		Reached: byHostKernel,
	},
	{
		Name: "resource-nice",
		Attempt: func(string) Attempt {
			if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20); err != nil { // of this thread, which ends
				return refused("setpriority(2)", err)
			}
			unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 0)
			return served("setpriority(2) to -20")
		},
		Reached: byHostKernel,
	},
	{
		Name:    "resource-mlock",
		Attempt: lockMemory,
		Reached: byHostKernel,
	},
	{
		Name:    "resource-rlimit",
		Attempt: raiseLimit,
		Reached: byHostKernel,
	},
	{
		Name:  "resource-drop-caches",
		Plant: func(*Host) (string, error) { n, err := cachesDropped(); return strconv.Itoa(n), err },
		Attempt: func(string) Attempt {
			if err := writeKnob("/proc/sys/vm/drop_caches", "1"); err != nil {
				return refused("writing to /proc/sys/vm/drop_caches", err)
			}
			return did("writing to /proc/sys/vm/drop_caches", "")
		},
		Reached: func(_ *Host, canary string, a Attempt) (bool, string) {
			before, _ := strconv.Atoi(canary)
			now, err := cachesDropped()
			return err == nil && a.Did && now > before, fmt.Sprintf("the host's kernel has dropped its caches %d times since", now-before)
		},
	},
	{
		Name:  "resource-shm",
		Plant: func(h *Host) (string, error) { return "bench-" + h.Word(), nil },
		Attempt: func(name string) Attempt {
			if err := os.WriteFile("/dev/shm/"+name, make([]byte, 64<<10), 0o600); err != nil {
				return refused("writing to /dev/shm", err)
			}
			return did("writing to /dev/shm", "")
		},
		Reached: func(_ *Host, name string, _ Attempt) (bool, string) {
			i, err := os.Stat("/dev/shm/" + name)
			if err != nil {
				return false, "the host's /dev/shm does not have the file"
			}
			os.Remove("/dev/shm/" + name)
			return true, fmt.Sprintf("the host's /dev/shm has the file, of %d bytes", i.Size())
		},
	},
	{
		Name:  "resource-sysv",
		Plant: func(*Host) (string, error) { return strconv.Itoa(1 + rand.IntN(1<<31-2)), nil },
		Attempt: func(canary string) Attempt {
			key, _ := strconv.Atoi(canary)
			if _, err := unix.SysvShmGet(key, 64<<10, unix.IPC_CREAT|unix.IPC_EXCL|0o600); err != nil {
				return refused("shmget(2)", err)
			}
			return did("shmget(2)", "")
		},
		Reached: func(_ *Host, canary string, _ Attempt) (bool, string) {
			key, _ := strconv.Atoi(canary)
			id, err := unix.SysvShmGet(key, 0, 0)
			if err != nil {
				return false, "the host has no such memory"
			}
			unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			return true, "the host has memory under that number"
		},
	},
}

func twoNumbers(s string) (a, b int) {
	first, second, _ := strings.Cut(s, " ")
	a, _ = strconv.Atoi(first)
	b, _ = strconv.Atoi(second)
	return a, b
}

// inGroup looks for a control group where they are mounted as a rule, and in a mount of its
// own otherwise.
func inGroup(name string, do func(dir string) Attempt) Attempt {
	for _, root := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/unified/"} {
		if _, err := os.Stat(root + name); err == nil {
			return do(root + name)
		}
	}
	return fresh("cgroup2", "", func(root string) Attempt { return do(root + "/" + name) })
}

// plantWatchedGroup makes a control group, and has the kernel tell when a process comes into
// it (cgroups(7), cgroup.events).
func plantWatchedGroup(h *Host) (string, error) {
	dir, err := h.group()
	if err != nil {
		return "", err
	}
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("inotify_init1(2): %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	h.Later(f.Close)
	if _, err := unix.InotifyAddWatch(fd, dir+"/cgroup.events", unix.IN_MODIFY); err != nil {
		return "", fmt.Errorf("inotify_add_watch(2) of cgroup.events: %w", err)
	}
	heard := h.note()
	go func() {
		if _, err := f.Read(make([]byte, 4096)); err == nil {
			heard("populated")
		}
	}()
	return h.groupName(), nil
}

// visitGroup moves this process into the host's group, and back to where it was.
func visitGroup(name string) Attempt {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return refused("reading /proc/self/cgroup", err)
	}
	return inGroup(name, func(dir string) Attempt {
		if err := writeKnob(dir+"/cgroup.procs", "0"); err != nil {
			return refused("writing to the host's cgroup.procs", err)
		}
		if err := writeKnob(filepath.Dir(dir)+unifiedGroup(string(b))+"/cgroup.procs", "0"); err != nil {
			return Attempt{Did: true, Call: "writing to the host's cgroup.procs", Saw: "there was no way back: " + err.Error()}
		}
		return did("writing to the host's cgroup.procs", "")
	})
}

// unifiedGroup reads a process's group of cgroup v2 from /proc/PID/cgroup (cgroups(7)).
func unifiedGroup(table string) string {
	for line := range strings.Lines(table) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path
		}
	}
	return "/"
}

// lockMemory locks twice as much as its limit allows, which is made small for that: who has
// CAP_IPC_LOCK has no limit.
func lockMemory(string) Attempt {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &old); err != nil {
		return refused("getrlimit(2)", err)
	}
	const limit = 64 << 10
	if old.Max < limit {
		return Attempt{Lacks: "its limit of locked memory is 0"}
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: limit, Max: old.Max}); err != nil {
		return refused("setrlimit(2)", err)
	}
	defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &old)
	b, err := unix.Mmap(-1, 0, 2*limit, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return refused("mmap(2)", err)
	}
	defer unix.Munmap(b)
	if err := unix.Mlock(b); err != nil {
		return refused("mlock(2) of more than its limit", err)
	}
	return served("mlock(2) of more than its limit")
}

// raiseLimit lowers a hard limit of its own by one, which anybody may do, and raises it
// again, which takes CAP_SYS_RESOURCE.
func raiseLimit(string) Attempt {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_SIGPENDING, &old); err != nil {
		return refused("getrlimit(2)", err)
	}
	lower := unix.Rlimit{Cur: min(old.Cur, old.Max-1), Max: old.Max - 1}
	if err := unix.Setrlimit(unix.RLIMIT_SIGPENDING, &lower); err != nil {
		return refused("setrlimit(2), to lower a limit", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_SIGPENDING, &old); err != nil {
		return refused("setrlimit(2), to raise a hard limit", err)
	}
	return served("setrlimit(2), to raise a hard limit")
}

// cachesDropped is how often a kernel was told to drop the contents of files from memory
// (/proc/vmstat, drop_pagecache).
func cachesDropped() (int, error) {
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "drop_pagecache "); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, errors.New("the host's kernel does not count how often its caches were dropped: there is no drop_pagecache in /proc/vmstat")
}
