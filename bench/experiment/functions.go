package experiment

import (
	"context"
	"errors"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/isolation/ftrace"
	"vmctr/bench/platform"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// functions counts which functions of the host's kernel run for an instance at its work:
// how much of that kernel is between the instance and its neighbours. A host that does not
// let its kernel be traced is measured by a stand-in: the throwaway machine is the host of
// a process and a container then.
var functions = Experiment{
	Name:     "functions",
	About:    "the distinct functions that the host's kernel runs for an instance at the same work",
	Group:    isolation.Group,
	From:     "thorough",
	Weight:   1,
	stand:    true,
	most:     5, // of which the report takes the median
	deadline: 8 * time.Minute,
	trials: func(s Subject, _ Limits) []harness.Trial {
		if infoOf(s.Name).NoSystem {
			return nil
		}
		refused := tryTracing(s)
		switch standIn := s.Name == platform.ThrowawayName; {
		case standIn && refused != nil:
			return []harness.Trial{
				{Series: onHost, Enter: func(context.Context) error {
					return &harness.OutOfReach{Reason: refused.Error() + "; the throwaway machine is the host in its place"}
				}},
				{Measure: (&functionsArena{subject: s}).measure},
			}
		case standIn || refused != nil:
			return nil
		}
		return []harness.Trial{{Measure: func(ctx context.Context) (result.Sample, error) { return traceFunctions(ctx, s) }}}
	},
}

// onHost is the series that is out of reach where the throwaway machine is the host.
const onHost = "on the host itself"

// functionsWait is how long an instance waits before its work, in which it is found and
// the tracer told of it.
const functionsWait = 5 * time.Second

// tryTracing tells why this host's kernel does not let functions be traced, or nil.
func tryTracing(s Subject) error {
	t, err := ftrace.Open(s.Workload.RunID, s.Workload.NetworkDir, 1<<20)
	if err != nil {
		return err
	}
	return t.Close()
}

// traceFunctions traces one instance on this host.
func traceFunctions(ctx context.Context, s Subject) (sample result.Sample, err error) {
	p, err := insidePrepared(ctx, s, "functions", nil, isolation.FunctionsWork, functionsWait.String())
	if err != nil {
		return sample, err
	}
	t, err := ftrace.Open(s.Workload.RunID, s.Workload.NetworkDir, ftrace.Room)
	if err != nil {
		return sample, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	return observed(ctx, p, func(ctx context.Context, i platform.Instance, _ int64, sample *result.Sample) error {
		if _, err := i.Output().FirstInstruction(ctx); err != nil {
			return err
		}
		pids, err := i.Processes()
		if err != nil {
			return err
		}
		tr := isolation.Tracing{Subject: s.Name, Kernel: ftrace.Release(), Accelerator: p.Facts().Accelerator}
		if err := ftrace.Work(ctx, t, pids, functionsWait, nil, i.Output().Line, &tr); err != nil {
			return err
		}
		sample.Tracings = []isolation.Tracing{tr}
		return nil
	})
}

// functionsArena has the arena trace what it starts, in the throwaway machine.
type functionsArena struct {
	subject Subject
	inner   bool // the machine in it has been traced
}

// innerSubject is the platform that the machine in the machine is like.
const innerSubject = "vm-q35"

// innerMemory is that of the throwaway machine with another one in it.
const innerMemory = 1 << 30

// measure traces a process and a container and, until that has come off once, a machine in
// the machine: what cannot be had of that is told in its Tracing, and the others are not
// lost by it.
func (a *functionsArena) measure(ctx context.Context) (sample result.Sample, err error) {
	name, args, change := "functions", []string{"functions"}, func(*platform.Workload) {}
	var failed error
	if !a.inner {
		var disk string
		if disk, failed = machineDisk(ctx, a.subject); failed == nil {
			name, args = "functions with a machine", append(args, "machine")
			change = func(w *platform.Workload) { w.Disk, w.Memory = disk, innerMemory }
		}
	}
	p, err := insidePrepared(ctx, a.subject, name, change, args...)
	if err != nil {
		return sample, err
	}
	sample, err = observed(ctx, p, readTracings)
	if failed != nil {
		sample.Tracings = append(sample.Tracings, isolation.Tracing{Subject: innerSubject, Error: failed.Error()})
	}
	for _, t := range sample.Tracings {
		a.inner = a.inner || t.Subject == innerSubject && t.Error == ""
	}
	return sample, err
}

// readTracings reads what the arena prints.
func readTracings(ctx context.Context, i platform.Instance, _ int64, sample *result.Sample) error {
	err := heard(ctx, i, func(t isolation.Tracing) error {
		sample.Tracings = append(sample.Tracings, t)
		return nil
	})
	if err == nil && len(sample.Tracings) == 0 {
		err = platform.ErrEnded
	}
	return err
}
