package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	Weight:   5,
	stand:    true,
	most:     1,
	deadline: 5 * time.Minute,
	trials: func(s Subject, _ Limits) []harness.Trial {
		switch {
		case s.Name == platform.ThrowawayName:
			return []harness.Trial{{Measure: func(ctx context.Context) (result.Sample, error) { return arenaProbes(ctx, s) }}}
		case s.Kind == "process", infoOf(s.Name).NoSystem: // a process is the control, and not for the host
			return nil
		}
		return []harness.Trial{{Measure: func(ctx context.Context) (result.Sample, error) { return tryProbes(ctx, s) }}}
	},
}

// tryProbes makes all attempts in one instance, and judges them here.
func tryProbes(ctx context.Context, s Subject) (sample result.Sample, err error) {
	// Whoever is inside has to be able to find what lies in it, were the wall not there.
	dir := harness.Reachable(s.Workload.RunID)
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
		return sample, err
	}
	session, err := openSession(dir)
	if err != nil {
		return sample, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, session.Close(), os.RemoveAll(dir)) }()
	plan, err := json.Marshal(session.Plan)
	if err != nil {
		return sample, err
	}
	p, err := insidePrepared(ctx, s, "probes", nil, "probe", string(plan))
	if err != nil {
		return sample, err
	}
	return attempted(ctx, p, session)
}

// openSession plants the canaries, in a folder of dir.
func openSession(dir string) (*probe.Session, error) {
	program := filepath.Join(dir, "inside")
	if err := writeInside(program); err != nil {
		return nil, err
	}
	canaries := filepath.Join(dir, "canaries")
	if err := os.Mkdir(canaries, 0o755); err != nil {
		return nil, err
	}
	return probe.Open(canaries, program)
}

// attempted has one instance make the attempts of a session. What is heard of them before
// an error is judged.
func attempted(ctx context.Context, p platform.Prepared, session *probe.Session) (result.Sample, error) {
	var attempts []probe.Attempt
	probing := isolation.Probing{HostBootID: probe.BootID()}
	s, err := observed(ctx, p, func(ctx context.Context, i platform.Instance, _ int64, _ *result.Sample) error {
		err := heard(ctx, i, func(a struct {
			BootID string `json:"boot_id"`
			probe.Attempt
		}) error {
			if a.BootID != "" {
				probing.BootID = a.BootID
				return nil
			}
			attempts = append(attempts, a.Attempt)
			return nil
		})
		if err == nil && len(attempts) < len(session.Plan) {
			err = fmt.Errorf("only %d of %d attempts were heard of", len(attempts), len(session.Plan))
		}
		return err
	})
	// By now it has been stopped, and nothing moves any more.
	probing.Findings = session.Judge(attempts)
	if err != nil {
		probing.Error = err.Error()
	}
	s.Probings = []isolation.Probing{probing}
	return s, err
}

// arenaProbes has the arena make them, in the throwaway machine: in the variants that are
// named, or in all. What it has found before it fails is kept.
func arenaProbes(ctx context.Context, s Subject, variants ...string) (result.Sample, error) {
	p, err := insidePrepared(ctx, s, "probes", nil, append([]string{"probe"}, variants...)...)
	if err != nil {
		return result.Sample{}, err
	}
	if len(variants) == 0 {
		variants = isolation.Variants()
	}
	return inArena(ctx, p, variants)
}

func inArena(ctx context.Context, p platform.Prepared, variants []string) (result.Sample, error) {
	var all []isolation.Probing
	s, err := observed(ctx, p, func(ctx context.Context, i platform.Instance, _ int64, _ *result.Sample) error {
		err := heard(ctx, i, func(p isolation.Probing) error {
			all = append(all, p)
			return nil
		})
		if err == nil && missing(all, variants) != nil {
			err = errors.New("it ended")
		}
		return err
	})
	s.Probings = all
	if left := missing(all, variants); err != nil && left != nil {
		err = fmt.Errorf("in the throwaway machine, of %d variants %d were not tried, of which the first is %q: %w", len(variants), len(left), left[0], err)
	}
	return s, errors.Join(err, selfTest(all))
}

// missing are the variants that were not tried. A control may have been tried more than once.
func missing(have []isolation.Probing, variants []string) []string {
	for n, v := range variants {
		i := slices.IndexFunc(have, func(p isolation.Probing) bool { return p.Variant == v })
		if i < 0 {
			return variants[n:]
		}
		have = have[i+1:]
	}
	return nil
}

// selfTest is the check of the probes themselves, an error that names those that nothing
// was in the way of and that have not reached: what they say of others is worth nothing.
func selfTest(arena []isolation.Probing) error {
	var failed []string
	for _, c := range isolation.FailedControls(arena) {
		failed = append(failed, fmt.Sprintf("%s (%s)", c.Probe, c.Why))
	}
	if len(failed) > 0 {
		return fmt.Errorf("self-test: without any walls, %d of the probes did not reach what they are aimed at, and so say nothing of walls: %s", len(failed), strings.Join(failed, "; "))
	}
	for _, p := range arena {
		if p.Variant == isolation.Bare && p.Error != "" {
			return fmt.Errorf("self-test: the probes without any walls: %s", p.Error)
		}
	}
	return nil
}
