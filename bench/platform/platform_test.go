package platform

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vmctr/bench/embedded"
	"vmctr/container/cgroup/cgrouptest"
	"vmctr/container/network"
	"vmctr/images"
	"vmctr/vm"
	"vmctr/vm/kernel"
)

// required tells whether BENCH_REQUIRE turns a skip for want of what into a
// failure.
func required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), what)
}

// prepare makes a platform ready with the workload's image, or skips.
func prepare(t *testing.T, p Platform, args ...string) (Prepared, Workload) {
	t.Helper()
	return prepareOn(t, p, strings.ToLower(rand.Text()[:8]), t.TempDir(), args...)
}

// prepareOn is the same with a network that others may be on.
func prepareOn(t *testing.T, p Platform, networkID, networkDir string, args ...string) (Prepared, Workload) {
	t.Helper()
	ctx := context.Background()
	if err := p.Available(ctx); err != nil {
		if required("root") && required("qemu") && (!p.Info().Optional || required("peers")) {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	program, err := embedded.Workload()
	if err != nil {
		if os.Getenv("BENCH_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	img, err := images.Workload(program)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store, err := images.Open(filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := store.Put(t.Context(), images.WorkloadName, img)
	if err != nil {
		t.Fatal(err)
	}
	process, err := image.Process(args)
	if err != nil {
		t.Fatal(err)
	}
	w := Workload{
		Image: image, Process: process, RunID: strings.TrimPrefix(cgrouptest.Group(t), "/"), NetworkID: networkID, NetworkDir: networkDir,
		Dir: filepath.Join(dir, "run"), Cache: filepath.Join(dir, "cache"), Kernel: kernel.Options{Caches: []string{cache()}, Needs: vm.Drivers()}, Memory: 256 << 20, CPUs: 1, Pids: 64,
	}
	if len(args) > 0 && args[0] == "serve" {
		w.Port = 8080
	}
	if err := os.Mkdir(w.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	prepared, err := p.Prepare(ctx, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := prepared.Close(); err != nil {
			t.Error(err)
		}
		if os.Geteuid() == 0 {
			noPorts(t, w.NetworkID)
			// So is the bridge.
			if _, err := network.Sweep(ctx, func(id string) bool { return id == w.NetworkID }); err != nil {
				t.Error(err)
			}
		}
	})
	return prepared, w
}

// noPorts is an error if a network has ports still: they go with their instances, a
// moment later.
func noPorts(t *testing.T, id string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		ports, err := filepath.Glob("/sys/class/net/" + id + "-[vt]*")
		if len(ports) == 0 && err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("left behind: %q, %v", ports, err)
			return
		}
	}
}

func cache() string {
	if d := os.Getenv("BENCH_CACHE"); d != "" {
		return d
	}
	if os.Geteuid() == 0 {
		return "/var/cache/bench"
	}
	d, _ := os.UserCacheDir()
	return filepath.Join(d, "bench")
}

// TestPlatforms holds every platform to the same contract.
func TestPlatforms(t *testing.T) {
	for _, p := range All() {
		if _, ok := p.(byEngine); ok {
			continue // TestEngines starts one
		}
		t.Run(p.Info().Name, func(t *testing.T) { testContract(t, p) })
	}
}

func testContract(t *testing.T, p Platform) {
	prepared, w := prepare(t, p, "serve", ":8080")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	before := entries(t, w.Dir)
	begin := now()
	i, err := prepared.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			i.Stop(ctx)
		}
	}()
	first, err := i.Output().FirstInstruction(ctx)
	if err != nil {
		t.Fatal(err, i.Err())
	}
	marks := i.Timeline()
	if len(marks) == 0 || marks[0].Phase != "start" || marks[0].Ns < begin {
		t.Errorf("the timeline does not begin with start: %v", marks)
	}
	if !slices.IsSortedFunc(marks, func(a, b Mark) int { return int(a.Ns - b.Ns) }) {
		t.Errorf("the timeline is out of order: %v", marks)
	}
	if first <= begin || first > now() {
		t.Errorf("first instruction at %d, started at %d", first, begin)
	}
	if p.Info().NoSystem {
		testMute(ctx, t, i)
	} else {
		testIdentity(ctx, t, p, w, i)
	}
	if err := i.Err(); err != nil {
		t.Errorf("a running instance: %v", err)
	}
	pids, err := i.Processes()
	if err != nil || len(pids) == 0 {
		t.Fatalf("processes %v: %v", pids, err)
	}
	bytes, ok, err := i.CgroupMemory()
	if err != nil || ok && bytes <= 0 {
		t.Errorf("cgroup memory %d, %v: %v", bytes, ok, err)
	}
	stopped = true
	if err := i.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("process %d is still there after Stop", pid)
		}
	}
	if after := entries(t, w.Dir); !slices.Equal(before, after) {
		t.Errorf("the instance left files: %v, had %v", after, before)
	}
}

// testMute: what has no operating system says so.
func testMute(ctx context.Context, t *testing.T, i Instance) {
	if _, err := i.Output().Identity(ctx); !errors.Is(err, ErrNoSystem) {
		t.Errorf("its identity: %v", err)
	}
	if _, err := i.Delay(ctx); !errors.Is(err, ErrNoSystem) {
		t.Errorf("its delay: %v", err)
	}
}

// testIdentity: the workload is the image's, and in a machine of its own where it should be.
func testIdentity(ctx context.Context, t *testing.T, p Platform, w Workload, i Instance) {
	id, err := i.Output().Identity(ctx)
	if err != nil {
		t.Fatal(err, i.Err())
	}
	address, err := i.Address(ctx)
	if errors.Is(err, ErrNoNetwork) != p.Info().Loopback {
		t.Errorf("its address: %v, %v", address, err)
	}
	if err == nil {
		if err := answers(ctx, new(net.Dialer).DialContext, address); err != nil {
			t.Error(err, i.Err())
		}
	}
	if n := len(w.Process.Args) - 1; p.Info().Kind == "process" {
		w.Process.Args[n] = address.String() // its own
	}
	if !slices.Equal(id.Args, w.Process.Args) {
		t.Errorf("arguments %q, want %q", id.Args, w.Process.Args)
	}
	if id.DataSHA256 == "" {
		t.Error("the workload did not find its data file")
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	sameKernel := id.BootID == strings.TrimSpace(string(boot))
	if want := p.Info().Kind == "process" || p.Info().Kind == "container"; sameKernel != want {
		t.Errorf("shares the host's kernel: %v, want %v", sameKernel, want)
	}
	// In a guest, PID 1 is the guest's init; a container's program is it.
	if k := p.Info().Kind; (k == "container" || k == "nested") && id.PID != 1 {
		t.Errorf("PID %d, want 1", id.PID)
	}
}

// TestEndsByItself: a workload that ends is the instance's failure, and says
// how it ended.
func TestEndsByItself(t *testing.T) {
	for _, p := range All() {
		if _, ok := p.(byEngine); ok || p.Info().NoSystem {
			continue // TestEngines starts an engine; and what has no system has no arguments
		}
		t.Run(p.Info().Name, func(t *testing.T) { testEndsByItself(t, p) })
	}
}

func testEndsByItself(t *testing.T, p Platform) {
	prepared, _ := prepare(t, p, "no-such-verb")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	i, err := prepared.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Stop(ctx)
	// It says who it is, then finds that it does not know the verb.
	if _, err := i.Output().line(ctx, 5); err == nil || ctx.Err() != nil {
		t.Fatalf("waiting for a line that does not come: %v", err)
	}
	err = i.Err()
	if err == nil {
		t.Fatal("no error from an instance that has ended")
	}
	if !IsInstanceFault(err) {
		t.Errorf("%v is not the instance's fault", err)
	}
	if !strings.Contains(err.Error(), "no-such-verb") || !strings.Contains(err.Error(), "status 1") {
		t.Errorf("the error does not say how it ended:\n%v", err)
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
	}
	return names
}
