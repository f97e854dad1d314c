// Package experiment is what is measured: one file for each experiment.
//
// An experiment says which instances to start and what to observe of them. How
// often, in which order and for how long is the harness's affair.
package experiment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/images"
	"vmctr/report/result"
	"vmctr/report/result/isolation"
)

// A Subject is a platform that is ready to be measured.
type Subject struct {
	Name     string
	Kind     string // platform.Info's
	Prepared platform.Prepared
	// Workload is what it was prepared for.
	Workload platform.Workload
	// Variant prepares the platform for another workload, which change makes of that
	// of Prepared: with other limits, of another image. The same name gives the same
	// one again. All are closed when the experiment has ended.
	Variant func(ctx context.Context, name string, change func(*platform.Workload) error) (platform.Prepared, error)
	// Scratch is a store for images that are made for the experiment, and removed when
	// that has ended. All subjects share it.
	Scratch func(ctx context.Context) (*images.Store, error)
	// Image gives an image by its name. One that is not in the store is built, which can
	// fail, and is then not tried again.
	Image func(ctx context.Context, name string) (*images.Image, error)
}

// An Experiment observes one instance at a time.
type Experiment struct {
	Name  string
	About string // one line for the help
	// Weight is its share of the time that a run may take, against the
	// weights of the other experiments in it.
	Weight int
	// Always says that it belongs to every run.
	Always bool
	// From is the shortest profile that does it: "standard", "thorough", or "" for the
	// shortest of all. A run that is asked for it by name does it in any profile.
	From string
	// Own says that its subjects are platforms of its own (platform.For), and no others.
	// A run on platforms that are named does it only if it is named too.
	Own bool
	// Group is a name by which a run can ask for several experiments at once. Platforms that
	// are for the group (platform.For) take part beside the others.
	Group string
	// stand says that of machines which differ only in how they boot one stands for all
	// (standsFor).
	stand bool
	// value is the main one of its samples: a run goes on until the median of it is known
	// as well as the profile asks, unless a trial names another. "" for until the time is
	// spent, or the rounds are done.
	value string
	// warmups and most are rounds; most = 0 leaves it to the profile.
	warmups, most int
	// deadline is how long a sample may take; 0 for sampleDeadline.
	deadline time.Duration
	// observe measures a running instance, which was started at begin, and
	// writes what it sees into s.
	observe func(ctx context.Context, i platform.Instance, begin int64, s *result.Sample) error
	// trials are those of one subject, where there is more to do than to observe one
	// instance: its series, and its numbers.
	trials func(s Subject, l Limits) []harness.Trial
}

// All are the experiments, in the order in which they run.
func All() []Experiment {
	return []Experiment{
		identity, startup, running, together, size, cold, applications,
		memory, memoryLoaded, memoryMany, memoryLeast, memoryShared, memoryKSM,
		views,
		probes,
		surface,
		functions,
		interference,
		faults,
		matrix, vmMemory,
	}
}

// Ungroup gives names of experiments, with those of a group in place of its name: what a
// run does that has the time for it, as does tells, and in any case what a standard one
// has. The others take longer, and are done for whoever names them.
func Ungroup(names []string, does func(Experiment) bool) (all []string) {
	for _, n := range names {
		var members []string
		for _, e := range All() {
			if e.Group == n && (e.From != "thorough" || does(e)) {
				members = append(members, e.Name)
			}
		}
		if members == nil {
			members = []string{n}
		}
		all = append(all, members...)
	}
	return all
}

// Limits are what a profile allows.
type Limits struct {
	Rounds int           // at most, for each experiment
	Budget time.Duration // for this experiment
	Settle time.Duration // between samples
	// HalfWidth is how well the median of a platform's main value is to be known, by the
	// kind of platform: half the 95% interval, as a share of the median (harness.Trial).
	// nil if the time alone decides.
	HalfWidth map[string]float64
	// Every says that there is the time for each platform, or that the user has named those
	// that take part: none stands for another of its kind (interference).
	Every bool
}

// sampleDeadline is how long an instance may take to come up: an emulated
// machine needs 3 s, so one that has not come within this does not come.
const sampleDeadline = 30 * time.Second

// Plan is the experiment as the harness runs it.
func (e Experiment) Plan(subjects []Subject, l Limits) harness.Plan {
	p := harness.Plan{
		Experiment: e.Name, Warmups: e.warmups, Rounds: l.Rounds,
		Budget: l.Budget, Settle: l.Settle, Deadline: cmp.Or(e.deadline, sampleDeadline),
	}
	if e.most > 0 {
		p.Rounds = min(p.Rounds, e.most)
	}
	for _, s := range subjects {
		if e.stand && slices.ContainsFunc(subjects, func(o Subject) bool { return o.Name == e.standsFor(s.Name) }) {
			continue
		}
		trials := []harness.Trial{{Measure: func(ctx context.Context) (result.Sample, error) { return e.measure(ctx, s.Prepared) }}}
		if e.trials != nil {
			trials = e.trials(s, l)
		}
		for _, t := range trials {
			t.Platform, t.Fault, t.Value = s.Name, fault, cmp.Or(t.Value, e.value)
			if t.Value != "" && t.HalfWidth == 0 {
				t.HalfWidth = l.HalfWidth[s.Kind]
			}
			p.Trials = append(p.Trials, t)
		}
	}
	return p
}

// standsFor names the machine that stands for another where there is not the time for
// all; "" if none does.
func (e Experiment) standsFor(name string) string {
	switch name {
	case "vm-bare", "vm-microvm", "vm-pc":
		return "vm-q35"
	case "nested":
		if e.Group != isolation.Group { // of walls, it has others
			return "vm-q35"
		}
	case "vm-snapshot":
		if e.Group == isolation.Group { // how it has come up changes none
			return "vm-q35"
		}
	}
	return ""
}

// infoOf is that of a subject's platform; the zero one of a test's.
func infoOf(name string) platform.Info {
	p, err := platform.Find(name)
	if err != nil {
		return platform.Info{}
	}
	return p.Info()
}

// fault says whose an error is.
func fault(err error) result.Fault {
	if platform.IsInstanceFault(err) {
		return result.InstanceFault
	}
	return result.HarnessFault
}

// measure starts an instance, observes it and stops it.
func (e Experiment) measure(ctx context.Context, p platform.Prepared) (result.Sample, error) {
	return observed(ctx, p, e.observe)
}

// observed is a sample of one instance.
func observed(ctx context.Context, p platform.Prepared, observe func(ctx context.Context, i platform.Instance, begin int64, s *result.Sample) error) (s result.Sample, err error) {
	begin := harness.Now()
	i, err := p.Start(ctx)
	if err != nil {
		return s, err
	}
	defer func() {
		// An instance that ended by itself says why; that explains more than
		// its silence does.
		if err != nil {
			if own := i.Err(); own != nil {
				err = own
			}
		}
		for _, m := range i.Timeline() {
			s.Phases = append(s.Phases, result.Phase{Name: m.Phase, Ns: m.Ns - begin, ErrorNs: m.Error})
		}
		if stopErr := i.Stop(context.WithoutCancel(ctx)); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stopping the instance: %w", stopErr))
		}
	}()
	s.Values = map[string]float64{}
	return s, observe(ctx, i, begin, &s)
}
