package experiment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/isolation/breakage"
	"vmctr/bench/platform"
	"vmctr/container/step"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// faults breaks instances, and looks at what is beside them. On the host that is done to
// containers behind their limits and to machines; a process is broken in the throwaway
// machine, where it may take all with it, and so is a container that really tries to panic
// the kernel.
var faults = Experiment{
	Name:     "faults",
	About:    "an instance that crashes, takes all memory, forks without end or panics its kernel, and what becomes of the host",
	Group:    isolation.Group,
	Weight:   2,
	From:     "standard",
	stand:    true,
	most:     1,
	deadline: 4 * time.Minute,
	trials: func(s Subject, _ Limits) []harness.Trial {
		switch i := infoOf(s.Name); {
		case s.Name == platform.ThrowawayName:
			return []harness.Trial{{Measure: func(ctx context.Context) (result.Sample, error) { return arenaFaults(ctx, s) }}}
		case s.Kind == "process", i.NoSystem, i.Optional && s.Kind == "container":
			// Other engines' containers are held by the same limits of the same kernel.
			return nil
		}
		return []harness.Trial{{Measure: func(ctx context.Context) (result.Sample, error) { return breakInstances(ctx, s) }}}
	},
}

// breakInstances has one instance after the other break, beside a process of this host and,
// if they are containers, another container.
func breakInstances(ctx context.Context, s Subject) (sample result.Sample, err error) {
	host, stop, err := hostWitness(s.Workload.Dir)
	if err != nil {
		return sample, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	watches := []*breakage.Watch{host}
	if s.Kind == "container" {
		w, stop, err := neighbourWitness(ctx, s)
		if err != nil {
			return sample, err
		}
		defer func() { err = errors.Join(err, stop()) }()
		watches = append(watches, w)
	}
	for _, w := range watches {
		if err := w.Ready(ctx); err != nil {
			return sample, err
		}
	}
	for _, k := range isolation.FaultKinds {
		f := breakage.Facts{Kind: k.Name, Machine: s.Kind == "vm"}
		if !f.Machine {
			f.Pids = s.Workload.Pids
		}
		for _, w := range watches {
			w.Begin()
		}
		if err := breakInstance(ctx, s, &f); err != nil {
			return sample, fmt.Errorf("%s: %w", k.Name, err)
		}
		if err := sleep(ctx, breakage.Settle); err != nil {
			return sample, err
		}
		for _, w := range watches {
			f.Witnesses = append(f.Witnesses, w.Result())
		}
		sample.Faults = append(sample.Faults, f.Judge())
	}
	return sample, nil
}

// crashEnds is how long the end of a crash is waited for.
const crashEnds = 5 * time.Second

// breakInstance does one fault, and gathers what is known of it.
func breakInstance(ctx context.Context, s Subject, f *breakage.Facts) (err error) {
	args := []string{breakage.Verb, f.Kind}
	if s.Kind == "container" { // a panic would be this host's
		args = append(args, "ask")
	}
	p, err := insidePrepared(ctx, s, "faults, "+f.Kind, nil, args...)
	if err != nil {
		return err
	}
	i, err := p.Start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := i.Stop(context.WithoutCancel(ctx)); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stopping the instance: %w", stopErr))
		}
	}()
	limited, cancel := context.WithTimeout(ctx, breakage.MostTime+10*time.Second) // a machine boots first
	defer cancel()
	heardErr := heard(limited, i, func(r breakage.Report) error {
		f.Heard = append(f.Heard, r)
		return nil
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if limited.Err() != nil {
		f.Late = true
		return nil
	}
	own := i.Err()
	// Who crashes says nothing more and is about to end: on a busy host that takes its time.
	for end := time.Now().Add(crashEnds); f.Kind == "crash" && own == nil && time.Now().Before(end) && ctx.Err() == nil; {
		own = i.Err()
	}
	if len(f.Heard) == 0 {
		return errors.Join(heardErr, own)
	}
	if own != nil {
		f.Ended = lastWords(own)
		f.Killed = saysOutOfMemory(own.Error())
	}
	if c, ok := i.(platform.Charged); ok && s.Kind == "container" {
		if kills, err := c.OutOfMemoryKills(); err == nil && kills > 0 {
			f.Killed = true
		}
	}
	return nil
}

// hostWitness starts a process of this host beside the instances.
func hostWitness(dir string) (*breakage.Watch, func() error, error) {
	program := filepath.Join(dir, "witness")
	if err := writeInside(program); err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	var p *os.Process
	// PR_SET_PDEATHSIG follows the thread that forks, not its process.
	step.OnParentThread(func() {
		p, err = os.StartProcess(program, []string{"inside", breakage.WitnessVerb}, &os.ProcAttr{
			Dir: "/", Files: []*os.File{nil, w, nil}, Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
		})
	})
	if err != nil {
		r.Close()
		return nil, nil, fmt.Errorf("starting a process of the host beside them: %w", err)
	}
	watch := breakage.NewWatch("host")
	go watch.Listen(r)
	return watch, func() error {
		p.Kill()
		_, err := p.Wait()
		return errors.Join(err, r.Close(), os.Remove(program))
	}, nil
}

// neighbourWitness starts another instance of the platform beside those that break.
func neighbourWitness(ctx context.Context, s Subject) (*breakage.Watch, func() error, error) {
	p, err := insidePrepared(ctx, s, "faults, neighbour", nil, breakage.WitnessVerb)
	if err != nil {
		return nil, nil, err
	}
	i, err := p.Start(ctx)
	if err != nil {
		return nil, nil, err
	}
	w := breakage.NewWatch("neighbour")
	listening, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		heard(listening, i, func(b breakage.Beat) error {
			w.Heard(b)
			return nil
		})
		w.Ended()
	}()
	return w, func() error {
		cancel()
		<-done
		return i.Stop(context.WithoutCancel(ctx))
	}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// arenaOrder are the faults in the throwaway machine: those that it is likely to survive
// first. One that takes the machine with it is followed by a new machine.
func arenaOrder() (all []string) {
	for _, of := range []string{"container", "process"} {
		for _, k := range isolation.FaultKinds {
			all = append(all, of+"/"+k.Name)
		}
	}
	return all
}

// arenaFaults has the arena do them in the throwaway machine.
func arenaFaults(ctx context.Context, s Subject) (sample result.Sample, err error) {
	left := arenaOrder()
	for len(left) > 0 {
		p, err := insidePrepared(ctx, s, "faults, "+left[0], nil, append([]string{"fault"}, left...)...)
		if err != nil {
			return sample, err
		}
		done, err := inMachine(ctx, p, arenaSilence)
		sample.Faults = append(sample.Faults, done...)
		if err != nil {
			return sample, fmt.Errorf("in the throwaway machine, from %s on: %w", left[0], err)
		}
		left = left[len(done):]
	}
	return sample, nil
}

// arenaSilence is for how long the arena says nothing at most: it boots, and a fault takes
// its time.
const arenaSilence = breakage.MostTime + 10*time.Second

// inMachine runs one machine, until its faults are done or one of them has ended it. An
// error is that nothing more can be told of any.
func inMachine(ctx context.Context, p platform.Prepared, silence time.Duration) (done []isolation.Fault, err error) {
	i, err := p.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if stopErr := i.Stop(context.WithoutCancel(ctx)); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stopping the machine: %w", stopErr))
		}
	}()
	silent := fmt.Errorf("it did not report for %v", silence)
	listening, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(silent) })
	defer watchdog.Stop()
	next := ""
	heardErr := heard(listening, i, func(l breakage.Line) error {
		watchdog.Reset(silence)
		if next = l.Next; l.Fault != nil {
			done = append(done, *l.Fault)
		}
		return nil
	})
	if ctx.Err() != nil {
		return done, context.Cause(ctx)
	}
	if next == "" && heardErr == nil && len(done) > 0 {
		return done, nil // all of them
	}
	why := cmp.Or(heardErr, errors.New("it ended"))
	if listening.Err() == nil { // then it says nothing of its end
		why = cmp.Or(i.Err(), why)
	}
	if next == "" {
		return done, why
	}
	of, kind, _ := strings.Cut(next, "/")
	return append(done, breakage.Facts{Kind: kind, Of: of, Lost: lastWords(why)}.Judge()), nil
}

// lastWords is why an instance has ended, in a few words: of a kernel that has panicked
// those that it has said itself.
func lastWords(err error) string {
	text := err.Error()
	if _, after, ok := strings.Cut(text, panicked); ok {
		line, _, _ := strings.Cut(after, "\n")
		return panicked + strings.TrimSpace(line)
	}
	if i, ok := errors.AsType[*platform.InstanceError](err); ok { // without its output
		text = i.Err.Error()
	}
	if len(text) > mostWhy {
		text = strings.ToValidUTF8(text[:mostWhy], "") + "..."
	}
	return strings.TrimPrefix(strings.TrimSpace(text), "it ended by itself: ")
}

// panicked are the first words of a kernel that panics (kernel/panic.c).
const panicked = "Kernel panic - not syncing: "
