package vm

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/container"
	"vmctr/container/cgroup/cgrouptest"
	"vmctr/vm/guest/wire"
	"vmctr/vm/kernel"
)

// These tests start real machines, under TCG, which every host has.

// build compiles a program of this module for a guest.
func build(t *testing.T, pkg string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// machineOf is a machine with a program of this module as its workload, and
// another as PID 1, if pid1 names one.
func machineOf(t *testing.T, workload, pid1 string, args ...string) Config {
	t.Helper()
	return machineWith(t, Initramfs{}, workload, pid1, args...)
}

// machineWith is the same with more in its initramfs.
func machineWith(t *testing.T, i Initramfs, workload, pid1 string, args ...string) Config {
	t.Helper()
	c := Config{Name: "bench-test", QEMU: qemu(t), Type: "q35", Accelerator: TCG, CPUs: 1, Memory: 256 << 20}
	cache := os.Getenv("BENCH_CACHE")
	if cache == "" {
		cache = "/var/cache/bench"
	}
	k, err := kernel.Find(kernel.Options{Caches: []string{cache}, Needs: Drivers()})
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "qemu") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	if c.Kernel, err = k.ELF(filepath.Join(dir, "vmlinux")); err != nil {
		t.Fatal(err)
	}
	layer := filepath.Join(dir, "layer")
	program := build(t, workload)
	if err := errors.Join(os.Mkdir(layer, 0o755), os.WriteFile(filepath.Join(layer, "program"), program, 0o755)); err != nil {
		t.Fatal(err)
	}
	if pid1 == "" {
		pid1 = "./guest"
	}
	c.Initramfs = filepath.Join(dir, "initramfs")
	i.Guest, i.Kernel, i.Layers, i.Spec = build(t, pid1), k, []string{layer}, container.DefaultSpec(append([]string{"/program"}, args...), nil, "/")
	i.Spec.Hostname = "guest-of-test"
	if err := i.Write(c.Initramfs); err != nil {
		t.Fatal(err)
	}
	c.Dir = filepath.Join(dir, "m")
	return c
}

// start starts a machine, and stops it at the end of the test.
func start(t *testing.T, c Config) (m *Machine, lines *bufio.Scanner) {
	t.Helper()
	m, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, m) })
	return m, bufio.NewScanner(m.Output())
}

// stopped stops a machine, of which nothing may be left.
func stopped(t *testing.T, m *Machine) {
	t.Helper()
	m.Output().Close()
	if err := m.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(m.cfg.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is left: %v", err)
	}
	if _, err := os.Stat("/proc/" + strconv.Itoa(m.PID())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its process is left: %v", err)
	}
}

func isGuestError(t *testing.T, err error, texts ...string) {
	t.Helper()
	if _, ok := errors.AsType[*GuestError](err); !ok {
		t.Fatalf("%v is not a *GuestError", err)
	}
	for _, want := range texts {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

// within is a context for what takes an emulated guest a few seconds, and a
// minute on a busy host.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestMachine(t *testing.T) {
	c := machineOf(t, "vmctr/bench/workload", "", "idle")
	if os.Geteuid() == 0 {
		c.Cgroup = cgrouptest.Group(t) + "/m"
	}
	begin := now()
	m, lines := start(t, c)
	if err := m.Err(); err == nil || !strings.Contains(err.Error(), "not ready (it hangs, or is slow): nothing was heard of its PID 1") {
		t.Errorf("a machine that has just been switched on: %v", err)
	}
	if !m.Running(within(t)) {
		t.Fatal(m.Err())
	}
	if err := m.Err(); err != nil {
		t.Errorf("a machine that is well: %v", err)
	}
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{`) || !strings.Contains(lines.Text(), `"hostname":"guest-of-test"`) {
		t.Errorf("the workload says %q (%v)", lines.Text(), lines.Err())
	}
	var phases []string
	marks := m.Timeline()
	for _, k := range marks {
		phases = append(phases, k.Phase)
	}
	want := []string{"start", PhaseQEMU, PhaseFirmware, PhaseLoader, PhaseEntry, wire.PhaseKernel, wire.PhaseInit, wire.PhaseModules, wire.PhaseRoot, wire.PhasePorts, wire.PhaseNetwork, wire.PhaseWorkload, wire.PhaseRunning}
	if !slices.Equal(phases, want) {
		t.Errorf("phases %q, want %q", phases, want)
	}
	if !slices.IsSortedFunc(marks, func(a, b Mark) int { return int(a.Ns - b.Ns) }) || marks[0].Ns < begin || marks[len(marks)-1].Ns > now() {
		t.Errorf("the timeline is out of order, or not of this start: %v", marks)
	}
	for range 3 {
		if d, err := m.Ping(within(t)); err != nil || d <= 0 {
			t.Errorf("a message there and back took %v: %v", d, err)
		}
	}
	if m.Version() == "" {
		t.Error("QEMU has no version")
	}
	if g := m.Cgroup(); g != nil {
		if pids, err := g.Processes(); err != nil || !slices.Contains(pids, m.PID()) {
			t.Errorf("its cgroup has the processes %v (%v), without QEMU, %d", pids, err, m.PID())
		}
		// Its guest has booted: a kernel and the initramfs are in its RAM.
		if n, err := g.Memory(); err != nil || n < 32<<20 {
			t.Errorf("its cgroup accounts for %d bytes: %v", n, err)
		}
	}
	// QEMU is killed in the middle.
	if err := unix.Kill(m.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.Done():
	case <-within(t).Done():
		t.Fatal("does not end after SIGKILL")
	}
	isGuestError(t, m.Err(), "QEMU ended: killed by signal SIGKILL")
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("its output ends with %v", err)
	}
}

// TestWorkloadEnds: the machine goes down with its workload, and the status is
// told.
func TestWorkloadEnds(t *testing.T) {
	m, _ := start(t, machineOf(t, "vmctr/bench/workload", "", "no-such-verb"))
	select {
	case <-m.Done():
	case <-within(t).Done():
		t.Fatal(m.Err())
	}
	isGuestError(t, m.Err(), "it ended by itself: exit status 1", `unknown arguments ["no-such-verb"]`)
}

// TestNoPID1: a kernel that finds no PID 1 panics before anything else runs.
func TestNoPID1(t *testing.T) {
	c := machineOf(t, "vmctr/bench/workload", "", "idle")
	c.Cmdline = "rdinit=/nowhere init=/nowhere"
	m, _ := start(t, c)
	select {
	case <-m.Done():
	case <-within(t).Done():
		t.Fatal(m.Err())
	}
	if m.Running(t.Context()) {
		t.Error("its workload runs")
	}
	isGuestError(t, m.Err(), "the guest's kernel has panicked: not syncing: ", "Kernel panic - not syncing")
}

// TestPanic: a kernel that panics later tells QEMU.
func TestPanic(t *testing.T) {
	m, lines := start(t, machineOf(t, "./testdata/panic", ""))
	if !lines.Scan() || lines.Text() != "about to panic" {
		t.Fatalf("the workload says %q: %v", lines.Text(), m.Err())
	}
	select {
	case <-m.Done():
	case <-within(t).Done():
		t.Fatal(m.Err())
	}
	isGuestError(t, m.Err(), "the guest's kernel has panicked: not syncing: sysrq triggered crash")
}

// TestSilent: a guest whose PID 1 says nothing is not ready, for as long as one
// waits.
func TestSilent(t *testing.T) {
	c := machineOf(t, "vmctr/bench/workload", "vmctr/bench/workload")
	c.Cmdline = "-- idle" // what follows are arguments of PID 1
	m, _ := start(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if m.Running(ctx) {
		t.Fatal("a workload runs, and there is none")
	}
	isGuestError(t, m.Err(), "not ready (it hangs, or is slow): nothing was heard of its PID 1")
}

// TestStartFails: what QEMU says when it does not start is in the error, and
// nothing is left.
func TestStartFails(t *testing.T) {
	hangs := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(hangs, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		mutate func(*Config)
		want   string
	}{
		{"machine type", func(c *Config) { c.Type = "toaster" }, "is none of"},
		{"no kernel", func(c *Config) { c.Kernel = "/nowhere/vmlinux" }, "/nowhere/vmlinux"},
		{"no QEMU", func(c *Config) { c.QEMU = "/nowhere/qemu" }, "no such file"},
		{"a QEMU that hangs", func(c *Config) { c.QEMU = hangs }, "QMP greeting"},
		{"a long path", func(c *Config) { c.Dir = filepath.Join(filepath.Dir(c.Dir), strings.Repeat("x", 100)) }, "107 bytes"},
		{"a folder that exists", func(c *Config) { c.Dir = filepath.Dir(c.Dir) }, "file exists"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			c := sample()
			c.QEMU, c.Accelerator, c.Dir = qemu(t), TCG, filepath.Join(dir, "m")
			tt.mutate(&c)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if tt.name != "a QEMU that hangs" {
				ctx = within(t)
			}
			m, err := Start(ctx, c)
			if err == nil {
				m.Stop(t.Context())
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error lacks %q: %v", tt.want, err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

// TestTypes boots the machine types that the other tests do not.
func TestTypes(t *testing.T) {
	c := machineOf(t, "vmctr/bench/workload", "", "idle")
	for _, tt := range []struct{ typ, firmware string }{{"pc", Qboot}, {"microvm", ""}} {
		t.Run(tt.typ, func(t *testing.T) {
			c.Type, c.Firmware = tt.typ, tt.firmware
			m, lines := start(t, c)
			if !m.Running(within(t)) {
				t.Fatal(m.Err())
			}
			if !lines.Scan() {
				t.Errorf("no output: %v", lines.Err())
			}
		})
	}
}
