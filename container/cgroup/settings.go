package cgroup

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A setting is a value for one file of one controller.
type setting struct {
	field      string // of linux.resources, for errors
	file       string
	value      string
	controller string
	version    int

	// optional: where the file is missing the value holds anyway.
	optional bool
	// initial: a new group has this value.
	initial bool
	// second: the value is the second word of the file, and the first is to
	// stay.
	second bool
	// otherwise is what is set where the file is missing.
	otherwise *setting
	// program is, instead of a file and a value, a program to attach.
	program []instruction
}

type settings []setting

// needs tells whether any of the settings is of a controller.
func (l settings) needs(version int, controller string) bool {
	return slices.ContainsFunc(l, func(s setting) bool { return s.version == version && s.controller == controller })
}

func (l settings) needsUnified() bool {
	return slices.ContainsFunc(l, func(s setting) bool { return s.version == 2 })
}

// A part of linux.resources is set by one controller.
type part struct {
	field    string
	v1, v2   string // the controller's name on each version, "" where there is none
	controls bool   // on version 2 it is a controller, and not something that any group has
	// What to write, by pure functions. An error says what the version has not.
	on1, on2 func(*specs.LinuxResources) (settings, error)
}

// parts are in the order in which they are written.
var parts = []part{
	{"memory", "memory", "memory", true, memoryV1, memoryV2},
	{"cpu", "cpu", "cpu", true, cpuV1, cpuV2},
	{"cpu.cpus", "cpuset", "cpuset", true, cpuset, cpuset},
	{"pids", "pids", "pids", true, pids, pids},
	{"blockIO", "blkio", "io", true, blockIOV1, blockIOV2},
	{"hugepageLimits", "hugetlb", "hugetlb", true, hugetlbV1, hugetlbV2},
	{"rdma", "rdma", "rdma", true, rdma, rdma},
	{"network.classID", "net_cls", "", true, classID, noClassID},
	{"network.priorities", "net_prio", "", true, priorities, noPriorities},
	{"devices", "devices", "devices", false, devicesV1, devicesV2},
	{"unified", "", "", false, nil, unified},
}

// plan translates the resources into settings, for a host or a group that has
// each controller on the version that is told; 0 is on none. It is pure.
func plan(r *specs.LinuxResources, version func(part) int) (settings, error) {
	if r == nil {
		return nil, nil
	}
	var all settings
	for _, p := range parts {
		v := version(p)
		translate, controller := p.on2, p.v2
		if v == 1 || v == 0 && p.on1 != nil {
			translate, controller = p.on1, p.v1
		}
		list, err := translate(r)
		if err != nil {
			return nil, fmt.Errorf("linux.resources.%w", err)
		}
		if len(list) == 0 {
			continue
		}
		if v == 0 {
			if p.v1 == "" {
				return nil, fmt.Errorf("linux.resources.%s: needs cgroup v2", list[0].field)
			}
			if p.v2 == "" {
				return nil, fmt.Errorf("linux.resources.%s: the cgroups have no %s controller, which is one of version 1", list[0].field, controller)
			}
			return nil, fmt.Errorf("linux.resources.%s: the cgroups have no %s controller", list[0].field, controller)
		}
		for _, s := range list {
			s.version = v
			if s.controller == "" {
				s.controller = controller
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// Update changes limits of a group: those that r holds, and no others. If one
// is refused, those before it are set.
func (c *Cgroup) Update(r *specs.LinuxResources) error {
	if err := Check(r); err != nil {
		return err
	}
	wanted, err := plan(r, func(p part) int {
		switch {
		case p.v1 != "" && c.dirs[p.v1] != "":
			return 1
		case c.unified != "":
			return 2
		}
		return 0
	})
	if err != nil {
		return fmt.Errorf("updating cgroup %s: %w", c.Name, err)
	}
	if err := c.checkUsage(r); err != nil {
		return fmt.Errorf("updating cgroup %s: linux.resources.%w", c.Name, err)
	}
	return c.apply(wanted, false)
}

// apply writes settings. Some files constrain each other, such as the limit of
// memory and that of memory and swap, and which may be written first depends on
// what is there: so what the kernel refuses is tried again after the others.
func (c *Cgroup) apply(list settings, isNew bool) error {
	w := writer{group: c, fd: -1}
	defer w.close()
	for len(list) > 0 {
		var refused settings
		var first error
		for _, s := range list {
			if isNew && s.initial {
				continue
			}
			switch err := w.set(s); {
			case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EBUSY):
				refused = append(refused, s)
				if first == nil {
					first = err
				}
			case err != nil:
				return err
			}
		}
		if len(refused) == len(list) {
			return first
		}
		list = refused
	}
	return nil
}

// writer keeps the file of the last setting: a list of devices is many writes
// to one.
type writer struct {
	group *Cgroup
	path  string
	fd    int
}

func (w *writer) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
		w.fd = -1
	}
}

func (w *writer) set(s setting) error {
	failed := func(err error) error { return fmt.Errorf("linux.resources.%s: %w", s.field, err) }
	if s.program != nil {
		if err := w.group.attach(s.program); err != nil {
			return failed(err)
		}
		return nil
	}
	dir := w.group.unified
	if s.version == 1 {
		dir = w.group.dirs[s.controller]
	}
	if path := dir + "/" + s.file; path != w.path || w.fd < 0 {
		w.close()
		fd, err := open(path, unix.O_WRONLY)
		switch {
		case errors.Is(err, unix.ENOENT) && s.otherwise != nil:
			other := *s.otherwise
			other.field, other.controller, other.version = s.field, s.controller, s.version
			return w.set(other)
		case errors.Is(err, unix.ENOENT) && s.optional:
			return nil
		case errors.Is(err, unix.ENOENT):
			return failed(fmt.Errorf("setting %s=%s: this kernel, or this host, has no such limit: %w", s.file, s.value, err))
		case err != nil:
			return failed(err)
		}
		w.path, w.fd = path, fd
	}
	value := s.value
	if s.second {
		have, err := read(dir, s.file)
		if err != nil {
			return failed(err)
		}
		first, _, _ := strings.Cut(have, " ")
		value = first + " " + value
	}
	if err := writeTo(w.fd, w.path, value); err != nil {
		return failed(err)
	}
	return nil
}

// Check tells which part of the resources is wrong, or cannot be set on any
// host, by the name of the field. What this host in particular has not, Create
// and Update tell.
func Check(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	for _, check := range []func(*specs.LinuxResources) error{
		checkMemory, checkCPU, checkBlockIO, checkHugetlb, checkNetwork, checkRdma, checkDevices, checkUnified,
	} {
		if err := check(r); err != nil {
			return fmt.Errorf("linux.resources.%w", err)
		}
	}
	return nil
}

// Ignored tells what of the resources has no effect, and why.
func Ignored(r *specs.LinuxResources) []string {
	var notes []string
	//lint:ignore SA1019 It is deprecated: that is what this tells.
	if r != nil && r.Memory != nil && r.Memory.Kernel != nil {
		notes = append(notes, "linux.resources.memory.kernel: ignored; kernel memory has no limit of its own since Linux 5.4, and counts to memory.limit")
	}
	return notes
}

// number writes a limit: all negative ones are none, which version 1 writes -1.
func number(n int64, none string) string {
	if n < 0 {
		return none
	}
	return strconv.FormatInt(n, 10)
}

// isSet tells whether a field holds something. For many fields the runtimes
// take 0 for not set, since their callers do.
func isSet[N int64 | uint64 | uint16 | uint32](n *N) bool { return n != nil && *n != 0 }
