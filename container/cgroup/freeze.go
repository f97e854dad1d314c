package cgroup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Freezing stops all processes of a group and of those below it, without a
// signal that they could see. On version 1 that is a controller with the file
// freezer.state (cgroup-v1/freezer-subsystem.rst), on version 2 every group has
// cgroup.freeze (Linux 5.2). A process that is in the middle of something is
// stopped when it returns from it, so it takes a moment until all are.

// Freeze stops the processes and returns when all are stopped. If that is not
// so before ctx ends, they go on.
func (c *Cgroup) Freeze(ctx context.Context) error {
	dir, file, err := c.freezer()
	if err != nil {
		return err
	}
	frozen := "1"
	if dir != c.unified {
		frozen = "FROZEN"
	}
	err = write(dir, file, frozen)
	for wait := 20 * time.Microsecond; err == nil; wait = min(2*wait, 5*time.Millisecond) {
		var done bool
		if done, err = c.Frozen(); done || err != nil {
			break
		}
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-time.After(wait):
			if dir != c.unified { // version 1 looks only then at those that were not yet stopped
				err = write(dir, file, frozen)
			}
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("freezing cgroup %s: %w", c.Name, err), c.Thaw(context.WithoutCancel(ctx)))
	}
	return nil
}

// Thaw lets the processes go on.
func (c *Cgroup) Thaw(ctx context.Context) error {
	dir, file, err := c.freezer()
	if err != nil {
		return err
	}
	thawed := "0"
	if dir != c.unified {
		thawed = "THAWED"
	}
	err = write(dir, file, thawed)
	for wait := 20 * time.Microsecond; err == nil; wait = min(2*wait, 5*time.Millisecond) {
		var frozen bool
		if frozen, err = c.Frozen(); !frozen || err != nil {
			break
		}
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-time.After(wait):
		}
	}
	if err != nil {
		return fmt.Errorf("thawing cgroup %s: %w", c.Name, err)
	}
	return nil
}

// Frozen tells whether all processes of the group are stopped, by itself or by
// a group above it.
func (c *Cgroup) Frozen() (bool, error) {
	dir, file, err := c.freezer()
	if err != nil {
		return false, err
	}
	if dir != c.unified {
		text, err := read(dir, file)
		return strings.TrimSpace(text) == "FROZEN", err
	}
	text, err := read(dir, "cgroup.events")
	if err != nil {
		return false, err
	}
	return parseKeys(text)["frozen"] == 1, nil
}

func (c *Cgroup) freezer() (dir, file string, err error) {
	if dir := c.dirs["freezer"]; dir != "" {
		return dir, "freezer.state", nil
	}
	if c.unified != "" {
		return c.unified, "cgroup.freeze", nil
	}
	return "", "", fmt.Errorf("cgroup %s is in no freezer hierarchy: the host has none, or it was made without Options.Every", c.Name)
}

// thaw is for the dead: on version 1 a frozen process does not even die.
func thaw(dir string) {
	if fd, err := open(dir+"/freezer.state", unix.O_WRONLY); err == nil {
		writeTo(fd, dir+"/freezer.state", "THAWED")
		unix.Close(fd)
	}
}
