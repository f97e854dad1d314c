// Package cgroup puts processes under limits and reads what they used.
//
// A control group is a folder in a kernel file system: making the folder makes
// the group, writing a PID into one of its files moves a process into it, and
// writing numbers into others sets its limits (cgroups(7)). There are two
// generations of it. Version 1 (Documentation/admin-guide/cgroup-v1) has a
// hierarchy of folders for each controller: memory, cpu, pids, each mounted on
// its own. Version 2 (Documentation/admin-guide/cgroup-v2.rst) has one for
// all. A hybrid host mounts both, and each controller is found in one of them.
//
// A [Cgroup] hides the difference: its limits are the runtime-spec's
// linux.resources, and its account is in bytes on both.
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Host is how this host mounts its cgroups.
type Host struct {
	Mode    string            // "v1", "v2", "hybrid" or "none"
	V1      map[string]string // controller -> mount point of its hierarchy
	Unified string            // mount point of cgroup2, "" without one
	V2      []string          // controllers of the unified hierarchy
}

// Detect reads /proc/self/mountinfo (proc_pid_mountinfo(5)).
func Detect() (*Host, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return detect(string(b))
}

func detect(mountinfo string) (*Host, error) {
	h := parseMounts(mountinfo)
	if h.Unified != "" {
		b, err := os.ReadFile(filepath.Join(h.Unified, "cgroup.controllers"))
		if err != nil {
			return nil, fmt.Errorf("reading the controllers of cgroup v2: %w", err)
		}
		h.V2 = strings.Fields(string(b))
	}
	switch {
	case len(h.V1) > 0 && h.Unified != "":
		h.Mode = "hybrid"
	case len(h.V1) > 0:
		h.Mode = "v1"
	case h.Unified != "":
		h.Mode = "v2"
	}
	return h, nil
}

func parseMounts(mountinfo string) *Host {
	h := &Host{Mode: "none", V1: map[string]string{}}
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 3 {
			continue
		}
		at := unescape.Replace(f[4])
		switch g[0] {
		case "cgroup2":
			if h.Unified == "" {
				h.Unified = at
			}
		case "cgroup":
			for _, opt := range strings.Split(g[2], ",") {
				if slices.Contains(controllers, opt) && h.V1[opt] == "" {
					h.V1[opt] = at
				}
			}
		}
	}
	return h
}

// unescape undoes what the kernel does to the paths in mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// controllers are those that this package sets or reads.
var controllers = []string{"memory", "cpu", "cpuacct", "pids"}

// Has tells whether a controller can be used, on either version.
func (h *Host) Has(controller string) bool {
	return h.V1[controller] != "" || slices.Contains(h.V2, controller)
}

// A Cgroup is one control group: on version 2 a folder, on version 1 a folder
// in the hierarchy of each controller.
type Cgroup struct {
	Name    string
	dirs    map[string]string // controller -> folder, v1
	unified string            // folder, v2; "" where v2 has no controllers
}

// Create makes the group name, a path such as "/bench-ID/c1", below the root
// of each hierarchy, and sets its limits. A group that exists is refused: it
// would be another container's. On failure nothing is left but, perhaps, the
// groups above it, which others may share.
func Create(name string, r *specs.LinuxResources) (*Cgroup, error) {
	h, err := Detect()
	if err != nil {
		return nil, err
	}
	return h.create(name, r)
}

func (h *Host) create(name string, r *specs.LinuxResources) (_ *Cgroup, err error) {
	name = filepath.Clean("/" + name)
	if name == "/" {
		return nil, errors.New("cgroup: the path names the root of the hierarchy")
	}
	c := &Cgroup{Name: name, dirs: map[string]string{}}
	defer func() {
		if err != nil {
			c.rmdir()
		}
	}()
	if h.V1["memory"] != "" {
		for _, controller := range controllers {
			root := h.V1[controller]
			if root == "" {
				continue
			}
			dir := filepath.Join(root, name)
			if !slices.Contains(slices.Collect(maps.Values(c.dirs)), dir) { // "cpu,cpuacct" is one hierarchy
				if err := mkdir(dir); err != nil {
					return nil, fmt.Errorf("making cgroup v1 %s: %w", dir, err)
				}
			}
			c.dirs[controller] = dir
		}
	} else if h.Unified != "" {
		if err := makeUnified(h.Unified, name); err != nil {
			return nil, err
		}
		c.unified = filepath.Join(h.Unified, name)
	} else {
		return nil, errors.New("this host mounts no cgroups; mount them: mount -t cgroup2 none /sys/fs/cgroup")
	}
	return c, c.limit(r)
}

// mkdir makes a folder that must not be there, below those that may be.
func mkdir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o755)
}

// makeUnified makes the folder and hands the controllers down to it, level by
// level (cgroup-v2.rst, "Enabling and Disabling").
func makeUnified(root, name string) error {
	dir := root
	for _, part := range strings.Split(strings.Trim(name, "/"), "/") {
		have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return err
		}
		on, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if err != nil {
			return err
		}
		for _, c := range []string{"memory", "cpu", "pids"} {
			if slices.Contains(strings.Fields(string(have)), c) && !slices.Contains(strings.Fields(string(on)), c) {
				if err := write(dir, "cgroup.subtree_control", "+"+c); err != nil {
					return fmt.Errorf("enabling the %s controller: %w (a cgroup that holds processes cannot hand controllers down; cgroup-v2.rst, \"No Internal Process Constraint\")", c, err)
				}
			}
		}
		dir = filepath.Join(dir, part)
		last := dir == filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil && (last || !errors.Is(err, fs.ErrExist)) {
			return fmt.Errorf("making cgroup v2 %s: %w", dir, err)
		}
	}
	return nil
}

// setting is one file of one controller.
type setting struct {
	controller, v1, v2 string // file names
	value1, value2     string
}

// settings translates the runtime-spec's resources (config-linux.md, "Control
// groups") into files. It is pure.
func settings(r *specs.LinuxResources) []setting {
	var s []setting
	if r == nil {
		return nil
	}
	if m := r.Memory; m != nil && m.Limit != nil {
		v := strconv.FormatInt(*m.Limit, 10)
		v2 := v
		if *m.Limit < 0 {
			v2 = "max"
		}
		s = append(s, setting{"memory", "memory.limit_in_bytes", "memory.max", v, v2})
	}
	if c := r.CPU; c != nil && (c.Quota != nil || c.Period != nil) {
		period := uint64(100_000)
		if c.Period != nil {
			period = *c.Period
		}
		quota, v2 := "-1", "max" // unlimited
		if c.Quota != nil && *c.Quota > 0 {
			quota = strconv.FormatInt(*c.Quota, 10)
			v2 = quota
		}
		s = append(s,
			setting{"cpu", "cpu.cfs_period_us", "", strconv.FormatUint(period, 10), ""},
			setting{"cpu", "cpu.cfs_quota_us", "cpu.max", quota, v2 + " " + strconv.FormatUint(period, 10)})
	}
	if p := r.Pids; p != nil && p.Limit != nil {
		v := "max"
		if *p.Limit >= 0 {
			v = strconv.FormatInt(*p.Limit, 10)
		}
		s = append(s, setting{"pids", "pids.max", "pids.max", v, v})
	}
	return s
}

func (c *Cgroup) limit(r *specs.LinuxResources) error {
	for _, s := range settings(r) {
		dir, file, value := c.dirs[s.controller], s.v1, s.value1
		if c.unified != "" {
			dir, file, value = c.unified, s.v2, s.value2
		}
		if file == "" {
			continue
		}
		if dir == "" {
			return fmt.Errorf("setting %s=%s: this host's cgroups have no %s controller", file, value, s.controller)
		}
		if err := write(dir, file, value); err != nil {
			return err
		}
	}
	return nil
}

// write writes a value to a cgroup file in one call.
func write(dir, file, value string) error {
	path := filepath.Join(dir, file)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	f.Close()
	if err != nil {
		return fmt.Errorf("writing %q: %w", value, err)
	}
	return nil
}

// Entrances are how a process gets in. On version 2 it is born there, with a
// descriptor of the folder (CLONE_INTO_CGROUP). On version 1 it writes "0"
// (itself) into the tasks file of each hierarchy, which takes a ninth of the
// time that moving it from outside through cgroup.procs does. The caller
// closes the files.
func (c *Cgroup) Entrances() (folder *os.File, tasks []*os.File, err error) {
	if c.unified != "" {
		folder, err = os.OpenFile(c.unified, unix.O_PATH|unix.O_DIRECTORY, 0)
		return folder, nil, err
	}
	for _, dir := range c.folders() {
		f, err := os.OpenFile(filepath.Join(dir, "tasks"), os.O_WRONLY, 0)
		if err != nil {
			for _, f := range tasks {
				f.Close()
			}
			return nil, nil, err
		}
		tasks = append(tasks, f)
	}
	return nil, tasks, nil
}

// folders are the distinct folders of the group: controllers may share one.
func (c *Cgroup) folders() []string {
	var dirs []string
	if c.unified != "" {
		dirs = append(dirs, c.unified)
	}
	for _, controller := range controllers {
		if d := c.dirs[controller]; d != "" && !slices.ContainsFunc(dirs, func(have string) bool { return sameFile(have, d) }) {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// Add moves a process in, from outside.
func (c *Cgroup) Add(pid int) error {
	for _, dir := range c.folders() {
		if err := write(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("moving process %d: %w", pid, err)
		}
	}
	return nil
}

// Memory is what the group is charged for, in bytes: anonymous memory, page
// cache that it was first to touch, and kernel memory.
func (c *Cgroup) Memory() (int64, error) {
	dir, file := c.unified, "memory.current"
	if dir == "" {
		dir, file = c.dirs["memory"], "memory.usage_in_bytes"
	}
	if dir == "" {
		return 0, errors.New("this host's cgroups have no memory controller")
	}
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

// OutOfMemoryKills counts the processes of the group that the kernel has
// killed because the group was over its memory limit: oom_kill of
// memory.events, on version 1 (since Linux 4.13) of memory.oom_control.
func (c *Cgroup) OutOfMemoryKills() (int64, error) {
	dir, file := c.unified, "memory.events"
	if dir == "" {
		dir, file = c.dirs["memory"], "memory.oom_control"
	}
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s/%s has no oom_kill", dir, file)
}

// Processes are the PIDs in the group.
func (c *Cgroup) Processes() ([]int, error) {
	var pids []int
	for _, dir := range c.folders() {
		p, err := processes(dir)
		if err != nil {
			return nil, err
		}
		pids = append(pids, p...)
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

func processes(dir string) ([]int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// Remove kills what is left in the group and removes it.
func (c *Cgroup) Remove(ctx context.Context) error {
	var errs []error
	for _, dir := range c.folders() {
		errs = append(errs, remove(ctx, dir))
	}
	return errors.Join(errs...)
}

func (c *Cgroup) rmdir() {
	for _, dir := range c.folders() {
		unix.Rmdir(dir)
	}
}

// remove removes one folder and those below it. A folder can be removed only
// once its last process is reaped, so this tries until ctx or ten seconds end.
func remove(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := remove(ctx, filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for wait := 200 * time.Microsecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return &os.PathError{Op: "rmdir", Path: dir, Err: err}
		}
		// Version 2 kills all at once (Linux 5.14), so that none can fork in
		// time; where it does not, one by one.
		write(dir, "cgroup.kill", "1")
		pids, _ := processes(dir)
		for _, pid := range pids {
			if pid > 0 { // 0 is a process of another PID namespace
				unix.Kill(pid, unix.SIGKILL)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("removing cgroup %s: processes %v do not leave it: %w", dir, pids, err)
		case <-time.After(wait):
		}
	}
}

// Sweep removes every group right below the root of a hierarchy whose name
// satisfies dead, with all processes in it, and returns their folders.
func Sweep(ctx context.Context, dead func(name string) bool) ([]string, error) {
	h, err := Detect()
	if err != nil {
		return nil, err
	}
	return h.sweep(ctx, dead)
}

func (h *Host) sweep(ctx context.Context, dead func(name string) bool) ([]string, error) {
	var roots []string
	for _, r := range h.V1 {
		roots = append(roots, r)
	}
	if h.Unified != "" {
		roots = append(roots, h.Unified)
	}
	slices.Sort(roots)
	var swept []string
	var errs []error
	for _, root := range slices.Compact(roots) {
		entries, err := os.ReadDir(root)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, e := range entries {
			if e.IsDir() && dead(e.Name()) {
				dir := filepath.Join(root, e.Name())
				if err := remove(ctx, dir); err != nil {
					errs = append(errs, err)
					continue
				}
				swept = append(swept, dir)
			}
		}
	}
	return swept, errors.Join(errs...)
}

// Check tells which part of the resources this package cannot set yet.
func Check(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	for _, s := range []struct {
		field string
		set   bool
	}{
		{"devices", len(r.Devices) > 0}, {"blockIO", r.BlockIO != nil}, {"hugepageLimits", len(r.HugepageLimits) > 0},
		{"network", r.Network != nil}, {"rdma", len(r.Rdma) > 0}, {"unified", len(r.Unified) > 0},
		{"memory", r.Memory != nil && *r.Memory != specs.LinuxMemory{Limit: r.Memory.Limit}},
		{"cpu", r.CPU != nil && *r.CPU != specs.LinuxCPU{Quota: r.CPU.Quota, Period: r.CPU.Period}},
	} {
		if s.set {
			return fmt.Errorf("linux.resources.%s: only memory.limit, cpu.quota, cpu.period and pids.limit are supported yet", s.field)
		}
	}
	// What the kernel takes (sched-bwc.rst), so that the error names the field
	// and not the file.
	if c := r.CPU; c != nil && c.Period != nil && (*c.Period < 1000 || *c.Period > 1_000_000) {
		return fmt.Errorf("linux.resources.cpu.period: %d is not in 1000..1000000 (microseconds)", *c.Period)
	}
	if c := r.CPU; c != nil && c.Quota != nil && *c.Quota > 0 && *c.Quota < 1000 {
		return fmt.Errorf("linux.resources.cpu.quota: %d is less than 1000 (microseconds)", *c.Quota)
	}
	return nil
}
