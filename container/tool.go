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
	o      step.Options
}

// run waits for its end, or kills it when ctx ends. If its exit status is not 0,
// the error holds what it printed.
func (t tool) run(ctx context.Context) error {
	self, err := step.Self()
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
	if t.before != nil {
		t.before(p)
	}
	passFiles(p, arguments([]int{int(in.Fd()), int(out.Fd()), int(out.Fd())}))
	executeFile(p, t.files, t.args, t.env, "/", self, 3, 0)
	t.o.Cgroup = -1
	child, err := p.Clone(ctx, t.o)
	if err != nil {
		return err
	}
	defer unix.Close(child.PIDFD)
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
