package cgroup_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vmctr/container"
	"vmctr/vm"
	"vmctr/vm/kernel"
)

const inGuest = "CGROUP_TEST_GUEST"

// TestInGuest runs the tests of this package once more in a virtual machine
// with Debian's kernel, which has cgroup v2 and every controller of it, whatever
// the host has. The tests are the only program there.
func TestInGuest(t *testing.T) {
	if os.Getenv(inGuest) != "" {
		t.Skip("this is the guest")
	}
	if testing.Short() {
		t.Skip("boots a virtual machine; run without -short")
	}
	require := func(err error) {
		t.Helper()
		if err == nil {
			return
		}
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "qemu") {
			t.Fatal(err)
		}
		t.Skip(err, "; sudo scripts/test installs it")
	}
	qemu, err := vm.Find()
	require(err)
	cache := os.Getenv("BENCH_CACHE")
	if cache == "" {
		cache = "/var/cache/bench"
	}
	k, err := kernel.Find(kernel.Options{Caches: []string{cache}})
	require(err)

	dir := t.TempDir()
	layer := filepath.Join(dir, "layer")
	for _, args := range [][]string{
		{"test", "-c", "-o", layer + "/cgroup.test", "."},
		{"build", "-o", dir + "/pid1", "vmctr/vm/guest"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	pid1, err := os.ReadFile(dir + "/pid1")
	if err != nil {
		t.Fatal(err)
	}
	spec := container.DefaultSpec([]string{"/cgroup.test", "-test.v", "-test.timeout=2m"}, []string{inGuest + "=1", "BENCH_REQUIRE=root"}, "/")
	initramfs := filepath.Join(dir, "initramfs")
	if err := (vm.Initramfs{Guest: pid1, Kernel: k, Spec: spec, Layers: []string{layer}}).Write(initramfs); err != nil {
		t.Fatal(err)
	}
	elf, err := k.ELF(dir)
	if err != nil {
		t.Fatal(err)
	}
	choice, err := vm.Choose(t.Context(), qemu)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m, err := vm.Start(ctx, vm.Config{
		Name: "bench-test-cgroup", QEMU: qemu, Type: "q35", Accelerator: choice.Accelerator, CPUs: 2, Memory: 512 << 20,
		Kernel: elf, Initramfs: initramfs, Dir: filepath.Join(dir, "m"),
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { m.Output().Close() })
	defer stop()
	var lines []string
	passed := 0
	for out := bufio.NewScanner(m.Output()); out.Scan(); {
		line := out.Text()
		lines = append(lines, line)
		if strings.HasPrefix(line, "--- PASS") {
			passed++
		}
		// All is there that any test wants, but what is version 1's.
		if name, ok := strings.CutPrefix(line, "--- SKIP: "); ok && !strings.HasPrefix(name, "TestInGuest ") && !strings.HasPrefix(name, "TestCompileDevices ") {
			t.Error("skipped in the guest:", name)
		}
		t.Log(line)
	}
	err = m.Err()
	if stopErr := m.Stop(context.Background()); stopErr != nil {
		t.Error(stopErr)
	}
	switch {
	case ctx.Err() != nil:
		t.Error("the tests did not end in time")
	case err == nil || !strings.Contains(err.Error(), "it ended by itself: exit status 0"):
		t.Errorf("the tests inside failed: %v", err)
	case !slices.Contains(lines, "PASS") || passed < 20:
		t.Errorf("%d tests passed inside, and the last line is not PASS", passed)
	}
}
