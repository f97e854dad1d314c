package cgroup

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Host is how this host mounts its cgroups.
type Host struct {
	Mode    string            // "v1", "v2", "hybrid" or "none"
	V1      map[string]string // controller -> mount point of its hierarchy; one with only a name is "name=systemd"
	Unified string            // mount point of cgroup2, "" without one
	V2      []string          // controllers of the unified hierarchy

	first   string // the first mount point, and its ID
	firstID uint64
}

// controllers are those of version 1, in the order in which their folders are
// made. The first ones, base, every group has: its account needs them.
var controllers = []string{
	"memory", "cpu", "cpuacct", "pids",
	"cpuset", "blkio", "devices", "freezer", "hugetlb", "net_cls", "net_prio", "perf_event", "rdma", "misc",
}

var base = controllers[:4]

// Detect reads /proc/self/mountinfo (proc_pid_mountinfo(5)).
func Detect() (*Host, error) {
	text, err := readSized("/proc/self/mountinfo", 16<<10)
	if err != nil {
		return nil, err
	}
	return detect(text)
}

func detect(mountinfo string) (*Host, error) {
	h := parseMounts(mountinfo)
	if h.Unified != "" {
		text, err := read(h.Unified, "cgroup.controllers")
		if err != nil {
			return nil, fmt.Errorf("reading the controllers of cgroup v2: %w", err)
		}
		h.V2 = strings.Fields(text)
	}
	v1 := false
	for c := range h.V1 {
		v1 = v1 || !strings.HasPrefix(c, "name=")
	}
	switch {
	case v1 && h.Unified != "":
		h.Mode = "hybrid"
	case v1:
		h.Mode = "v1"
	case h.Unified != "":
		h.Mode = "v2"
	}
	return h, nil
}

func parseMounts(mountinfo string) *Host {
	h := &Host{Mode: "none", V1: map[string]string{}}
	for line := range strings.Lines(mountinfo) {
		// Most lines are of other file systems.
		before, after, ok := strings.Cut(line, " - ")
		if !ok || !strings.HasPrefix(strings.TrimLeft(after, " "), "cgroup") {
			continue
		}
		f, g := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(g) < 3 {
			continue
		}
		at := unescape.Replace(f[4])
		used := false
		switch g[0] {
		case "cgroup2":
			if used = h.Unified == ""; used {
				h.Unified = at
			}
		case "cgroup":
			for opt := range strings.SplitSeq(g[2], ",") {
				if (slices.Contains(controllers, opt) || strings.HasPrefix(opt, "name=")) && h.V1[opt] == "" {
					h.V1[opt], used = at, true
				}
			}
		}
		if used && h.first == "" {
			h.first = at
			h.firstID, _ = strconv.ParseUint(f[0], 10, 64)
		}
	}
	return h
}

// unescape undoes what the kernel does to the paths in mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// Has tells whether a controller can be used, on either version.
func (h *Host) Has(controller string) bool {
	return h.V1[controller] != "" || slices.Contains(h.V2, controller)
}

// order are the keys of V1, in the order of controllers, then those with only a
// name.
func (h *Host) order() []string {
	var keys []string
	for _, c := range controllers {
		if h.V1[c] != "" {
			keys = append(keys, c)
		}
	}
	for _, c := range slices.Sorted(maps.Keys(h.V1)) {
		if !slices.Contains(controllers, c) {
			keys = append(keys, c)
		}
	}
	return keys
}

// kept is the host as it was last detected. To read mountinfo makes the kernel
// print every mount of the host; to see that nothing has changed takes one call.
var kept struct {
	sync.Mutex
	host *Host
}

// current gives the host, and tells whether it was detected just now.
func current() (h *Host, fresh bool, err error) {
	kept.Lock()
	defer kept.Unlock()
	if kept.host != nil && kept.host.mounted() {
		return kept.host, false, nil
	}
	kept.host, err = Detect()
	return kept.host, true, err
}

// again detects the host once more, if it has changed.
func again(h *Host) (*Host, bool) {
	kept.Lock()
	defer kept.Unlock()
	now, err := Detect()
	if err != nil || now.same(h) {
		return nil, false
	}
	kept.host = now
	return now, true
}

// mounted tells whether the first mount is still the one that was found: its
// ID differs in another mount namespace, and after it is mounted anew
// (STATX_MNT_ID of statx(2), Linux 5.8). What else can have changed shows when
// something fails.
func (h *Host) mounted() bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, h.first, unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st)
	return err == nil && st.Mask&unix.STATX_MNT_ID != 0 && st.Mnt_id == h.firstID
}

func (h *Host) same(o *Host) bool {
	return h.Unified == o.Unified && h.firstID == o.firstID && maps.Equal(h.V1, o.V1) && slices.Equal(h.V2, o.V2)
}
