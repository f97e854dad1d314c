package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"vmctr/bench/embedded"
	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/images"
	"vmctr/report/result"
	"vmctr/vm/kernel"
)

// Machines, beside the one that QEMU makes when nothing is said:
//
//	scripts/peers machines
//
// The time is that of the startup experiment, from before the first system call
// that serves a machine to the arrival of its workload's first instruction. The
// base is QEMU's default: a pc with default devices, whose SeaBIOS starts a
// compressed kernel. The second part starts ten machines at once, and ten in turn,
// each of which ends before the next begins.
//
// Who runs the guests' instructions, hardware or an emulator, is said above the
// tables: ratios of one are not those of the other.

const (
	defaultMachine  = "vm-pc,bzimage,seabios,default"
	snapshotMachine = "vm-snapshot"
	tenMachines     = 10
	inTurn          = "ten in turn"
	atOnce          = "ten at once"
	machineDeadline = 2 * time.Minute // for ten at once on an emulator with few cores
)

// machineSubjects are the platforms that are compared, the base first.
var machineSubjects = []string{defaultMachine, "vm-pc", "vm-q35", "vm-microvm", snapshotMachine, "vm-bare"}

// bootSubjects are those of them that boot a kernel of their own each time: the
// best of them is compared with the base.
var bootSubjects = []string{"vm-pc", "vm-q35", "vm-microvm"}

type machineOptions struct {
	rounds, tens int
	seed         uint64
	out          string
}

func machinesMain(args []string) int {
	var o machineOptions
	flags := flag.NewFlagSet("peers machines", flag.ExitOnError)
	flags.IntVar(&o.rounds, "rounds", 20, "rounds")
	flags.IntVar(&o.tens, "tens", 6, "how often ten machines are started at once, and in turn; 0 to leave it out")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano())&(1<<32-1), "seed of the random order")
	flags.StringVar(&o.out, "out", "results-peers-machines-"+time.Now().Format("20060102-150405"), "folder for the raw samples and the tables")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "Usage: scripts/peers machines [FLAGS]   compares the boot of machines with that of QEMU's default, and ten at once with ten in turn")
		flags.PrintDefaults()
	}
	flags.Parse(args)
	if flags.NArg() > 0 || o.rounds < 0 || o.tens < 0 {
		fmt.Fprintln(os.Stderr, "peers: rounds and tens are numbers, and there are no arguments; try: scripts/peers machines -h")
		return 2
	}
	return status(func(ctx context.Context) (int, error) { return measureMachines(ctx, o, os.Stdout) })
}

// machines are the prepared platforms of a comparison.
type machines struct {
	names    []string // those that are ready, in the order of machineSubjects
	prepared map[string]platform.Prepared
}

// prepareMachines makes the platforms ready; those that this host has not are said
// to w.
func prepareMachines(ctx context.Context, run *harness.Run, w io.Writer) (m *machines, err error) {
	m = &machines{prepared: map[string]platform.Prepared{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	programs, err := embedded.Workloads()
	if err != nil {
		return nil, err
	}
	store, err := images.Open(filepath.Join(cacheDir(), "images"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.PutWorkload(ctx, programs); err != nil {
		return nil, err
	}
	image, err := store.Image(images.WorkloadName, images.HostPlatform())
	if err != nil {
		return nil, err
	}
	process, err := image.Process(nil)
	if err != nil {
		return nil, err
	}
	for i, name := range machineSubjects {
		p, err := platform.Find(name)
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(run.Dir, "p"+strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		prepared, err := p.Prepare(ctx, platform.Workload{
			Image: image, Process: process,
			RunID: run.ID, NetworkID: run.NetworkID(), NetworkDir: run.Dir, Dir: dir, Cache: cacheDir(), Kernel: kernel.Options{Caches: []string{cacheDir()}},
			Memory: 256 << 20, CPUs: 1, Pids: 256,
		})
		if u, ok := errors.AsType[*platform.UnavailableError](err); ok {
			fmt.Fprintf(w, "%s is not measured: %v\n", name, u)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		m.names, m.prepared[name] = append(m.names, name), prepared
	}
	return m, nil
}

func (m *machines) close() error {
	var errs []error
	for _, p := range m.prepared {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// boot starts one machine, waits for its workload and stops it.
func (m *machines) boot(ctx context.Context, name string) (t times, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, machineDeadline, fmt.Errorf("no first instruction within %v", machineDeadline))
	defer cancel()
	t.start = harness.Now()
	i, err := m.prepared[name].Start(ctx)
	if err != nil {
		return t, err
	}
	if t.first, err = i.Output().FirstInstruction(ctx); err != nil {
		err = errors.Join(err, i.Err())
	}
	err = errors.Join(err, i.Stop(context.WithoutCancel(ctx)))
	t.exit = harness.Now()
	return t, err
}

// ten starts ten machines of one platform, in turn or at once, and gives the time
// until the last of them is gone.
func (m *machines) ten(ctx context.Context, name string, series string) (t times, err error) {
	t.start = harness.Now()
	g, ctx := errgroup.WithContext(ctx)
	if series == inTurn {
		g.SetLimit(1)
	}
	for range tenMachines {
		g.Go(func() error {
			_, err := m.boot(ctx, name)
			return err
		})
	}
	err = g.Wait()
	t.exit = harness.Now()
	return t, err
}

// machineSamples are the counted figures, by series and subject.
type machineSamples struct {
	values map[[2]string][]float64
	failed int
}

func (s *machineSamples) take(w *results, series, subject string, round, position int, t times, failure error, counts bool) error {
	if err := w.raw.add(series, subject, round, position, t, failure); err != nil {
		return err
	}
	if failure != nil {
		s.failed++
		fmt.Fprintf(os.Stderr, "peers: FAILED: %s, %s, round %d: %v\n", series, subject, round, failure)
		return nil
	}
	if counts {
		end := t.exit
		if t.first != 0 {
			end = t.first
		}
		s.values[[2]string{series, subject}] = append(s.values[[2]string{series, subject}], float64(end-t.start))
	}
	return nil
}

// measureMachines does all, and tells how many samples failed.
func measureMachines(ctx context.Context, o machineOptions, stdout io.Writer) (failed int, err error) {
	run, err := newRun(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	w, err := newResults(o.out, stdout)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	m, err := prepareMachines(ctx, run, w)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	for _, name := range m.names {
		f := m.prepared[name].Facts()
		fmt.Fprintf(w, "%s: %s; %s; %s; %s\n", name, f.Details["accelerator"], f.Details["guest kernel"], f.Details["kernel format"], f.Details["guest memory"])
	}
	fmt.Fprintf(w, "seed %d, %d rounds; load before: %s\n", o.seed, o.rounds, load())
	s := &machineSamples{values: map[[2]string][]float64{}}
	rng := rand.New(rand.NewPCG(o.seed, 0))
	for round := range o.rounds + 1 {
		for position, i := range rng.Perm(len(m.names)) {
			if ctx.Err() != nil {
				return s.failed, errors.New("interrupted; samples.csv has what was measured")
			}
			series := backToBack
			if round == 0 {
				series = warmupsSeries
			}
			t, failure := m.boot(ctx, m.names[i])
			if err := s.take(w, series, m.names[i], round, position, t, failure, round > 0); err != nil {
				return s.failed, err
			}
		}
	}
	best, err := s.printBoots(w, m.names, o.seed)
	if err != nil {
		return s.failed, err
	}
	if best != "" && o.tens > 0 {
		if err := m.tens(ctx, o, best, s, w); err != nil {
			return s.failed, err
		}
	}
	w.foot(s.failed)
	return s.failed, nil
}

// printBoots prints the boots, and gives the name of the fastest.
func (s *machineSamples) printBoots(w io.Writer, names []string, seed uint64) (best string, err error) {
	values := func(name string) []float64 { return s.values[[2]string{backToBack, name}] }
	var rows, ratios [][]string
	for _, name := range names {
		sum := result.Summarize(values(name))
		rows = append(rows, []string{name, result.FormatValue(sum.Median, "ns"), sum.FormatInterval("ns"), strconv.Itoa(sum.N)})
	}
	fmt.Fprintln(w, "\nBoot,", firstEnd)
	if err := table(w, []string{"", "median", "95% interval", "n"}, rows); err != nil {
		return "", err
	}
	for _, name := range bootSubjects {
		if len(values(name)) > 0 && (best == "" || result.Summarize(values(name)).Median < result.Summarize(values(best)).Median) {
			best = name
		}
	}
	for _, t := range []target{{best, defaultMachine, 0.75}, {snapshotMachine, defaultMachine, 0.08}} {
		if len(values(t.subject)) > 0 && len(values(t.base)) > 0 {
			ratios = append(ratios, t.ratio(t.subject+" / "+t.base, values(t.subject), values(t.base), seed))
		}
	}
	return best, table(w, ratioHeader, ratios)
}

// tens starts ten at once and ten in turn, alternating, and prints both.
func (m *machines) tens(ctx context.Context, o machineOptions, name string, s *machineSamples, w *results) error {
	used := map[string]time.Duration{}
	for round := range o.tens {
		for position, series := range []string{inTurn, atOnce} {
			if ctx.Err() != nil {
				return errors.New("interrupted; samples.csv has what was measured")
			}
			before := childrenCPU()
			t, failure := m.ten(ctx, name, series)
			used[series] += childrenCPU() - before
			if err := s.take(w, series, name, round, position, t, failure, true); err != nil {
				return err
			}
		}
	}
	var rows [][]string
	values := func(series string) []float64 { return s.values[[2]string{series, name}] }
	for _, series := range []string{inTurn, atOnce} {
		sum := result.Summarize(values(series))
		rows = append(rows, []string{series, result.FormatValue(sum.Median, "ns"), sum.FormatInterval("ns"), result.FormatValue(float64(used[series])/float64(o.tens), "ns"), strconv.Itoa(sum.N)})
	}
	fmt.Fprintf(w, "\nTen machines, %s, until the last has gone\n", name)
	if err := table(w, []string{"", "median", "95% interval", "CPU time, mean", "n"}, rows); err != nil {
		return err
	}
	if len(values(inTurn)) == 0 || len(values(atOnce)) == 0 {
		return nil
	}
	t := target{atOnce, inTurn, 0.7}
	return table(w, ratioHeader, [][]string{t.ratio(atOnce+" / "+inTurn, values(atOnce), values(inTurn), o.seed)})
}

// childrenCPU is the CPU time of all processes that have ended and been waited for
// (getrusage(2), RUSAGE_CHILDREN): of machines, QEMU's with all its threads.
func childrenCPU() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_CHILDREN, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
