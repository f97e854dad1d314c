package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"vmctr/bench/experiment"
	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/report/result/isolation"
)

type allCommand struct {
	Out         string   `help:"Folder for the results: the journal, the report, the plots. It must not hold another run. Default: results-DATE-TIME." placeholder:"DIR"`
	Resume      string   `help:"Go on with the run in this folder, which was stopped: from its journal, with what it was asked for. What is there is not measured again." placeholder:"DIR"`
	Profile     string   `help:"How long to measure: ${profiles}. quick measures until its time is spent; the others end earlier where the 95% interval of the median of each main value is narrow enough: ${aims}. Default: quick." placeholder:"NAME"`
	Platforms   []string `help:"On what to measure, of ${platforms}. Default: all; other OCI runtimes and engines where they are installed and answer." placeholder:"NAME"`
	Experiments []string `help:"What to measure, of ${experiments}; ${groups}. Default: those that the profile has time for (${longer}); with --platforms, none that has platforms of its own." placeholder:"NAME"`
	Rounds      int      `help:"Rounds of each experiment, at most. Default: as many as the profile's time allows." placeholder:"N"`
	Seed        *uint64  `help:"Seed of the random order, to run the same order again." placeholder:"N"`
	Image       string   `help:"Measure with this image of the store: its files, with bench's program and 1 MiB of data as layers on top. Only the size and layers of the image matter then; what it runs itself is not started. Default: these layers alone." placeholder:"NAME"`
	Images      []string `help:"Images that the report counts beside the measured one: their layers, what they share, and what they take as disks." placeholder:"NAME"`
	Kernel      string   `help:"Kernel of the virtual machines, a bzImage. Default: the one that this host runs or, where that does not serve, the one that scripts/bench fetched, or another of /boot." placeholder:"FILE"`
	Paper       string   `enum:"a4,letter" default:"a4" help:"Size of the pages of report.pdf: a4 or letter." placeholder:"SIZE"`
}

// A profile is how long a run may take, in all, and when it has measured enough.
type profile struct {
	name   string
	total  time.Duration
	rounds int // of an experiment, at most: this is also the most samples of a series
	settle time.Duration
	// aims are the half-widths by kind of platform (experiment.Limits).
	aims map[string]float64
}

var profiles = []profile{
	{quick, 5 * time.Minute, 30, 100 * time.Millisecond, nil}, // the time decides
	{"standard", 30 * time.Minute, 400, 200 * time.Millisecond, aims(0.015, 0.05)},
	{"thorough", 2 * time.Hour, 2000, 200 * time.Millisecond, aims(0.01, 0.02)},
}

// aims are those of what starts in milliseconds, and of machines, whose starts take a
// hundred times as long: of them there is time for few.
func aims(light, machine float64) map[string]float64 {
	return map[string]float64{"process": light, "container": light, "vm": machine, "nested": machine}
}

// quick is the shortest profile, and the default.
const quick = "quick"

// does tells whether a run of the profile does an experiment that nobody has named.
func (p profile) does(e experiment.Experiment) bool {
	place := func(name string) int {
		return slices.IndexFunc(profiles, func(p profile) bool { return p.name == name })
	}
	return place(cmp.Or(e.From, quick)) <= place(p.name)
}

// reserve is what a run keeps of its time for the report.
const reserve = 10 * time.Second

// What every instance may use, where the platform sets a limit. The figures
// are those of the Firecracker paper's machines (Agache et al., NSDI'20).
const (
	instanceMemory = 256 << 20
	instanceCPUs   = 1
	instancePids   = 64
)

// servePort is the port on which every instance serves HTTP, on an address of its own.
// It is above 1023: the plain process of an ordinary user may take it too.
const servePort = 8080

func (c *allCommand) Run(s streams) error {
	r := &runner{streams: s, cmd: c, begin: time.Now()}
	if c.Resume != "" {
		var err error
		r.past, err = c.openStopped()
		if errors.Is(err, errComplete) {
			fmt.Fprintf(s.err, "bench: the run in %s is complete: there is nothing to go on with; bench report %s shows it\n", c.Resume, c.Resume)
			return nil
		}
		if err != nil {
			return err
		}
		defer r.past.journal.Close() // once more is no harm
		r.begin = r.begin.Add(-time.Duration(r.past.run.Ran()))
	}
	var err error
	if r.choice, err = c.validate(); err != nil {
		return &exitError{exitUsage, err}
	}
	if c.Out == "" {
		c.Out = "results-" + time.Now().Format("20060102-150405")
	}
	ctx, stop := interruptible()
	defer stop()

	err = r.run(ctx)
	switch {
	case err != nil && r.begun:
		return howToGoOn(err, c.Out)
	case err != nil:
		return err
	}
	// Nothing of the run is left on the host by now, whatever becomes of its report.
	if err := r.report(); err != nil {
		return fmt.Errorf("%w; what was measured is whole: bench report %s", err, c.Out)
	}
	if len(r.missing) > 0 {
		return &exitError{exitFailed, fmt.Errorf("not every platform was measured: %s", strings.Join(r.missing, ", "))}
	}
	return nil
}

// choice is what the command line asks for, resolved.
type choice struct {
	profile     profile
	platforms   []platform.Platform
	experiments []experiment.Experiment
	images      []string
	base        string // of the measured image; "" for none
	seed        uint64
}

// validate resolves names, before anything is made.
func (c *allCommand) validate() (choice, error) {
	var ch choice
	c.Profile = cmp.Or(c.Profile, quick)
	i := slices.IndexFunc(profiles, func(p profile) bool { return p.name == c.Profile })
	if i < 0 {
		return ch, fmt.Errorf("there is no profile %q; the profiles are %s", c.Profile, profileNames())
	}
	ch.profile = profiles[i]
	platforms, err := pick("platform", c.Platforms, platform.All(), func(p platform.Platform) string { return p.Info().Name })
	if err != nil {
		return ch, err
	}
	ch.platforms = platforms
	if len(c.Platforms) == 0 {
		ch.platforms = slices.DeleteFunc(platforms, func(p platform.Platform) bool {
			return p.Info().Optional && p.Available(context.Background()) != nil
		})
	}
	experiments, err := pick("experiment", experiment.Ungroup(c.Experiments, ch.profile.does), experiment.All(), func(e experiment.Experiment) string { return e.Name })
	if err != nil {
		return ch, err
	}
	if len(c.Experiments) == 0 {
		experiments = slices.DeleteFunc(experiments, func(e experiment.Experiment) bool {
			return !ch.profile.does(e) || e.Own && len(c.Platforms) > 0
		})
	}
	for _, e := range experiment.All() {
		if e.Always || slices.ContainsFunc(experiments, func(x experiment.Experiment) bool { return x.Name == e.Name }) {
			ch.experiments = append(ch.experiments, e)
			for _, p := range own(e) {
				if !slices.ContainsFunc(ch.platforms, func(q platform.Platform) bool { return q.Info().Name == p.Info().Name }) {
					ch.platforms = append(ch.platforms, p)
				}
			}
		}
	}
	if c.Rounds < 0 {
		return ch, fmt.Errorf("--rounds %d: a number of rounds is not negative", c.Rounds)
	}
	if c.Rounds > 0 {
		ch.profile.rounds = c.Rounds
	}
	if ch.images, err = c.resolveImages(); err != nil {
		return ch, err
	}
	if c.Image != "" {
		if ch.base, err = resolveBase(c.Image); err != nil {
			return ch, err
		}
	}
	if c.Kernel != "" {
		if _, err := os.Stat(c.Kernel); err != nil {
			return ch, fmt.Errorf("--kernel: %w", err)
		}
	}
	if c.Seed != nil {
		ch.seed = *c.Seed
		return ch, nil
	}
	var b [8]byte
	rand.Read(b[:])
	ch.seed = binary.LittleEndian.Uint64(b[:]) >> 32 // short enough to be typed again
	return ch, nil
}

// every tells whether all platforms take part where otherwise one stands for others of its
// kind: in the longest profile, and if platforms are named, which is if one of all is not there
// that is not optional.
func (ch choice) every() bool {
	return ch.profile.name == profiles[len(profiles)-1].name || slices.ContainsFunc(platform.All(), func(p platform.Platform) bool {
		return !p.Info().Optional && !slices.ContainsFunc(ch.platforms, func(q platform.Platform) bool { return q.Info().Name == p.Info().Name })
	})
}

// own are the platforms that are for an experiment, or for those of its group.
func own(e experiment.Experiment) []platform.Platform {
	switch {
	case e.Own:
		return platform.For(e.Name)
	case e.Group != "":
		return platform.For(e.Group)
	}
	return nil
}

// pick gives those of all that are named, or all if no names are given.
func pick[T any](kind string, names []string, all []T, name func(T) string) ([]T, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, a := range all {
		known = append(known, name(a))
	}
	var picked []T
	var seen []string
	for _, n := range names {
		i := slices.Index(known, n)
		if i < 0 {
			return nil, fmt.Errorf("there is no %s %q; there are %s", kind, n, strings.Join(known, ", "))
		}
		if slices.Contains(seen, n) {
			return nil, fmt.Errorf("%s %s is named twice", kind, n)
		}
		seen = append(seen, n)
		picked = append(picked, all[i])
	}
	return picked, nil
}

func experimentNames() string {
	var names []string
	for _, e := range experiment.All() {
		names = append(names, e.Name)
	}
	return strings.Join(names, ", ")
}

// groupNames tell what the name of a group stands for.
func groupNames() string {
	names := experiment.Ungroup([]string{isolation.Group}, func(experiment.Experiment) bool { return false })
	return isolation.Group + " stands for " + strings.Join(names, ", ")
}

// longerNames are the experiments that the shortest profile leaves out.
func longerNames() string {
	var parts []string
	for _, p := range profiles {
		var names []string
		for _, e := range experiment.All() {
			if p.name != quick && e.From == p.name {
				names = append(names, e.Name)
			}
		}
		if len(names) > 0 {
			parts = append(parts, fmt.Sprintf("from %s on also %s", p.name, strings.Join(names, ", ")))
		}
	}
	return strings.Join(parts, "; ")
}

// aimNames tell how narrow intervals are to be.
func aimNames() string {
	var parts []string
	for _, p := range profiles {
		if p.aims != nil {
			parts = append(parts, fmt.Sprintf("%s half of it %g%% of the median, and for machines %g%%", p.name, 100*p.aims["container"], 100*p.aims["vm"]))
		}
	}
	return strings.Join(parts, "; ")
}

func profileNames() string {
	var names []string
	for _, p := range profiles {
		names = append(names, fmt.Sprintf("%s (%d min)", p.name, p.total/time.Minute))
	}
	return strings.Join(names, ", ")
}

// interruptible is a context that the first SIGINT, SIGTERM or SIGHUP ends,
// so that the run can clean up. A second one ends bench at once: the processes
// die with it, and the next run sweeps the rest.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
				if ctx.Err() != nil {
					os.Exit(exitInterrupted)
				}
				cancel(harness.ErrInterrupted)
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
