package container

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// A tool is a program of the host's that does a part of our work: a hook, or
// one that has a power that an ordinary user lacks.
type tool struct {
	files  []string // the first that there is
	args   []string
	env    []string
	before func(p *step.Program) // calls that come before it; nil for none
	o      step.Options
}

// start starts it, and gives its pidfd.
func (t tool) start(ctx context.Context, in, out *os.File) (pidfd int, err error) {
	var opened []int
	defer closeAll(&opened)
	self, err := parent(3, &opened)
	if err != nil {
		return -1, err
	}
	p := step.New()
	p.Phase("tool")
	if t.before != nil {
		t.before(p)
	}
	passFiles(p, arguments([]int{int(in.Fd()), int(out.Fd()), int(out.Fd())}))
	executeFile(p, t.files, t.args, t.env, "/", ending{nfiles: 3, parent: self})
	t.o.Cgroup = -1
	child, err := p.Clone(ctx, t.o)
	return child.PIDFD, err
}

func (t tool) run(ctx context.Context) error { return runToEnd(ctx, nil, t.start) }

// runToEnd starts a program with a standard input and an output, and waits for
// its end, or kills it when ctx ends. If its exit status is not 0, the error holds
// what it printed.
func runToEnd(ctx context.Context, input []byte, start func(ctx context.Context, in, out *os.File) (pidfd int, err error)) error {
	in, err := memfd("input", input)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := memfd("output", nil)
	if err != nil {
		return err
	}
	defer out.Close()
	pidfd, err := start(ctx, in, out)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	status, err := wait(ctx, pidfd)
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
