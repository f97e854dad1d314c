package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"vmctr/container/step"
)

// Commanded is of a Prepared whose instances come from one command, which others can
// execute and time as well.
type Commanded interface {
	// Command is the one that runs the workload to its end. Whoever has it closes it.
	Command() (*Command, error)
}

// A Command runs the workload once; it ends at once, by itself.
type Command struct {
	Args []string // Args[0] is the program's path
	Env  []string
	Dir  string
	// In calls f on a thread that sees the files that the command needs, and that lives
	// as long as this process.
	In    func(f func() error) error
	Close func() error
}

// Run executes the command, with /dev/null for its standard streams, and tells when it
// began and ended, in nanoseconds of CLOCK_MONOTONIC: from before the fork until it
// was waited for. When ctx ends it is killed.
func (c *Command) Run(ctx context.Context) (begin, end int64, err error) {
	err = c.In(func() error {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer null.Close()
		// What is waited for comes back to this thread, with no scheduler of Go's between.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		begin = now()
		p, err := os.StartProcess(c.Args[0], c.Args, &os.ProcAttr{
			Dir: c.Dir, Env: c.Env, Files: []*os.File{null, null, null},
			Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
		})
		if err != nil {
			return fmt.Errorf("starting %s: %w", c.Args[0], err)
		}
		stop := context.AfterFunc(ctx, func() { p.Kill() })
		defer stop()
		st, err := p.Wait()
		end = now()
		if err != nil {
			return err
		}
		if !st.Success() {
			return &InstanceError{Err: errors.Join(fmt.Errorf("%s ended: %v", c.Args[0], st), context.Cause(ctx))}
		}
		return nil
	})
	return begin, end, err
}

// Command is the program itself.
func (p *preparedProcess) Command() (*Command, error) {
	return &Command{
		Args: []string{p.program, "exit"}, Env: p.env, Dir: p.dir,
		In:    func(f func() (err error)) (err error) { step.OnParentThread(func() { err = f() }); return err },
		Close: func() error { return nil },
	}, nil
}

// Command is that of the runtime, whose bundle is ready: the overlay is mounted.
func (p *preparedOther) Command() (*Command, error) {
	if err := p.room.Null(); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("command%d", instances.Add(1))
	b, err := p.room.Bundle(name, filepath.Join("/", p.w.RunID, name), p.brief)
	if err != nil {
		return nil, err
	}
	if err := b.Mount(); err != nil {
		return nil, errors.Join(err, b.Remove())
	}
	return &Command{
		Args: p.runtime.Command(p.room, b), Env: os.Environ(), Dir: "/",
		In:    p.room.Do,
		Close: b.Remove,
	}, nil
}
