package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	randv2 "math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"vmctr/bench/embedded"
	"vmctr/bench/experiment"
	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/images"
	"vmctr/report/result"
	"vmctr/vm"
	"vmctr/vm/kernel"
)

type allCommand struct {
	Out         string   `help:"Folder for the results: the journal, the report, the plots. It must not hold another run. Default: results-DATE-TIME." placeholder:"DIR"`
	Profile     string   `help:"How long to measure: ${profiles}." default:"quick"`
	Platforms   []string `help:"On what to measure, of ${platforms}. Default: all, other OCI runtimes if they are installed." placeholder:"NAME"`
	Experiments []string `help:"What to measure, of ${experiments}. Default: all, but vm-matrix and vm-memory not in the profile quick, nor with --platforms." placeholder:"NAME"`
	Rounds      int      `help:"Rounds of each experiment, at most. Default: as many as the profile's time allows." placeholder:"N"`
	Seed        *uint64  `help:"Seed of the random order, to run the same order again." placeholder:"N"`
	Images      []string `help:"Images that the report counts beside the measured one: their layers, what they share, and what they take as disks." placeholder:"NAME"`
	Kernel      string   `help:"Kernel of the virtual machines, a bzImage. Default: the one that this host runs or, where that does not serve, the one that scripts/bench fetched, or another of /boot." placeholder:"FILE"`
}

// A profile is how long a run may take, in all.
type profile struct {
	name   string
	total  time.Duration
	rounds int
	settle time.Duration
}

var profiles = []profile{
	{quick, 4 * time.Minute, 30, 100 * time.Millisecond},
	{"standard", 15 * time.Minute, 200, 200 * time.Millisecond},
	{"thorough", 60 * time.Minute, 1000, 200 * time.Millisecond},
}

// quick is the shortest profile, and the default.
const quick = "quick"

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
	chosen, err := c.validate()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if c.Out == "" {
		c.Out = "results-" + time.Now().Format("20060102-150405")
	}
	ctx, stop := interruptible()
	defer stop()

	r := &runner{streams: s, cmd: c, choice: chosen, begin: time.Now()}
	err = r.run(ctx)
	switch {
	case errors.Is(err, harness.ErrInterrupted):
		if r.samples != "" {
			err = fmt.Errorf("%w; what was measured is in %s: bench report %s", err, r.samples, c.Out)
		}
		return err
	case err != nil:
		return err
	case len(r.missing) > 0:
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
	seed        uint64
}

// validate resolves names, before anything is made.
func (c *allCommand) validate() (choice, error) {
	var ch choice
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
	experiments, err := pick("experiment", c.Experiments, experiment.All(), func(e experiment.Experiment) string { return e.Name })
	if err != nil {
		return ch, err
	}
	if len(c.Experiments) == 0 && (c.Profile == quick || len(c.Platforms) > 0) {
		experiments = slices.DeleteFunc(experiments, func(e experiment.Experiment) bool { return e.Own })
	}
	for _, e := range experiment.All() {
		if e.Always || slices.ContainsFunc(experiments, func(x experiment.Experiment) bool { return x.Name == e.Name }) {
			ch.experiments = append(ch.experiments, e)
			if e.Own {
				ch.platforms = append(ch.platforms, platform.For(e.Name)...)
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

// runner is one execution of `bench all`.
type runner struct {
	streams
	cmd     *allCommand
	choice  choice
	begin   time.Time
	samples string   // path of the journal, once there is one
	missing []string // platforms that were not measured, or not without failures

	harness *harness.Harness
	states  []*state
}

// state is one platform in this run.
type state struct {
	platform platform.Platform
	record   result.Platform
	prepared platform.Prepared
}

func (r *runner) run(ctx context.Context) (err error) {
	start := harness.Now()
	run, err := newRun(ctx, r.streams)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := run.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("cleaning up: %w", closeErr))
		}
	}()

	image, err := workload(ctx)
	if err != nil {
		return err
	}
	header, warnings, err := r.header(ctx, run, image)
	if err != nil {
		return err
	}
	_, err = os.Stat(r.cmd.Out)
	made := errors.Is(err, fs.ErrNotExist)
	journal, err := result.Create(r.cmd.Out, header)
	if err != nil {
		return err
	}
	r.samples = journal.Path()
	giveToUser(r.cmd.Out, made)
	progress := harness.NewProgress(r.err, isTerminal(r.err), r.choice.profile.total)
	r.harness = &harness.Harness{
		Journal: journal, Progress: progress, Start: start,
		Rand: randv2.New(randv2.NewPCG(r.choice.seed, 0)),
	}
	err = r.measure(ctx, run, image, warnings)
	progress.Close()
	err = errors.Join(err, r.close(ctx))
	end := "complete"
	switch {
	case errors.Is(err, harness.ErrInterrupted):
		end = "interrupted"
	case err != nil:
		end = "error: " + err.Error()
	}
	err = errors.Join(err, journal.Append(result.Record{End: &result.End{AtNs: harness.Now() - start, Reason: end}}), journal.Close())
	if err != nil {
		return err
	}
	return r.report()
}

// newRun sweeps what dead runs left and starts a run. What cannot be swept is
// no reason not to measure.
func newRun(ctx context.Context, s streams) (*harness.Run, error) {
	swept, err := harness.Sweep(ctx)
	for _, what := range swept {
		fmt.Fprintf(s.err, "bench: removed what an earlier run left: %s\n", what)
	}
	if err != nil {
		fmt.Fprintf(s.err, "bench: an earlier run left something that cannot be removed: %v\n", err)
	}
	return harness.NewRun()
}

// workload is the image that is measured, in the store.
func workload(ctx context.Context) (*images.Image, error) { return workloadOn(ctx, v1.Platform{}) }

// workloadOn is the same for a platform, of which the zero one is this host's.
func workloadOn(ctx context.Context, p v1.Platform) (*images.Image, error) {
	programs, err := embedded.Workloads()
	if err != nil {
		return nil, err
	}
	store, err := openStore()
	if err != nil {
		return nil, err
	}
	if err := store.PutWorkload(ctx, programs); err != nil {
		return nil, err
	}
	return store.Image(images.WorkloadName, p)
}

func workloadFor(run *harness.Run, p platform.Platform, image *images.Image, process images.Process, givenKernel string) platform.Workload {
	return platform.Workload{
		Image: image, Process: process,
		RunID: run.ID, NetworkID: run.NetworkID(), NetworkDir: run.Dir, Dir: filepath.Join(run.Dir, p.Info().Name), Cache: cacheDir(), Kernel: kernelOptions(givenKernel),
		Memory: instanceMemory, CPUs: instanceCPUs, Pids: instancePids,
	}
}

// kernelOptions say where guests' kernels are: the one that the user gave, else the
// host's own or one in the caches, of which the system's is there for all users.
func kernelOptions(given string) kernel.Options {
	o := kernel.Options{Path: given, Caches: []string{cacheDir()}, Needs: vm.Drivers()}
	if os.Getenv("BENCH_CACHE") == "" && cacheDir() != systemCache {
		o.Caches = append(o.Caches, systemCache)
	}
	return o
}

// systemCache is the cache of root, which scripts/setup fills.
const systemCache = "/var/cache/bench"

// cacheDir is where what outlives a run is kept: images, guest kernels.
func cacheDir() string {
	if d := os.Getenv("BENCH_CACHE"); d != "" {
		if abs, err := filepath.Abs(d); err == nil {
			return abs // what is started from it has another working directory
		}
		return d
	}
	if os.Geteuid() == 0 {
		return systemCache
	}
	if d, err := os.UserCacheDir(); err == nil {
		return filepath.Join(d, "bench")
	}
	return filepath.Join(os.TempDir(), "bench-cache-"+strconv.Itoa(os.Geteuid()))
}

func (r *runner) header(ctx context.Context, run *harness.Run, image *images.Image) (result.Header, []string, error) {
	host, warnings, err := harness.Host()
	if err != nil {
		return result.Header{}, nil, err
	}
	size, err := image.Size(ctx)
	if err != nil {
		return result.Header{}, nil, err
	}
	h := result.Header{
		ID: run.ID, Time: time.Now().UTC().Truncate(time.Second), Command: append([]string{"bench"}, os.Args[1:]...), Version: buildVersion(),
		Profile: r.choice.profile.name, Seed: r.choice.seed, Host: host,
		Image: result.Image{Name: image.Name, Digest: image.Digest, Layers: image.DiffIDs(), Bytes: size},
	}
	for _, p := range r.choice.platforms {
		if p.Info().Experiment == "" {
			h.Platforms = append(h.Platforms, p.Info().Name)
		}
	}
	for _, e := range r.choice.experiments {
		h.Experiments = append(h.Experiments, e.Name)
	}
	return h, warnings, nil
}

// measure prepares the platforms and runs the experiments on those that are
// ready.
func (r *runner) measure(ctx context.Context, run *harness.Run, image *images.Image, warnings []string) error {
	for _, w := range warnings {
		if err := r.harness.Note("%s", w); err != nil {
			return err
		}
	}
	if err := r.recordImages(ctx, image); err != nil {
		return err
	}
	process, err := image.Process([]string{"serve", fmt.Sprintf(":%d", servePort)})
	if err != nil {
		return err
	}
	for _, p := range r.choice.platforms {
		st := &state{platform: p}
		r.states = append(r.states, st)
		w := workloadFor(run, p, image, process, r.cmd.Kernel)
		w.Port = servePort
		if err := r.prepare(ctx, st, w); err != nil {
			return err
		}
	}
	weights := 0
	for _, e := range r.choice.experiments {
		weights += e.Weight
	}
	for _, e := range r.choice.experiments {
		var subjects []experiment.Subject
		for _, st := range r.states {
			if st.record.Status == result.Ready && takesPart(st.platform, e) {
				subjects = append(subjects, experiment.Subject{Name: st.record.Name, Prepared: st.prepared})
			}
		}
		l := experiment.Limits{Rounds: r.choice.profile.rounds, Settle: r.choice.profile.settle}
		if e.Weight > 0 {
			// What is left is shared anew each time, so that what one
			// experiment does not need goes to those after it.
			left := r.choice.profile.total - reserve - time.Since(r.begin)
			l.Budget = max(left*time.Duration(e.Weight)/time.Duration(weights), 1)
			weights -= e.Weight
		}
		if err := r.harness.Rounds(ctx, e.Plan(subjects, l)); err != nil {
			return err
		}
		if e.Always {
			// A platform on which the workload does not come up is not tried
			// again: each try could cost its whole deadline.
			for _, st := range r.states {
				if errs := r.harness.Failures(st.record.Name); len(errs) > 0 && st.record.Status == result.Ready {
					if err := r.fail(st, errs[0].Error()); err != nil {
						return err
					}
				}
			}
		}
	}
	for _, st := range r.states {
		if errs := r.harness.Failures(st.record.Name); len(errs) > 0 && st.record.Status == result.Ready {
			reason := fmt.Sprintf("%d of its instances failed; the first: %v", len(errs), errs[0])
			if err := r.fail(st, reason); err != nil {
				return err
			}
		}
	}
	return nil
}

// takesPart tells whether a platform is a subject of an experiment: one that has
// platforms of its own has no others.
func takesPart(p platform.Platform, e experiment.Experiment) bool {
	if e.Own {
		return p.Info().Experiment == e.Name
	}
	return p.Info().Experiment == ""
}

// prepare makes a platform ready, or says why it is not.
func (r *runner) prepare(ctx context.Context, st *state, w platform.Workload) error {
	info := st.platform.Info()
	st.record = result.Platform{Name: info.Name, Title: info.Title, Kind: info.Kind, Experiment: info.Experiment, Status: result.Ready}
	if err := os.MkdirAll(w.Dir, 0o700); err != nil {
		return err
	}
	begin := harness.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it was not ready within a minute"))
	defer cancel()
	err := st.platform.Available(ctx)
	var prepared platform.Prepared
	if err == nil {
		prepared, err = st.platform.Prepare(ctx, w)
	}
	if u, ok := errors.AsType[*platform.UnavailableError](err); ok {
		st.record.Status, st.record.Reason, st.record.Fix = result.Unavailable, u.Reason, u.Fix
		if info.Experiment == "" { // which variants there are on a host is what such an experiment finds out
			r.missing = append(r.missing, info.Name+" (unavailable)")
		}
		r.harness.Progress.Say("%s is not available here: %v", info.Name, u)
		return r.write(st)
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), harness.ErrInterrupted) {
			return context.Cause(ctx)
		}
		return r.fail(st, fmt.Sprintf("preparing it failed: %v", err))
	}
	st.record.PrepareNs = harness.Now() - begin
	st.prepared = prepared
	f := prepared.Facts()
	st.record.Accelerator, st.record.Emulated, st.record.Details = f.Accelerator, f.Emulated, f.Details
	for _, p := range f.Parts {
		st.record.Parts = append(st.record.Parts, result.Part{Name: p.Name, Bytes: p.Bytes, WithImage: p.WithImage})
	}
	return r.write(st)
}

func (r *runner) fail(st *state, reason string) error {
	st.record.Status, st.record.Reason = result.Failed, reason
	r.missing = append(r.missing, st.record.Name+" (failed)")
	r.harness.Progress.Say("%s failed: %s", st.record.Name, reason)
	return r.write(st)
}

func (r *runner) write(st *state) error {
	return r.harness.Journal.Append(result.Record{Platform: &st.record})
}

func (r *runner) close(ctx context.Context) error {
	var errs []error
	for _, st := range r.states {
		if st.prepared != nil {
			if err := st.prepared.Close(); err != nil {
				errs = append(errs, fmt.Errorf("closing %s: %w", st.record.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// report renders what the journal holds, as `bench report` does.
func (r *runner) report() error { return render(r.cmd.Out, r.streams) }
