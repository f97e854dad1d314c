package experiment

import (
	"bufio"
	"cmp"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"vmctr/bench/harness"
	"vmctr/container/cgroup"
	"vmctr/report/result"
)

// A room is something that instances take up and that a host has only so much of.
type room struct {
	name string
	unit string
	used func() (float64, error) // of the whole host, or by bench
	most float64                 // how much may be in use

	before float64
}

func (r *room) begin() (err error) {
	if r.before, err = r.used(); err != nil {
		return fmt.Errorf("looking how much %s there is: %w", r.name, err)
	}
	return nil
}

// fits looks whether the rooms suffice for n instances when some of them have started,
// if each of the others takes as much as those did in the mean. It says so by a
// [harness.OutOfReach].
func fits(rooms []*room, started, n int) error {
	// What one or two of many take says little of the others. And a look costs time: it is
	// at powers of two, and now and then.
	if started&(started-1) != 0 && started%64 != 0 && started != n {
		return nil
	}
	for _, r := range rooms {
		now, err := r.used()
		if err != nil {
			return fmt.Errorf("looking how much %s there is: %w", r.name, err)
		}
		format := func(v float64) string { return result.FormatValue(v, r.unit) }
		if now > r.most {
			return &harness.OutOfReach{Reason: fmt.Sprintf("%d instances are too many here: with %d of them, the %s is %s, of %s at most", n, started, r.name, format(now), format(r.most))}
		}
		if started*16 < n {
			continue
		}
		if need := r.before + (now-r.before)*float64(n)/float64(max(started, 1)); need > r.most {
			return &harness.OutOfReach{Reason: fmt.Sprintf("%d instances are too many here: judged by the first %d, the %s would be %s, of %s at most", n, started, r.name, format(need), format(r.most))}
		}
	}
	return nil
}

// part of what a host has is used at most: the rest is for what else runs, and for errors
// of the estimate.
const part = 0.75

// hostRooms are memory, tasks and descriptors, and the time that building may take, of
// which the zero one is no limit.
func hostRooms(patience time.Duration) ([]*room, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}
	memory, err := fs.Meminfo()
	if err != nil {
		return nil, err
	}
	if memory.MemTotalBytes == nil {
		return nil, fmt.Errorf("/proc/meminfo has no MemTotal")
	}
	total := float64(*memory.MemTotalBytes)
	tasks, err := mostTasks()
	if err != nil {
		return nil, err
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return nil, os.NewSyscallError("getrlimit(RLIMIT_NOFILE)", err)
	}
	rooms := []*room{
		{name: "memory in use", unit: "bytes", most: part * total, used: func() (float64, error) {
			m, err := fs.Meminfo()
			if err != nil || m.MemAvailableBytes == nil {
				return 0, cmp.Or(err, fmt.Errorf("/proc/meminfo has no MemAvailable"))
			}
			return total - float64(*m.MemAvailableBytes), nil
		}},
		{name: "number of tasks (processes and threads)", most: part * tasks, used: runningTasks},
		// Go has raised the limit to the hard one (os/rlimit.go).
		{name: "number of files that bench has open", most: part * float64(files.Cur), used: openFiles},
	}
	if patience > 0 {
		begin := time.Now()
		rooms = append(rooms, &room{name: "time to start them", unit: "ns", most: float64(patience), used: func() (float64, error) { return float64(time.Since(begin)), nil }})
	}
	return rooms, nil
}

// mostTasks is how many there may be: by the numbers that there are for them
// (proc_sys_kernel(5), pid_max), by the kernel's memory for them (threads-max), and by
// the limit on bench's own control group, as systemd sets one, which holds the threads
// of bench that wait for instances.
func mostTasks() (float64, error) {
	most := math.Inf(1)
	for _, name := range []string{"pid_max", "threads-max"} {
		b, err := os.ReadFile("/proc/sys/kernel/" + name)
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/sys/kernel/%s: %w", name, err)
		}
		most = min(most, n)
	}
	if limit, ok := ownPids(); ok {
		most = min(most, limit)
	}
	return most, nil
}

// ownPids is the limit on tasks of the control group that bench is in.
func ownPids() (limit float64, ok bool) {
	f, err := os.Open("/proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	// "4:pids:/user.slice" of version 1, or "0::/user.slice" (cgroups(7)).
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), ":", 3)
		if len(fields) < 3 || fields[1] != "pids" && fields[1] != "" {
			continue
		}
		g, err := cgroup.Load(fields[2])
		if err != nil {
			continue
		}
		if s, err := g.Stats(); err == nil && s.Pids != nil && s.Pids.Limit < math.MaxInt64 {
			return float64(s.Pids.Limit), true
		}
	}
	return 0, false
}

// runningTasks is the number of tasks of the host: the fourth field of proc_loadavg(5) is
// "running/all".
func runningTasks() (float64, error) {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b))
	if len(fields) > 3 {
		if _, all, ok := strings.Cut(fields[3], "/"); ok {
			return strconv.ParseFloat(all, 64)
		}
	}
	return 0, fmt.Errorf("/proc/loadavg says %q", b)
}

func openFiles() (float64, error) {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	return float64(len(names)), err
}
