package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"vmctr/bench/experiment"
	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/bench/selftest"
	"vmctr/images"
	"vmctr/report"
	"vmctr/report/result"
	checks "vmctr/report/selftest"
)

type selftestCommand struct {
	Quick     bool          `help:"Take a minute: fewer trials of the injected delays, one virtual machine, no second kind of A/A."`
	Time      time.Duration `help:"How long to measure, in all. More time is more trials of the injected delays." default:"3m" placeholder:"3m"`
	Platforms []string      `help:"Which platforms' delay to measure, of ${platforms}, beside what the other checks need. Default: all, other OCI runtimes if they are installed." placeholder:"NAME"`
	Out       string        `help:"Keep the journal, with every sample, in this folder. It must not hold another run." placeholder:"DIR"`
	JSON      bool          `help:"Print the checks as JSON." name:"json"`
	Seed      *uint64       `help:"Seed of the random order, to run the same order again." placeholder:"N"`
	Kernel    string        `help:"Kernel of the virtual machines, as for bench all." placeholder:"FILE"`
}

// Help is what bench help selftest says below the flags.
func (selftestCommand) Help() string {
	return `It asks of the way in which bench measures what one asks of any instrument: what the clock resolves, how late the end of a start is seen, whether the host stays the same, how often a platform differs from itself, how often a known delay is found, and whether hyperfine times the same commands alike.

It ends with status 1 if a check is not ok. What could not be measured is said, and is no failure.`
}

// quickSelftest is what --quick makes of the time.
const quickSelftest = time.Minute

func (c *selftestCommand) Run(s streams) error {
	if c.Time < 10*time.Second {
		return &exitError{exitUsage, fmt.Errorf("--time %v: less than 10s measures nothing", c.Time)}
	}
	if c.Quick {
		c.Time = min(c.Time, quickSelftest)
	}
	// The names and the seed are those of bench all.
	all := &allCommand{Profile: quick, Platforms: c.Platforms, Seed: c.Seed, Kernel: c.Kernel}
	chosen, err := all.validate()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	chosen.platforms = selftestPlatforms(chosen.platforms)
	chosen.profile.name, chosen.experiments = "selftest", nil
	for _, name := range []string{checks.Clock, checks.Drift, checks.Delay, checks.AA, checks.Exit, checks.AARounds, checks.Injected, checks.Others} {
		chosen.experiments = append(chosen.experiments, experiment.Experiment{Name: name})
	}
	ctx, stop := interruptible()
	defer stop()
	run, err := c.measure(ctx, s, &runner{streams: s, cmd: all, choice: chosen, begin: time.Now()})
	if err != nil {
		return err
	}
	return c.print(s, run)
}

// selftestPlatforms are those that were chosen and those that the checks need, without
// machines that nobody could be asked in.
func selftestPlatforms(chosen []platform.Platform) []platform.Platform {
	return slices.DeleteFunc(platform.All(), func(p platform.Platform) bool {
		i := p.Info()
		needed := i.Name == "container" || slices.Contains(checks.Commands, i.Name)
		return i.NoSystem || i.Optional && p.Available(context.Background()) != nil ||
			!needed && !slices.ContainsFunc(chosen, func(q platform.Platform) bool { return q.Info().Name == i.Name })
	})
}

// measure gives the run, read back from its journal.
func (c *selftestCommand) measure(ctx context.Context, s streams, r *runner) (_ *result.Run, err error) {
	start := harness.Now()
	run, err := newRun(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := run.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("cleaning up: %w", closeErr))
		}
	}()
	image, err := workload(ctx)
	if err != nil {
		return nil, err
	}
	header, warnings, err := r.header(ctx, run, image)
	if err != nil {
		return nil, err
	}
	out := c.Out
	if out == "" {
		out = filepath.Join(run.Dir, "selftest") // which goes with the run
	}
	_, err = os.Stat(out)
	made := errors.Is(err, os.ErrNotExist)
	journal, err := result.Create(out, header)
	if err != nil {
		return nil, err
	}
	if c.Out != "" {
		giveToUser(out, made)
	}
	progress := harness.NewProgress(s.err, isTerminal(s.err), c.Time)
	r.harness = &harness.Harness{Journal: journal, Progress: progress, Start: start, Seed: r.choice.seed}
	err = r.finish(ctx, c.run(ctx, r, run, image, warnings))
	if err != nil {
		return nil, err
	}
	return result.Read(out)
}

// run prepares the platforms and measures.
func (c *selftestCommand) run(ctx context.Context, r *runner, run *harness.Run, image *images.Image, warnings []string) error {
	if err := r.warn(warnings); err != nil {
		return err
	}
	if err := r.prepareAll(ctx, run, image); err != nil {
		return err
	}
	t := selftest.Test{Harness: r.harness, Time: c.Time, Begin: r.begin}
	for _, st := range r.states {
		if st.record.Status == result.Ready {
			t.Subjects = append(t.Subjects, selftest.Subject{Name: st.record.Name, Kind: st.record.Kind, Prepared: st.prepared})
		}
	}
	return t.Run(ctx)
}

// print says what was found; the error is that of a check that is not ok.
func (c *selftestCommand) print(s streams, run *result.Run) error {
	all := checks.Evaluate(run)
	failures := 0
	for _, sample := range run.Samples {
		if sample.Error != "" {
			failures++
		}
	}
	if c.JSON {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		if err := e.Encode(struct {
			Time          time.Time      `json:"time"`
			Version       string         `json:"version"`
			Seed          uint64         `json:"seed"`
			Samples       int            `json:"samples"`
			FailedSamples int            `json:"failed_samples"`
			Checks        []checks.Check `json:"checks"`
		}{run.Header.Time, run.Header.Version, run.Header.Seed, len(run.Samples), failures, all}); err != nil {
			return err
		}
	} else if err := report.Selftest(s.out, run, all, min(width(s.out), 100)); err != nil {
		return err
	}
	if c.Out != "" {
		fmt.Fprintf(s.err, "bench: the journal is %s; a report of it: bench report %s\n", filepath.Join(c.Out, result.FileName), c.Out)
	}
	switch failed := checks.Failed(all); {
	case len(failed) > 0:
		return &exitError{exitFailed, fmt.Errorf("%d of %d checks are not ok", len(failed), len(all))}
	case failures > 0:
		return &exitError{exitFailed, fmt.Errorf("%d of %d samples failed", failures, len(run.Samples))}
	}
	return nil
}
