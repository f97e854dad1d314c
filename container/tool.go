package container

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// A tool is a program of the host's that does a part of our work: a hook, or
// one that has a power that an ordinary user lacks.
type tool struct {
	files  []string // the first that there is
	args   []string
	env    []string
	input  []byte                // its standard input
	before func(p *step.Program) // calls that come before it
	inside bool                  // they enter a container, and its file can be the image's
	o      step.Options
}

// run waits for its end, or kills it when ctx ends. If its exit status is not 0,
// the error holds what it printed.
func (t tool) run(ctx context.Context) error {
	var opened []int
	defer closeAll(&opened)
	self, err := parent(3, &opened)
	if err != nil {
		return err
	}
	in, err := memfd("input", t.input)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := memfd("output", nil)
	if err != nil {
		return err
	}
	defer out.Close()
	p := step.New()
	p.Phase("tool")
	end := ending{nfiles: 3, parent: self}
	var told report
	if t.inside {
		if end.first, err = openFirst(3, &opened); err != nil {
			return err
		}
		if told, err = newReport(); err != nil {
			return err
		}
		defer told.Close()
		if end.report, err = aside(int(told.w.Fd()), 3, &opened); err != nil {
			return err
		}
	}
	if t.before != nil {
		t.before(p)
	}
	if t.inside {
		// Only then: an ordinary user could not enter any more, since the
		// container's process still shares our memory.
		hide(p)
	}
	passFiles(p, arguments([]int{int(in.Fd()), int(out.Fd()), int(out.Fd())}))
	executeFile(p, t.files, t.args, t.env, "/", end)
	t.o.Cgroup = -1
	child, err := p.Clone(ctx, t.o)
	if err != nil {
		return err
	}
	defer unix.Close(child.PIDFD)
	if t.inside {
		closeAll(&opened)
		if err := told.await(ctx, p); err != nil {
			wait(ctx, child.PIDFD)
			return err
		}
	}
	status, err := wait(ctx, child.PIDFD)
	if err != nil {
		return err
	}
	if status.ExitCode() != 0 {
		text := make([]byte, 2048)
		n, _ := out.ReadAt(text, 0)
		return fmt.Errorf("%v: %s", status, bytes.TrimSpace(text[:n]))
	}
	return nil
}
