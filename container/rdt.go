package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Intel's Resource Director Technology shares a CPU's cache and memory bandwidth
// out. The kernel's interface is a file system in which a folder is a class of
// service: its file schemata says what the class gets, tasks who is in it, and
// below mon_groups are groups that only count (Documentation/filesystems/
// resctrl.rst; config-linux.md, "IntelRdt").

func checkRdt(r *specs.LinuxIntelRdt) error {
	if r == nil {
		return nil
	}
	if c := r.ClosID; c != "" && c != "/" && (c == "." || c == ".." || strings.ContainsAny(c, "/\n\x00") || c == "info" || c == "mon_groups" || c == "mon_data") {
		return fmt.Errorf("linux.intelRdt.closID: %q is not the name of a folder of classes", c)
	}
	for _, f := range []struct{ field, value, prefix string }{
		{"l3CacheSchema", r.L3CacheSchema, "L3"}, {"memBwSchema", r.MemBwSchema, "MB:"},
	} {
		if f.value != "" && (!strings.HasPrefix(f.value, f.prefix) || strings.ContainsAny(f.value, "\n\x00")) {
			return fmt.Errorf("linux.intelRdt.%s: %q is not one line that begins with %s", f.field, f.value, f.prefix)
		}
	}
	for i, line := range r.Schemata {
		if line == "" || strings.ContainsAny(line, "\n\x00") {
			return fmt.Errorf("linux.intelRdt.schemata[%d]: %q is not one line", i, line)
		}
	}
	if _, err := resctrl(); err != nil {
		return fmt.Errorf("linux.intelRdt: %w", err)
	}
	return nil
}

// resctrl is where that file system is mounted.
func resctrl() (string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		mount, kind, ok := strings.Cut(line, " - ")
		if f := strings.Fields(mount); ok && strings.HasPrefix(kind, "resctrl ") && len(f) > 4 {
			return f[4], nil
		}
	}
	return "", errors.New("no resctrl file system is mounted (where CPU and kernel have it: mount -t resctrl resctrl /sys/fs/resctrl)")
}

// rdtClass is the folder of the container's class of service.
func rdtClass(root string, r *specs.LinuxIntelRdt, id string) string {
	if r.ClosID == "" {
		return filepath.Join(root, id)
	}
	return filepath.Join(root, r.ClosID)
}

// joinRdt makes what the configuration asks for below root, and moves a process
// there. made are the folders that it made, also in failure.
func joinRdt(root string, r *specs.LinuxIntelRdt, id string, pid int) (made []string, err error) {
	if id == "" && (r.ClosID == "" || r.EnableMonitoring) {
		return nil, errors.New("the container has no ID to name a folder by")
	}
	mkdir := func(dir string) (existed bool, err error) {
		err = os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			return true, nil
		}
		if errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("%w (the CPU has no more classes, or monitors)", err)
		}
		if err == nil {
			made = append(made, dir)
		}
		return false, err
	}
	class := rdtClass(root, r, id)
	lines := slices.DeleteFunc(append([]string{r.L3CacheSchema, r.MemBwSchema}, r.Schemata...), func(s string) bool { return s == "" })
	switch _, err := os.Stat(class); {
	case r.ClosID != "" && len(lines) == 0 && err != nil:
		return made, fmt.Errorf("closID: without schemata the class has to be there: %w", err)
	case r.ClosID != "" && err == nil && len(lines) > 0:
		if err := sameSchemata(class, lines); err != nil {
			return made, err
		}
	default:
		if _, err := mkdir(class); err != nil {
			return made, err
		}
		// The kernel says in last_cmd_status why it refuses a line.
		for _, line := range lines {
			if err := os.WriteFile(filepath.Join(class, "schemata"), []byte(line+"\n"), 0); err != nil {
				why, _ := os.ReadFile(filepath.Join(root, "info/last_cmd_status"))
				return made, fmt.Errorf("schemata: %q: %w (%s)", line, err, strings.TrimSpace(string(why)))
			}
		}
	}
	groups := []string{class}
	if r.EnableMonitoring {
		group := filepath.Join(class, "mon_groups", id)
		if _, err := mkdir(group); err != nil {
			return made, err
		}
		groups = append(groups, group)
	}
	for _, g := range groups {
		if err := os.WriteFile(filepath.Join(g, "tasks"), strconv.AppendInt(nil, int64(pid), 10), 0); err != nil {
			return made, err
		}
	}
	return made, nil
}

// sameSchemata compares a class that is there with what it ought to be. The
// kernel aligns its lines with spaces, and fills numbers up with zeros.
func sameSchemata(class string, lines []string) error {
	b, err := os.ReadFile(filepath.Join(class, "schemata"))
	if err != nil {
		return err
	}
	parse := func(line string) (kind string, parts []string) {
		kind, rest, _ := strings.Cut(line, ":")
		for part := range strings.SplitSeq(rest, ";") {
			id, value, _ := strings.Cut(part, "=")
			parts = append(parts, strings.TrimSpace(id)+"="+strings.TrimLeft(strings.TrimSpace(value), "0"))
		}
		return strings.TrimSpace(kind), parts
	}
	have := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		kind, parts := parse(line)
		have[kind] = parts
	}
	for _, line := range lines {
		kind, parts := parse(line)
		for _, part := range parts {
			if !slices.Contains(have[kind], part) {
				return fmt.Errorf("closID: class %s is there already, and has not %q but %q", filepath.Base(class), line, strings.TrimSpace(string(b)))
			}
		}
	}
	return nil
}

// leaveRdt removes what belongs to a container alone: its monitoring group, and
// its class if the configuration names none.
func leaveRdt(root string, r *specs.LinuxIntelRdt, id string) error {
	var dirs []string
	if r.EnableMonitoring {
		dirs = append(dirs, filepath.Join(rdtClass(root, r, id), "mon_groups", id))
	}
	if r.ClosID == "" {
		dirs = append(dirs, filepath.Join(root, id))
	}
	return removeRdt(dirs)
}

func removeRdt(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, &os.PathError{Op: "rmdir", Path: dir, Err: err})
		}
	}
	return errors.Join(errs...)
}

// enterRdt is joinRdt for a process of a container that may be being made.
func enterRdt(s *specs.Spec, id string, pid int) (made []string, err error) {
	if s.Linux == nil || s.Linux.IntelRdt == nil {
		return nil, nil
	}
	root, err := resctrl()
	if err == nil {
		made, err = joinRdt(root, s.Linux.IntelRdt, id, pid)
	}
	if err != nil {
		slices.Reverse(made)
		return nil, errors.Join(fmt.Errorf("config.json: linux.intelRdt: %w", err), removeRdt(made))
	}
	return made, nil
}

// endRdt is leaveRdt for a container that has ended.
func endRdt(s *specs.Spec, id string) error {
	if s.Linux == nil || s.Linux.IntelRdt == nil {
		return nil
	}
	root, err := resctrl()
	if err != nil {
		return nil // it has been unmounted, and all is gone
	}
	return leaveRdt(root, s.Linux.IntelRdt, id)
}
