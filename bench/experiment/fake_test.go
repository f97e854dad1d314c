package experiment

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"vmctr/bench/harness"
	"vmctr/bench/platform"
	"vmctr/images"
	"vmctr/report/result"
)

// fake prepares instances that are shell scripts in the workload's place: the
// output is a real one, and a test decides about all else.
type fake struct {
	platform.Prepared
	startErr error
	change   func(*instance)                           // before it is given out
	wrap     func(platform.Instance) platform.Instance // in what it is given out; nil for nothing

	last *instance
}

// instance is a process whose answers a test can replace.
type instance struct {
	platform.Instance
	started   int64 // when Start returned
	err       error // what Err says, in place of nothing
	stopErr   error
	pids      func() ([]int, error)
	bytes     int64 // of its cgroup
	hasGroup  bool
	groupErr  error
	parts     func() (map[string]int64, error)
	delay     time.Duration
	delayErr  error
	address   netip.AddrPort // the zero one for none
	stopped   atomic.Int64
	cancelled error // of the context that Stop got
}

// healthy says what a workload says, and idles.
const healthy = `echo first-instruction; echo '{"boot_id":"boot","pid":7,"args":["a"]}'; exec sleep 60`

func newFake(t *testing.T, script string) *fake {
	t.Helper()
	f := &fake{Prepared: prepared(t, script), change: func(*instance) {}}
	t.Cleanup(func() {
		if f.last != nil && f.last.stopped.Load() == 0 {
			f.last.Stop(context.Background())
		}
	})
	return f
}

var (
	temp  string                           // of the images
	ready = map[string]platform.Prepared{} // by script
)

func TestMain(m *testing.M) {
	var err error
	if temp, err = os.MkdirTemp("", "experiment-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(temp)
	os.Exit(code)
}

// prepared makes the platform "process" ready to start a script, once.
func prepared(t *testing.T, script string) platform.Prepared {
	t.Helper()
	if p := ready[script]; p != nil {
		return p
	}
	img, err := images.Workload([]byte("#!/bin/sh\n" + script + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := images.Open(filepath.Join(temp, "images"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := store.Put(t.Context(), images.WorkloadName, img)
	if err != nil {
		t.Fatal(err)
	}
	process, err := image.Process(nil)
	if err != nil {
		t.Fatal(err)
	}
	process.Env = []string{"PATH=" + os.Getenv("PATH")}
	for _, p := range platform.All() {
		if p.Info().Name == "process" {
			if ready[script], err = p.Prepare(t.Context(), platform.Workload{Image: image, Process: process, Dir: temp}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return ready[script]
}

func (f *fake) Start(ctx context.Context) (platform.Instance, error) {
	if f.startErr != nil {
		return nil, f.startErr
	}
	i, err := f.Prepared.Start(ctx)
	if err != nil {
		return nil, err
	}
	f.last = &instance{Instance: i, started: harness.Now()}
	f.change(f.last)
	if f.wrap != nil {
		return f.wrap(f.last), nil
	}
	return f.last, nil
}

func (i *instance) Timeline() []platform.Mark {
	return []platform.Mark{{Phase: "start", Ns: i.started - 1000}, {Phase: "exec", Ns: i.started}}
}

func (i *instance) Processes() ([]int, error) {
	if i.pids != nil {
		return i.pids()
	}
	return i.Instance.Processes()
}

func (i *instance) CgroupMemory() (int64, bool, error) { return i.bytes, i.hasGroup, i.groupErr }

func (i *instance) MemoryParts(context.Context) (map[string]int64, error) {
	if i.parts == nil {
		return nil, nil
	}
	return i.parts()
}

func (i *instance) Delay(context.Context) (time.Duration, error) { return i.delay, i.delayErr }

func (i *instance) Address(context.Context) (netip.AddrPort, error) {
	if !i.address.IsValid() {
		return i.address, platform.ErrNoNetwork
	}
	return i.address, nil
}

// Err does not wait: a process of ours ends when the test says so.
func (i *instance) Err() error { return i.err }

func (i *instance) Stop(ctx context.Context) error {
	i.stopped.Add(1)
	i.cancelled = ctx.Err()
	if err := i.Instance.Stop(ctx); err != nil {
		return err
	}
	return i.stopErr
}

// measure runs one trial of an experiment, as the harness does.
func measure(t *testing.T, e Experiment, f *fake) (result.Sample, result.Fault, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return measureIn(ctx, e, f)
}

func measureIn(ctx context.Context, e Experiment, f *fake) (result.Sample, result.Fault, error) {
	trial := e.Plan([]Subject{{Name: "fake", Prepared: f}}, Limits{Rounds: 1}).Trials[0]
	s, err := trial.Measure(ctx)
	return s, trial.Fault(err), err
}
