package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Most of what a session makes goes with its process, whatever ends that. What has a name in
// a file system of the kernel does not: the name tells whose it is.

// shmDir is where programs share memory by name (shm_overview(7)).
const shmDir = "/dev/shm"

// Sweep removes what sessions have left whose process died before it could, and says what.
func Sweep() (swept []string, err error) {
	h := &Host{}
	var errs []error
	for _, in := range []struct {
		what, fstype, dir string
		remove            func(path string) error
	}{
		{"file", "", shmDir, os.Remove},
		{"message queue", "mqueue", "", func(path string) error { return removeQueue(filepath.Base(path)) }},
		{"control group", "cgroup2", "", unix.Rmdir},
		{"instance of the tracer", "tracefs", "/instances", unix.Rmdir},
	} {
		dir := in.dir
		if in.fstype != "" {
			root, err := h.view(in.fstype)
			if err != nil {
				continue // nor could anybody leave something there
			}
			dir = root + in.dir
		}
		for _, name := range leftIn(dir) {
			if err := in.remove(filepath.Join(dir, name)); err == nil {
				swept = append(swept, in.what+" "+name)
			} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) { // another's, or swept by another
				errs = append(errs, fmt.Errorf("removing the %s %s, which a probe has left: %w", in.what, name, err))
			}
		}
	}
	for _, f := range h.closers {
		errs = append(errs, f())
	}
	return swept, errors.Join(errs...)
}

// leftIn are the names in a folder that groupName has made for a process which is no more.
func leftIn(dir string) (names []string) {
	all, _ := filepath.Glob(filepath.Join(dir, groupPrefix+"*"))
	for _, path := range all {
		name := filepath.Base(path)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, groupPrefix), "-")
		if n, err := strconv.Atoi(pid); err == nil && unix.Kill(n, 0) == unix.ESRCH {
			names = append(names, name)
		}
	}
	return names
}
