package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"vmctr/container"
	"vmctr/container/cgroup"
)

// running is one program inside, in one of the variants.
type running struct {
	// Stdout is what it prints. It ends when the last process that could write to it has.
	Stdout *os.File
	PID    int // of its first process, in the arena

	c *container.Container
}

// started counts them, for their names.
var started atomic.Int32

// start starts the program inside with these arguments, as root: with nothing in the way
// (isolation.Bare), in a container as the platform has it (isolation.Contained), in one
// that has all but one mechanism (isolation.Without), or as a process that has one alone
// (isolation.Only). All are started by the same runtime, and each is in a control group,
// by which whatever it forks is found; that limits something only where it is to.
func start(ctx context.Context, variant string, args ...string) (*running, error) {
	w, err := wallsOf(variant)
	if err != nil {
		return nil, err
	}
	e, err := theEngine()
	if err != nil {
		return nil, fmt.Errorf("making the arena a host of containers: %w", err)
	}
	name := "i" + strconv.Itoa(int(started.Add(1)))
	cfg := container.Config{Spec: w.spec(append([]string{program}, args...), name)}
	if w["seccomp"] {
		cfg.Spec.Linux.Seccomp, cfg.Filter = e.profile, e.filter
	}
	if w["mount namespace"] {
		cfg.Dir, cfg.Layers = filepath.Join(base, name), e.unmapped
		if w["user namespace"] {
			cfg.Layers = e.mapped
		}
	}
	if w["network namespace"] {
		if cfg.Endpoint, err = e.network.Endpoint(); err != nil {
			return nil, err
		}
	}
	return launch(ctx, cfg)
}

func launch(ctx context.Context, cfg container.Config) (*running, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		r.Close()
		return nil, err
	}
	defer null.Close()
	cfg.Stdin, cfg.Stdout, cfg.Stderr = null, w, os.Stderr
	c, err := container.Start(ctx, cfg)
	if err != nil {
		r.Close()
		return nil, err
	}
	return &running{Stdout: r, PID: c.PID(), c: c}, nil
}

// Until has whoever reads Stdout read no longer than ctx lasts, or until stop is called.
func (r *running) Until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { r.Stdout.SetReadDeadline(time.Unix(1, 0)) })
}

// Wait waits until its first process has ended.
func (r *running) Wait(ctx context.Context) (container.Status, error) {
	select {
	case <-r.c.Done():
		return r.c.Status(), nil
	case <-ctx.Done():
		return container.Status{}, context.Cause(ctx)
	}
}

// Cgroup is the control group in which it and its children are.
func (r *running) Cgroup() *cgroup.Cgroup { return r.c.Cgroup() }

// Stop ends it and all its children, and removes what it has left. It waits 10 s at most.
func (r *running) Stop() error {
	err := r.c.Remove(context.Background())
	r.Stdout.Close()
	return err
}
