package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Cgroup is one control group: on version 2 a folder, on version 1 a folder
// in the hierarchy of each controller.
type Cgroup struct {
	Name    string
	dirs    map[string]string // controller -> folder, v1
	unified string            // folder, v2; "" if it is not in that hierarchy
	list    []string          // the distinct folders: controllers may share one
}

// Options say how a group is made.
type Options struct {
	// Every makes it in every hierarchy, as OCI runtimes do, so that any limit
	// can be set later, and the group frozen. Otherwise it is in those of
	// memory, cpu, cpuacct and pids and those that its limits need.
	Every bool
	// Join accepts a group that exists, if there is no process in it
	// (config-linux.md, "Cgroups Path").
	Join bool
	// Delegated makes it where a user may who manages only a part of the tree of
	// version 2 ([Delegated]): with those controllers that its limits need, and
	// others only if they are handed down. On version 1 it is then in no
	// hierarchy but those of its limits.
	Delegated bool
}

// Create makes the group name, a linux.cgroupsPath such as "/bench-ID/c1",
// below the root of each hierarchy, and sets its limits. A group that exists is
// refused: it would be another container's. On failure nothing is left but,
// perhaps, the groups above it, which others may share.
func Create(name string, r *specs.LinuxResources) (*Cgroup, error) {
	return CreateWith(name, r, Options{})
}

// CreateWith is Create with options.
func CreateWith(name string, r *specs.LinuxResources, o Options) (*Cgroup, error) {
	h, fresh, err := current()
	if err != nil {
		return nil, err
	}
	c, err := h.createWith(name, r, o)
	if err != nil && !fresh {
		if h, changed := again(h); changed {
			return h.createWith(name, r, o)
		}
	}
	return c, err
}

func (h *Host) create(name string, r *specs.LinuxResources) (*Cgroup, error) {
	return h.createWith(name, r, Options{})
}

func (h *Host) createWith(name string, r *specs.LinuxResources, o Options) (_ *Cgroup, err error) {
	if name, err = Path(name); err != nil {
		return nil, err
	}
	if err := Check(r); err != nil {
		return nil, err
	}
	if h.Mode == "none" {
		return nil, errors.New("this host mounts no cgroups; mount them: mount -t cgroup2 none /sys/fs/cgroup")
	}
	wanted, err := plan(r, h.version)
	if err != nil {
		return nil, err
	}
	c := &Cgroup{Name: name, dirs: map[string]string{}}
	var made []string
	defer func() {
		if err != nil {
			for _, dir := range made {
				unix.Rmdir(dir)
			}
		}
	}()
	for _, controller := range h.order() {
		if (o.Delegated || !o.Every && !slices.Contains(base, controller)) && !wanted.needs(1, controller) {
			continue
		}
		root := h.V1[controller]
		dir := root + name
		if !slices.Contains(c.list, dir) { // "cpu,cpuacct" is one hierarchy
			isNew, err := makeFolder(dir, o.Join)
			if err != nil {
				return nil, fmt.Errorf("making cgroup v1 %s: %w", dir, err)
			}
			if isNew {
				made = append(made, dir)
			}
			c.list = append(c.list, dir)
		}
		if controller == "cpuset" {
			if err := inherit(root, name, slices.Contains(made, dir)); err != nil {
				return nil, fmt.Errorf("making cgroup v1 %s: %w", dir, err)
			}
		}
		c.dirs[controller] = dir
	}
	if h.Unified != "" && (len(c.list) == 0 || o.Every || o.Delegated || wanted.needsUnified() || slices.ContainsFunc(base, h.unifiedHas)) {
		c.unified = h.Unified + name
		c.list = append(c.list, c.unified)
		isNew, err := h.makeUnified(name, wanted, o)
		if err != nil {
			return nil, err
		}
		if isNew {
			made = append(made, c.unified)
		}
	}
	if len(made) < len(c.list) {
		pids, err := c.Processes()
		if err != nil {
			return nil, err
		}
		if len(pids) > 0 {
			return nil, fmt.Errorf("joining cgroup %s: it is not empty, it holds the processes %v", name, pids)
		}
		if frozen, err := c.Frozen(); err == nil && frozen {
			return nil, fmt.Errorf("joining cgroup %s: it is frozen, so that a process in it would not start", name)
		}
	}
	return c, c.apply(wanted, len(made) == len(c.list))
}

// version tells on which version of cgroups this host has a controller, which
// may have another name on each; 0 is on none.
func (h *Host) version(p part) int {
	switch {
	case p.v1 != "" && h.V1[p.v1] != "":
		return 1
	case h.Unified != "" && (!p.controls || h.unifiedHas(p.v2)):
		return 2
	}
	return 0
}

func (h *Host) unifiedHas(controller string) bool { return slices.Contains(h.V2, controller) }

// makeFolder makes a folder, below those that may be there. If it is there,
// that is an error, unless it may be joined.
func makeFolder(dir string, join bool) (isNew bool, err error) {
	err = unix.Mkdir(dir, 0o755)
	if err == unix.ENOENT {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return false, err
		}
		err = unix.Mkdir(dir, 0o755)
	}
	if err == unix.EEXIST && join {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	return true, nil
}

// inherit gives a cpuset that is empty, as a new one is on version 1, the CPUs
// and memory nodes of the one above it, which may be new and empty too. An empty
// one takes no process (cpuset(7)).
func inherit(root, name string, isNew bool) error {
	above := path.Dir(name)
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		if !isNew {
			if have, err := read(root+name, file); err != nil || strings.TrimSpace(have) != "" {
				if err != nil {
					return err
				}
				continue
			}
		}
		have, err := read(root+above, file)
		if err == nil && strings.TrimSpace(have) == "" && above != "/" {
			if err = inherit(root, above, false); err == nil {
				have, err = read(root+above, file)
			}
		}
		if err != nil {
			return err
		}
		if err := write(root+name, file, strings.TrimSpace(have)); err != nil {
			return err
		}
	}
	return nil
}

// makeUnified makes the folder and hands the controllers down to it, level by
// level (cgroup-v2.rst, "Enabling and Disabling").
func (h *Host) makeUnified(name string, wanted settings, o Options) (isNew bool, err error) {
	usual := slices.DeleteFunc(slices.Clone(base), func(c string) bool { return !h.unifiedHas(c) })
	need := usual
	if o.Delegated {
		need = nil
	}
	for _, c := range h.V2 {
		if !slices.Contains(need, c) && wanted.needs(2, c) {
			need = append(need, c)
		}
	}
	hope := need
	switch {
	case o.Every:
		hope = h.V2
	case o.Delegated:
		hope = append(slices.Clone(need), usual...)
	}
	dir := h.Unified
	parts := strings.Split(name[1:], "/")
	// What the folder above hands down, those above it do too.
	if !handsDown(filepath.Dir(h.Unified+name), hope) {
		for _, part := range parts {
			if err := handDown(dir, need, hope); err != nil {
				return false, err
			}
			if dir += "/" + part; dir != h.Unified+name {
				if err := unix.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
					return false, fmt.Errorf("making cgroup v2 %s: %w", dir, err)
				}
			}
		}
	}
	isNew, err = makeFolder(h.Unified+name, o.Join)
	if err != nil {
		err = fmt.Errorf("making cgroup v2 %s: %w", h.Unified+name, err)
	}
	return isNew, err
}

func handsDown(dir string, need []string) bool {
	on, err := read(dir, "cgroup.subtree_control")
	if err != nil {
		return false
	}
	have := strings.Fields(on)
	return !slices.ContainsFunc(need, func(c string) bool { return !slices.Contains(have, c) })
}

// handDown enables controllers for the groups below a folder: all those that
// are hoped for, if possible, and those that are needed, or it is an error.
func handDown(dir string, need, hope []string) error {
	have, err := read(dir, "cgroup.controllers")
	if err != nil {
		return err
	}
	on, err := read(dir, "cgroup.subtree_control")
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(hope), func(c string) bool {
		return !slices.Contains(strings.Fields(have), c) || slices.Contains(strings.Fields(on), c)
	})
	if len(missing) == 0 || write(dir, "cgroup.subtree_control", "+"+strings.Join(missing, " +")) == nil {
		return nil
	}
	for _, c := range missing { // all or nothing failed
		if err := write(dir, "cgroup.subtree_control", "+"+c); err != nil && slices.Contains(need, c) {
			return fmt.Errorf("enabling the %s controller: %w (a cgroup that holds processes cannot hand controllers down; cgroup-v2.rst, \"No Internal Process Constraint\")", c, err)
		}
	}
	return nil
}

// Paths are the folders of the group by controller, and that of version 2 by
// "": what [LoadPaths] takes.
func (c *Cgroup) Paths() map[string]string {
	paths := maps.Clone(c.dirs)
	if paths == nil {
		paths = map[string]string{}
	}
	if c.unified != "" {
		paths[""] = c.unified
	}
	return paths
}

// Load finds a group that another process has made, by its name, in those
// hierarchies in which it is.
func Load(name string) (*Cgroup, error) {
	h, _, err := current()
	if err != nil {
		return nil, err
	}
	return h.load(name)
}

func (h *Host) load(name string) (*Cgroup, error) {
	name, err := Path(name)
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for controller, root := range h.V1 {
		paths[controller] = root + name
	}
	if h.Unified != "" {
		paths[""] = h.Unified + name
	}
	exists := map[string]bool{} // by folder: controllers may share one
	for controller, dir := range paths {
		if there, known := exists[dir]; known && there {
			continue
		}
		exists[dir] = unix.Access(dir, unix.F_OK) == nil
		if !exists[dir] {
			delete(paths, controller)
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("cgroup %s is in no hierarchy: %w", name, fs.ErrNotExist)
	}
	return LoadPaths(name, paths)
}

// LoadPaths gives a group from its Name and Paths, which a process has written
// down. It does not look whether the group is still there.
func LoadPaths(name string, paths map[string]string) (*Cgroup, error) {
	c := &Cgroup{Name: name, dirs: map[string]string{}}
	for _, controller := range slices.Backward(slices.Sorted(maps.Keys(paths))) { // "", version 2, last
		dir := paths[controller]
		if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || dir == "/" {
			return nil, fmt.Errorf("cgroup %s: the path %q of %q is not that of a folder", name, dir, controller)
		}
		if controller == "" {
			c.unified = dir
		} else {
			c.dirs[controller] = dir
		}
		if !slices.Contains(c.list, dir) {
			c.list = append(c.list, dir)
		}
	}
	if len(c.list) == 0 {
		return nil, fmt.Errorf("cgroup %s: no paths", name)
	}
	return c, nil
}

// Below are groups below this one, in which a process gets a part of what this
// one gets: by controller, each a path from this one; that of "" is for all the
// others. They are not made.
func (c *Cgroup) Below(paths map[string]string) (*Cgroup, error) {
	if len(paths) == 0 {
		return c, nil
	}
	all := c.Paths()
	for controller := range paths {
		if _, ok := all[controller]; !ok && controller != "" {
			return nil, fmt.Errorf("cgroup %s: it is not in a version 1 hierarchy of the controller %q", c.Name, controller)
		}
	}
	for controller, dir := range all {
		below, ok := paths[controller]
		if !ok {
			below = paths[""]
		}
		dir += strings.TrimSuffix(path.Clean("/"+below), "/")
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("cgroup %s: %w", c.Name, err)
		}
		all[controller] = dir
	}
	return LoadPaths(c.Name, all)
}

// With is the group that another process can join to be with pid, which is in
// this group or below it. That is this one, but where it hands controllers down:
// then it takes no processes (cgroup-v2.rst, "No Internal Process Constraint"),
// and it is the one that pid is in. So it is with a container whose program
// manages groups of its own, as systemd and Docker do.
func (c *Cgroup) With(pid int) (*Cgroup, error) {
	if c.unified == "" {
		return c, nil
	}
	down, err := read(c.unified, "cgroup.subtree_control")
	if err != nil || strings.TrimSpace(down) == "" {
		return c, err
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		root, in := strings.CutSuffix(c.unified, c.Name)
		if !ok || !in || !strings.HasPrefix(name+"/", c.Name+"/") {
			continue
		}
		paths := c.Paths()
		paths[""] = root + name
		return LoadPaths(c.Name, paths)
	}
	return c, nil
}

// Delegate lets a user manage the group from inside, by groups below it
// (config-linux.md, "Cgroup ownership"). It does so on version 2 alone: on
// version 1 that would not be safe.
func (c *Cgroup) Delegate(uid, gid int) error {
	if c.unified == "" {
		return nil
	}
	files := []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
	if b, err := os.ReadFile("/sys/kernel/cgroup/delegate"); err == nil {
		files = strings.Fields(string(b))
	}
	for _, f := range append([]string{"."}, files...) {
		if err := unix.Fchownat(unix.AT_FDCWD, c.unified+"/"+f, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil && err != unix.ENOENT {
			return fmt.Errorf("handing cgroup %s to user %d: chown %s: %w", c.Name, uid, f, err)
		}
	}
	return nil
}
