package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"vmctr/bench/embedded"
	"vmctr/bench/experiment"
	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/images"
	"vmctr/report"
	"vmctr/report/result"
	"vmctr/vm"
	"vmctr/vm/kernel"
)

// runner is one execution of `bench all`.
type runner struct {
	streams
	cmd     *allCommand
	choice  choice
	begin   time.Time
	past    *stopped // what it goes on with; nil for a new run
	begun   bool     // there is a journal, and what was measured is in it
	missing []string // platforms that were not measured, or not without failures

	harness *harness.Harness
	states  []*state
	images  *images.Scratch       // of the experiment that runs; nil if it has none
	built   map[string]builtImage // what applicationImage has given
}

// scratch is an experiment.Subject's.
func (r *runner) scratch(ctx context.Context) (*images.Store, error) {
	if r.images == nil {
		var err error
		if r.images, err = images.NewScratch(ctx, scratchDir()); err != nil {
			return nil, fmt.Errorf("making a store for images of the experiment: %w", err)
		}
	}
	return r.images.Store, nil
}

func (r *runner) removeScratch() error {
	if r.images == nil {
		return nil
	}
	err := r.images.Remove()
	r.images = nil
	return err
}

// scratchDir is where stores of images are that last as long as an experiment: on the
// disk of the cache, since the folder of the run may be in memory.
func scratchDir() string { return filepath.Join(cacheDir(), "scratch") }

// state is one platform in this run.
type state struct {
	platform platform.Platform
	record   result.Platform
	workload platform.Workload
	prepared platform.Prepared
	variants map[string]platform.Prepared // of the experiment that runs
	folders  int                          // of variants, so far
}

// variant is an experiment.Subject's.
func (st *state) variant(ctx context.Context, name string, change func(*platform.Workload) error) (platform.Prepared, error) {
	if p := st.variants[name]; p != nil {
		return p, nil
	}
	w := st.workload
	w.Dir = filepath.Join(w.Dir, "variant-"+strconv.Itoa(st.folders))
	st.folders++
	if err := change(&w); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(w.Dir, 0o700); err != nil {
		return nil, err
	}
	p, err := st.platform.Prepare(ctx, w)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s, %s: %w", st.record.Name, name, err), os.RemoveAll(w.Dir))
	}
	if st.variants == nil {
		st.variants = map[string]platform.Prepared{}
	}
	st.variants[name] = p
	return p, nil
}

// closeVariants ends what an experiment has prepared.
func (st *state) closeVariants() error {
	var errs []error
	for name, p := range st.variants {
		if err := p.Close(); err != nil {
			errs = append(errs, fmt.Errorf("closing %s, %s: %w", st.record.Name, name, err))
		}
	}
	st.variants = nil
	return errors.Join(errs...)
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

	image, err := r.image(ctx)
	if err != nil {
		return err
	}
	journal, warnings, err := r.journal(ctx, run, image)
	if err != nil {
		return err
	}
	r.begun = true
	total := r.choice.profile.total
	r.harness = &harness.Harness{Journal: journal, Start: start, Seed: r.choice.seed}
	if r.past != nil {
		ran := r.past.run.Ran()
		r.harness.Past, r.harness.Start = r.past.run, start-ran
		r.past.sayResumed(r.streams, total)
		total = max(total-time.Duration(ran), time.Second)
	}
	r.harness.Progress = harness.NewProgress(r.err, isTerminal(r.err), total)
	return r.finish(ctx, r.measure(ctx, run, image, warnings))
}

// finish ends what was measured, with err if it was not measured whole: the platforms are
// closed, and the journal says how the run ended.
func (r *runner) finish(ctx context.Context, err error) error {
	r.harness.Progress.Close()
	err = errors.Join(err, r.close(ctx))
	end := "complete"
	switch {
	case errors.Is(err, harness.ErrInterrupted):
		end = "interrupted"
	case err != nil:
		end = "error: " + err.Error()
	}
	journal := r.harness.Journal
	last := journal.Append(result.Record{End: &result.End{AtNs: harness.Now() - r.harness.Start, Reason: end}})
	if errors.Is(err, unix.ENOSPC) && errors.Is(last, unix.ENOSPC) {
		last = nil // that is said already
	}
	return errors.Join(err, last, journal.Close())
}

// journal starts the journal, or goes on with one.
func (r *runner) journal(ctx context.Context, run *harness.Run, image *images.Image) (*result.Journal, []string, error) {
	header, warnings, err := r.header(ctx, run, image)
	if err != nil {
		return nil, nil, err
	}
	if r.past != nil {
		if err := r.past.goOn(run, image, header.Host); err != nil {
			return nil, nil, err
		}
		giveToUser(r.cmd.Out, false)
		return r.past.journal, warnings, nil
	}
	_, err = os.Stat(r.cmd.Out)
	made := errors.Is(err, fs.ErrNotExist)
	journal, err := result.Create(r.cmd.Out, header)
	if err != nil {
		return nil, nil, err
	}
	giveToUser(r.cmd.Out, made)
	return journal, warnings, nil
}

// newRun sweeps what dead runs left and starts a run. What cannot be swept is
// no reason not to measure.
func newRun(ctx context.Context, s streams) (*harness.Run, error) {
	swept, err := harness.Sweep(ctx)
	left, scratchErr := images.SweepScratch(ctx, scratchDir())
	swept, err = append(swept, left...), errors.Join(err, scratchErr)
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
		Rounds: r.cmd.Rounds, Images: r.cmd.Images, Kernel: r.cmd.Kernel, Base: r.choice.base,
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
	if err := r.warn(warnings); err != nil {
		return err
	}
	if err := r.recordImages(ctx, image); err != nil {
		return err
	}
	if err := r.prepareAll(ctx, run, image); err != nil {
		return err
	}
	weights := 0
	for _, e := range r.choice.experiments {
		weights += e.Weight
	}
	for _, e := range r.choice.experiments {
		var subjects []experiment.Subject
		for _, st := range r.states {
			if st.record.Status == result.Ready && takesPart(st.platform, e) {
				subjects = append(subjects, experiment.Subject{Name: st.record.Name, Kind: st.record.Kind, Prepared: st.prepared, Workload: st.workload, Variant: st.variant, Scratch: r.scratch, Image: r.applicationImage})
			}
		}
		l := experiment.Limits{Rounds: r.choice.profile.rounds, Settle: r.choice.profile.settle, HalfWidth: r.choice.profile.aims, Every: r.choice.every()}
		if e.Weight > 0 {
			// What is left is shared anew each time, so that what one
			// experiment does not need goes to those after it. Of a run that was stopped,
			// what this one has used is part of its share.
			left := r.choice.profile.total - reserve - time.Since(r.begin) + r.harness.Spent(e.Name)
			l.Budget = max(left*time.Duration(e.Weight)/time.Duration(weights), 1)
			weights -= e.Weight
		}
		err := r.harness.Rounds(ctx, e.Plan(subjects, l))
		for _, st := range r.states {
			err = errors.Join(err, st.closeVariants())
		}
		err = errors.Join(err, r.removeScratch())
		if err != nil {
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

// warn notes what disturbs measurements on this host, once.
func (r *runner) warn(warnings []string) error {
	for _, w := range warnings {
		if r.past.hasNote(w) {
			continue
		}
		if err := r.harness.Note("%s", w); err != nil {
			return err
		}
	}
	return nil
}

// prepareAll makes the platforms ready that can be.
func (r *runner) prepareAll(ctx context.Context, run *harness.Run, image *images.Image) error {
	process, err := image.Process([]string{"serve", fmt.Sprintf(":%d", servePort)})
	if err != nil {
		return err
	}
	for _, p := range r.choice.platforms {
		st := &state{platform: p, workload: workloadFor(run, p, image, process, r.cmd.Kernel)}
		r.states = append(r.states, st)
		st.workload.Port = servePort
		if err := r.prepare(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

// takesPart tells whether a platform is a subject of an experiment: one that has
// platforms of its own has no others, and a group has some besides.
func takesPart(p platform.Platform, e experiment.Experiment) bool {
	if e.Own {
		return p.Info().Experiment == e.Name
	}
	return p.Info().Experiment == "" || p.Info().Experiment == e.Group
}

// prepare makes a platform ready, or says why it is not.
func (r *runner) prepare(ctx context.Context, st *state) error {
	w := st.workload
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
		// Which variants there are on a host is what their experiment finds out; and nobody
		// misses what is optional, unless they asked for it.
		if info.Experiment == "" && !(info.Optional && len(r.cmd.Platforms) == 0) {
			r.missing = append(r.missing, info.Name+" (unavailable)")
		}
		r.harness.Progress.Say("%s is not available here: %v", info.Name, u)
		attempts := slices.ContainsFunc(r.choice.experiments, func(e experiment.Experiment) bool { return e.Name == "probes" })
		if info.Name == platform.ThrowawayName && attempts {
			if err := r.warn([]string{fmt.Sprintf("there is no machine to be thrown away (%v): the attempts to get out have no control, and what would happen without a wall is not known", u)}); err != nil {
				return err
			}
		}
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
	if r.past != nil {
		if why := r.past.changedSince(st.record); why != "" {
			return r.fail(st, why)
		}
	}
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
func (r *runner) report() error { return render(r.cmd.Out, report.Paper(r.cmd.Paper), r.streams) }
