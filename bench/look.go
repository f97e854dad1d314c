package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"vmctr/bench/experiment"
	"vmctr/bench/platform"
	"vmctr/images"
	"vmctr/report"
	"vmctr/report/result"
)

type lookCommand struct {
	On     string `help:"Where the program is to look around: one of ${platforms}." default:"container" placeholder:"PLATFORM"`
	Kernel string `help:"Kernel of the virtual machines, as for bench all." placeholder:"FILE"`
}

// Help is what bench help look says below the flags.
func (lookCommand) Help() string {
	return `A program looks around inside: processes, mounts, network, users, names, kernel, resources, files. Bench looks at the host with the same code, and the two are printed side by side, with whose each thing is: the host's, the program's own, or hidden from it. Below is what the program may do: its capabilities, and how far its system calls come.

The report of bench all has the same of all platforms (--experiments views).`
}

// lookPatience is for one instance: an emulated machine boots in a few seconds, and tries
// its system calls in a few more.
const lookPatience = 2 * time.Minute

func (c *lookCommand) Run(s streams) (err error) {
	all := slices.DeleteFunc(platform.All(), func(p platform.Platform) bool { return p.Info().NoSystem })
	picked, err := pick("platform to look around on", []string{c.On}, all, func(p platform.Platform) string { return p.Info().Name })
	if err != nil {
		return &exitError{exitUsage, err}
	}
	p := picked[0]
	ctx, stop := interruptible()
	defer stop()
	if err := p.Available(ctx); err != nil {
		return fmt.Errorf("%s is not available here: %w", c.On, err)
	}
	run, err := newRun(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	w := workloadFor(run, p, nil, images.Process{}, c.Kernel)
	w.Port = servePort // so that it has a network
	st := &state{platform: p, workload: w, record: result.Platform{Name: c.On}}
	r := &runner{streams: s}
	defer func() { err = errors.Join(err, st.closeVariants(), r.removeScratch()) }()
	timed, cancel := context.WithTimeoutCause(ctx, lookPatience, fmt.Errorf("it was not done within %v", lookPatience))
	defer cancel()
	sample, err := experiment.Look(timed, experiment.Subject{Name: c.On, Kind: p.Info().Kind, Workload: w, Variant: st.variant, Scratch: r.scratch}, true)
	if err != nil {
		return fmt.Errorf("looking around on %s: %w", c.On, err)
	}
	return report.Beside(s.out, c.On, sample, width(s.out))
}
