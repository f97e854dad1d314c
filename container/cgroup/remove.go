package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Remove kills what is left in the group and in those below it, and removes
// them.
func (c *Cgroup) Remove(ctx context.Context) error {
	var busy []string
	for _, dir := range c.list {
		// Nearly always it is empty.
		if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
			busy = append(busy, dir)
		}
	}
	if len(busy) > 0 {
		thaw(c.dirs["freezer"])
	}
	var errs []error
	for _, dir := range busy {
		errs = append(errs, remove(ctx, dir))
	}
	return errors.Join(errs...)
}

// remove removes one folder and those below it. A folder can be removed only
// once its last process is reaped, so this tries until ctx or ten seconds end.
func remove(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for wait := 200 * time.Microsecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return &os.PathError{Op: "rmdir", Path: dir, Err: err}
		}
		// cgroup.kill is version 2's (see Kill).
		write(dir, "cgroup.kill", "1")
		pids, _ := processes(dir)
		for _, pid := range pids {
			if pid > 0 { // 0 is a process of another PID namespace
				unix.Kill(pid, unix.SIGKILL)
			}
		}
		thaw(dir)
		below, err := folders(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, d := range below {
			if err := remove(ctx, d); err != nil {
				return err
			}
		}
		if len(below) > 0 && len(pids) == 0 && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("removing cgroup %s: processes %v do not leave it: %w", dir, pids, unix.EBUSY)
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
	// The freezer first: the frozen do not die.
	freezer := h.V1["freezer"]
	slices.SortFunc(roots, func(a, b string) int {
		if (a == freezer) != (b == freezer) {
			if a == freezer {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
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
