// Package guesttest runs the tests of a package once more inside a virtual
// machine with Debian's kernel, whatever the host has.
package guesttest

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

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/vm"
	"vmctr/vm/kernel"
)

// A Guest is a machine to be booted.
type Guest struct {
	// Dir is for what is built; the folder Layer in it becomes the guest's root.
	Dir, Layer string

	t      *testing.T
	qemu   string
	kernel *kernel.Kernel
}

// New finds QEMU and a kernel, or skips the test.
func New(t *testing.T) *Guest {
	t.Helper()
	g := &Guest{Dir: t.TempDir(), t: t}
	g.Layer = filepath.Join(g.Dir, "layer")
	var err error
	g.qemu, err = vm.Find()
	g.Require(err, "qemu")
	cache := os.Getenv("BENCH_CACHE")
	if cache == "" {
		cache = "/var/cache/bench"
	}
	g.kernel, err = kernel.Find(kernel.Options{Caches: []string{cache}, Needs: vm.Drivers()})
	g.Require(err, "qemu")
	return g
}

// Require skips the test for an error, unless BENCH_REQUIRE names what is missing.
func (g *Guest) Require(err error, what string) {
	g.t.Helper()
	if err == nil {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), what) {
		g.t.Fatal(err)
	}
	g.t.Skip(err, "; sudo scripts/test installs it")
}

// Command runs a command that must succeed.
func (g *Guest) Command(name string, args ...string) {
	g.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		g.t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// A Run is one boot.
type Run struct {
	Name     string
	Spec     *specs.Spec // the program that runs the tests, with -test.v
	Modules  []string    // of the kernel
	Disks    []vm.Disk
	Deadline time.Duration
	Least    int               // how many tests have to pass
	Line     func(line string) // is called for each line of output; nil for none
}

// Run boots the machine and reports what its tests print. They have passed if it
// ends with status 0, the line PASS, and enough of them.
func (g *Guest) Run(r Run) {
	t := g.t
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	g.Command("go", "build", "-o", g.Dir+"/pid1", "vmctr/vm/guest")
	pid1, err := os.ReadFile(g.Dir + "/pid1")
	must(err)
	initramfs := filepath.Join(g.Dir, "initramfs")
	must(vm.Initramfs{Guest: pid1, Kernel: g.kernel, Spec: r.Spec, Layers: []string{g.Layer}, Modules: r.Modules}.Write(initramfs))
	elf, err := g.kernel.ELF(g.Dir)
	must(err)
	choice, err := vm.Choose(t.Context(), g.qemu)
	must(err)
	ctx, cancel := context.WithTimeout(t.Context(), r.Deadline)
	defer cancel()
	m, err := vm.Start(ctx, vm.Config{
		Name: r.Name, QEMU: g.qemu, Type: "q35", Accelerator: choice.Accelerator, CPUs: 2, Memory: 512 << 20,
		Kernel: elf, Initramfs: initramfs, Dir: filepath.Join(g.Dir, "m"), Disks: r.Disks,
	})
	must(err)
	stop := context.AfterFunc(ctx, func() { m.Output().Close() })
	defer stop()
	ended := false
	passed := 0
	for out := bufio.NewScanner(m.Output()); out.Scan(); {
		line := out.Text()
		ended = ended || line == "PASS"
		if strings.HasPrefix(line, "--- PASS") {
			passed++
		}
		if r.Line != nil {
			r.Line(line)
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
	case !ended || passed < r.Least:
		t.Errorf("%d tests passed inside, and the last line is not PASS", passed)
	}
}
