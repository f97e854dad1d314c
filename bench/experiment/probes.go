package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vmctr/bench/embedded"
	"vmctr/bench/harness"
	"vmctr/bench/isolation/probe"
	"vmctr/bench/platform"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// probes tries to get out of an instance, in many ways, and looks from the host what was
// reached. What must not be tried on the host is tried in the throwaway machine: a process
// without any walls, which is the control of each probe, and containers that lack one.
var probes = Experiment{
	Name:     "probes",
	About:    "attempts to get out: what of the host a program can see, read, change and disturb, and which wall stops it",
	Group:    isolation.Group,
	Weight:   2,
	stand:    true,
	most:     1,
	deadline: 3 * time.Minute,
	trials: func(s Subject, _ Limits) []harness.Trial {
		switch {
		case s.Name == platform.ThrowawayName:
			return []harness.Trial{{Measure: func(ctx context.Context) (result.Sample, error) { return arenaProbes(ctx, s) }}}
		case s.Kind == "process": // it is the control, and not for the host
			return nil
		}
		if i, err := platform.Find(s.Name); err == nil && i.Info().NoSystem {
			return nil
		}
		return []harness.Trial{{Measure: func(ctx context.Context) (result.Sample, error) { return tryProbes(ctx, s) }}}
	},
}

// tryProbes makes all attempts in one instance, and judges them here.
func tryProbes(ctx context.Context, s Subject) (sample result.Sample, err error) {
	// Whoever is inside has to be able to find what lies in it, were the wall not there.
	dir, err := os.MkdirTemp("", "bench-probes-")
	if err != nil {
		return sample, err
	}
	inside, err := embedded.Inside()
	if err != nil {
		return sample, err
	}
	program := filepath.Join(dir, "inside")
	if err := os.WriteFile(program, inside, 0o755); err != nil {
		return sample, err
	}
	session, err := probe.Open(dir, program)
	if err != nil {
		return sample, err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	plan, err := json.Marshal(session.Plan)
	if err != nil {
		return sample, err
	}
	p, err := insidePrepared(ctx, s, "probes", nil, "probe", string(plan))
	if err != nil {
		return sample, err
	}
	var attempts []probe.Attempt
	sample, err = observed(ctx, p, func(ctx context.Context, i platform.Instance, _ int64, _ *result.Sample) error {
		if _, err := i.Output().FirstInstruction(ctx); err != nil {
			return err
		}
		for n := 1; ; n++ {
			line, err := i.Output().Line(ctx, n)
			if errors.Is(err, platform.ErrEnded) {
				return nil
			}
			if err != nil {
				return err
			}
			var a probe.Attempt
			if err := json.Unmarshal(line, &a); err != nil {
				return fmt.Errorf("an attempt, %.200q: %w", line, err)
			}
			attempts = append(attempts, a)
		}
	})
	sample.Probings = []isolation.Probing{{HostBootID: hostBootID(), Findings: session.Judge(attempts)}}
	return sample, err
}

func hostBootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// arenaProbes has the arena make them, in the throwaway machine.
func arenaProbes(ctx context.Context, s Subject) (result.Sample, error) {
	p, err := insidePrepared(ctx, s, "probes", nil, "probe")
	if err != nil {
		return result.Sample{}, err
	}
	return observed(ctx, p, func(ctx context.Context, i platform.Instance, _ int64, sample *result.Sample) error {
		if _, err := i.Output().FirstInstruction(ctx); err != nil {
			return err
		}
		for n := 1; ; n++ {
			line, err := i.Output().Line(ctx, n)
			if errors.Is(err, platform.ErrEnded) {
				return nil
			}
			if err != nil {
				return err
			}
			var p isolation.Probing
			if err := json.Unmarshal(line, &p); err != nil {
				return fmt.Errorf("a report of the arena, %.200q: %w", line, err)
			}
			sample.Probings = append(sample.Probings, p)
		}
	})
}
