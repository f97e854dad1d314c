package look

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func (l *looker) kernel() {
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		uts := l.namespace("uts")
		l.add("host name", unix.ByteSliceToString(u.Nodename[:]), uts)
		l.add("domain name", unix.ByteSliceToString(u.Domainname[:]), uts)
		l.add("kernel", fmt.Sprintf("%s, %s", unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:])), "kernel")
	}
	l.add("boot id", l.boot, "kernel")
	if up, err := l.read("/proc/uptime"); up == "" {
		l.shut("uptime", err)
	} else {
		seconds, _ := strconv.ParseFloat(strings.Fields(up)[0], 64)
		l.add("uptime", time.Duration(seconds*float64(time.Second)).Round(time.Second).String(), l.namespace("time"))
	}
	if offsets, err := l.read("/proc/self/timens_offsets"); offsets == "" {
		l.shut("clock", err)
	} else {
		l.add("clock", lines(offsets), l.namespace("time"))
	}
	l.file("command line", "/proc/cmdline", func(s string) string { return s })
	l.file("modules", "/proc/modules", func(s string) string {
		names := []string{}
		for line := range strings.Lines(s) {
			name, _, _ := strings.Cut(line, " ")
			names = append(names, name)
		}
		return fmt.Sprintf("%d: %s", len(names), strings.Join(names, ", "))
	})
	if l.Root == "" {
		l.kernelLog()
	}
}

// file notes something that is the kernel's own and that a file tells.
func (l *looker) file(fact, name string, words func(string) string) {
	text, err := l.read(name)
	if err != nil || text == "" {
		l.shut(fact, err)
		return
	}
	l.add(fact, words(text), "kernel")
}

func (l *looker) kernelLog() {
	const sizeBuffer, readAll = 10, 3 // syslog(2)
	size, err := unix.Klogctl(sizeBuffer, nil)
	if err == nil {
		_, err = unix.Klogctl(readAll, make([]byte, 1))
	}
	if err != nil {
		l.shut("kernel log", err)
		return
	}
	l.add("kernel log", fmt.Sprintf("readable, %d KiB", size>>10), "kernel")
}

func (l *looker) resources() {
	online, err := l.read("/sys/devices/system/cpu/online")
	if online == "" {
		var stat string
		stat, err = l.read("/proc/stat")
		n := strings.Count(stat, "\ncpu")
		if n > 0 {
			online = strconv.Itoa(n) + " in /proc/stat"
		}
	}
	if online == "" {
		l.shut("cpus", err)
	} else {
		l.add("cpus", online, "kernel")
	}
	if status, err := l.read("/proc/self/status"); status == "" {
		l.shut("affinity", err)
	} else {
		allowed := Field(status, "Cpus_allowed_list")
		l.add("affinity", allowed, "cpus "+allowed)
	}
	if info, err := l.read("/proc/meminfo"); info == "" {
		l.shut("memory", err)
	} else {
		kib, _ := strconv.ParseUint(strings.TrimSuffix(Field(info, "MemTotal"), " kB"), 10, 64)
		l.add("memory", fmt.Sprintf("%d MiB", kib>>10), "kernel")
	}
	groups, err := l.read("/proc/self/cgroup")
	if groups == "" {
		l.shut("cgroup", err)
		l.shut("cpu quota", err)
		l.shut("memory limit", err)
		return
	}
	l.limit("cpu quota", groups, "cpu", "cpu.max", "cpu.cfs_quota_us", cpuLimit)
	l.limit("memory limit", groups, "memory", "memory.max", "memory.limit_in_bytes", memoryLimit)
	l.add("cgroup", cgroupPaths(groups), l.namespace("cgroup")+" "+groups)
}

// cgroupPaths are the distinct paths, the longest first: with cgroup v1 there is one for
// each controller.
func cgroupPaths(groups string) string {
	var all []string
	for line := range strings.Lines(groups) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && !slices.Contains(all, f[2]) {
			all = append(all, f[2])
		}
	}
	slices.SortStableFunc(all, func(a, b string) int { return len(b) - len(a) })
	return strings.Join(all, ", ")
}

// limit looks for a limit where the control groups are mounted: one that is not shown
// there binds no less.
func (l *looker) limit(fact, groups, controller, v2, v1 string, words func(string) string) {
	mounts, _ := l.mountinfo()
	for line := range strings.Lines(groups) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for _, m := range mounts {
			name := ""
			switch {
			case m.typ == "cgroup2" && f[0] == "0":
				name = v2
			case m.typ == "cgroup" && slices.Contains(strings.Split(f[1], ","), controller) && slices.Contains(strings.Split(path.Base(m.at), ","), controller):
				name = v1
			default:
				continue
			}
			// The mount shows the hierarchy from its root on.
			below := strings.TrimPrefix(f[2], strings.TrimSuffix(m.root, "/"))
			text, err := l.read(path.Join(m.at, below, name))
			if err == nil {
				l.add(fact, words(text), l.namespace("cgroup")+" "+f[2])
				return
			}
		}
	}
	// The root group has none, and one that is not mounted shows none: either way there is
	// no file.
	l.shut(fact, nil)
}

func cpuLimit(text string) string {
	f := strings.Fields(text)
	if len(f) == 0 || f[0] == "max" || f[0] == "-1" {
		return "none"
	}
	quota, _ := strconv.ParseFloat(f[0], 64)
	if len(f) < 2 {
		return fmt.Sprintf("%g µs a period", quota)
	}
	period, _ := strconv.ParseFloat(f[1], 64)
	return fmt.Sprintf("%g CPUs", quota/max(period, 1))
}

func memoryLimit(text string) string {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > 1<<60 { // v1 says none with the largest number of whole pages
		return "none"
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// Field is what a file of /proc says behind a name.
func Field(text, name string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (l *looker) others() {
	var objects []string
	total := 0
	for _, kind := range []struct{ file, name string }{{"msg", "message queues"}, {"sem", "semaphore sets"}, {"shm", "shared memory"}} {
		text, err := l.read("/proc/sysvipc/" + kind.file)
		if err != nil {
			continue
		}
		n := strings.Count(text, "\n") // without the headings
		total += n
		objects = append(objects, fmt.Sprintf("%d %s", n, kind.name))
	}
	if objects == nil {
		l.shut("sysv ipc", nil)
	} else {
		l.add("sysv ipc", strings.Join(objects, ", "), l.namespace("ipc"))
	}
	var names []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	text := fmt.Sprint(len(names))
	if n := len(names); n > 0 && n <= 8 { // those of a whole session are nobody's business
		text += ": " + strings.Join(names, ", ")
	}
	// It is a copy that each process has for itself.
	l.add("environment", text, "process "+l.namespace("pid")+strconv.Itoa(os.Getpid()))
	fds := map[string]int{}
	dir, err := l.names("/proc/self/fd")
	for _, fd := range dir {
		if target, err := os.Readlink(l.path("/proc/self/fd/" + fd)); err == nil {
			kind, _, _ := strings.Cut(target, ":")
			fds[kind]++
		}
	}
	if len(fds) == 0 {
		l.shut("descriptors", err)
		return
	}
	l.add("descriptors", counted(fds), "process "+l.namespace("pid")+strconv.Itoa(os.Getpid()))
}
