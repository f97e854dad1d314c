// Peers measures how fast package container starts containers, beside its
// peers: runc and crun, and a C program that does the same as fast as plain C
// can (testdata/limit.c), which is the limit.
//
//	scripts/peers            command to first instruction and to exit
//	scripts/peers -n 500     and how the 500th start and the memory grow
//	scripts/peers images     another comparison: images.go
//	scripts/peers machines   and another: machines.go
//
// All start the same: the configuration of container.DefaultSpec (all
// namespaces, users mapped, an overlay of two ID-mapped layers, the usual
// mounts, masked and read-only paths, Docker's capabilities and its seccomp
// profile, no_new_privs) with limits of memory, CPU and PIDs and rules for
// devices; and in it a static program of a few instructions. The overlay is
// mounted within the time that is measured, for every peer.
//
// Commands are compared with commands: `bench-oci run`, `runc run`, `crun run`
// and the C program, each executed for each container. None of them makes a
// veth, which is an engine's part, so these containers have loopback alone. The
// library, within this process, is compared with the C program as a process that
// starts many, with loopback and with a veth into a bridge.
//
// Rounds, not batches: each round starts every subject once, in a new random
// order. A series goes back to back, another idles before each start. A sample
// counts if the program's line came, and nothing else, and the status was 0;
// what fails is written down, counted and shown, and nothing is tried again.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"vmctr/bench/harness"
)

type options struct {
	rounds int
	idle   time.Duration
	many   int // containers that idle; 0 to leave growth out
	again  int // how often many are started
	seed   uint64
	out    string

	programs string // where scripts/peers has built them
}

func main() {
	if len(os.Args) > 6 && os.Args[1] == serveCommand {
		if err := serveLibrary(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "peers:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 6 && os.Args[1] == importCommand {
		if err := importImage(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "peers:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 4 && os.Args[1] == archivesCommand {
		set, err := makeArchives(context.Background(), os.Args[2], os.Args[3])
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(set)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "peers:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "images":
			os.Exit(imagesMain(os.Args[2:]))
		case "machines":
			os.Exit(machinesMain(os.Args[2:]))
		}
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 100, "rounds of each series")
	flag.DurationVar(&o.idle, "idle", 100*time.Millisecond, "how long the second series idles before each start")
	flag.IntVar(&o.many, "n", 0, "also start so many containers, and measure the last start and the memory")
	flag.IntVar(&o.again, "again", 3, "how often -n starts them, with each subject")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano())&(1<<32-1), "seed of the random order")
	flag.StringVar(&o.out, "out", "results-peers-"+time.Now().Format("20060102-150405"), "folder for the raw samples and the tables")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Usage: scripts/peers [FLAGS]   compares the start of containers with runc, crun and a C program")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 0 || o.many < 0 || o.many > 1000 || o.again < 1 {
		fmt.Fprintln(os.Stderr, "peers: rounds, n and again are numbers (n at most 1000), and there are no arguments; try: scripts/peers -h")
		os.Exit(2)
	}
	exe, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	o.programs = filepath.Dir(exe)
	os.Exit(status(func(ctx context.Context) (int, error) { return measure(ctx, o, os.Stdout) }))
}

// status makes a comparison, until a signal ends it, and gives the exit status: 1 if it
// failed, or some of its samples did.
func status(measure func(context.Context) (failed int, err error)) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	failed, err := measure(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
	}
	if err != nil || failed > 0 {
		return 1
	}
	return 0
}

// newRun begins a run, after what an earlier one has left is removed.
func newRun(ctx context.Context) (*harness.Run, error) {
	swept, err := harness.Sweep(ctx)
	for _, what := range swept {
		fmt.Fprintln(os.Stderr, "peers: removed what an earlier run left:", what)
	}
	if err != nil {
		return nil, err
	}
	return harness.NewRun()
}

// results is the folder of a comparison's results.
type results struct {
	io.Writer // to the standard output, and to peers.txt
	raw       *raw
	text      *os.File
	samples   string // the path of raw
}

func newResults(dir string, stdout io.Writer) (*results, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	text, err := os.Create(filepath.Join(dir, "peers.txt"))
	if err != nil {
		return nil, err
	}
	samples := filepath.Join(dir, "samples.csv")
	raw, err := newRaw(samples)
	if err != nil {
		return nil, errors.Join(err, text.Close())
	}
	return &results{io.MultiWriter(stdout, text), raw, text, samples}, nil
}

func (r *results) close() error { return errors.Join(r.raw.close(), r.text.Close()) }

// foot says below the tables where the samples are, and whether some failed.
func (r *results) foot(failed int) {
	fmt.Fprintf(r, "\nLoad after: %s; what else runs is in every figure.\nRaw samples: %s\n", load(), r.samples)
	if failed > 0 {
		fmt.Fprintf(r, "%d samples FAILED; samples.csv says how.\n", failed)
	}
}

// measure does all, and tells how many samples failed.
func measure(ctx context.Context, o options, stdout io.Writer) (failed int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("containers with limits need root: sudo scripts/peers")
	}
	run, err := newRun(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	s, err := newSetup(ctx, run, o.programs)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	w, err := newResults(o.out, stdout)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.close()) }()

	fmt.Fprintf(w, "%s\nseed %d, %d rounds; load before: %s\n", s.describe(ctx), o.seed, o.rounds, load())
	if o.rounds > 0 {
		samples, err := s.rounds(ctx, o, w.raw)
		if err != nil {
			return 0, err
		}
		failed += samples.failed()
		if err := samples.print(w, o.seed); err != nil {
			return failed, err
		}
	}
	if o.many > 0 {
		g, err := s.growth(ctx, o, w.raw)
		if err != nil {
			return failed, err
		}
		if err := g.print(w, o); err != nil {
			return failed, err
		}
	}
	w.foot(failed)
	return failed, nil
}

// cacheDir is where images, guest kernels and file systems are kept: root's.
func cacheDir() string { return cmp.Or(os.Getenv("BENCH_CACHE"), "/var/cache/bench") }

// load is the host's load averages, of 1, 5 and 15 minutes (proc_loadavg(5)).
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}
