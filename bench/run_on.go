package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/platform"
	"vmctr/vm"
)

// bench run --on: the same image, and the same program with the same user,
// environment and folder, in a virtual machine. What it prints is the same too,
// but for what it says of the kernel: an image has none, and runs on any.

const (
	defaultMachineMemory = 512 << 20
	// bootPatience is how long a machine may take until the program runs: an
	// emulated one, with others beside it, some ten seconds. PID 1 of the guest
	// gives up by itself after 60.
	bootPatience = 90 * time.Second
)

// checkOn refuses the flags that mean nothing in a machine.
func (c *runCommand) checkOn() error {
	if _, ok := platform.MachineType(c.On); !ok {
		return fmt.Errorf("--on %s: there is no such virtual machine; there are: %q", c.On, platform.Machines())
	}
	for _, f := range []struct {
		flag  string
		given bool
		why   string
	}{
		{"--volume", len(c.Volume) > 0, "a machine sees no folder of the host"},
		{"--network " + c.Network, !slices.Contains([]string{"", "none", "bridge"}, c.Network), "a machine's network is its own kernel's: bridge, or none"},
		{"--cap-add", len(c.CapAdd) > 0, "root of a machine of its own has all capabilities"},
		{"--cap-drop", len(c.CapDrop) > 0, "the walls are the machine's, and its root has all capabilities"},
		{"--security-opt", len(c.SecurityOpt) > 0, "the walls are the machine's"},
		{"--read-only", c.ReadOnly, "the layers are read-only, and what is written is in the machine's memory"},
		{"--userns", c.Userns != "", "a machine has users of its own"},
		{"--pids-limit", c.PidsLimit > 0, "the limits of a machine are its memory and its processors"},
		{"--init", c.Init, "a machine has an init"},
		{"--explain", c.Explain, "it shows how a container is made"},
	} {
		if f.given {
			return fmt.Errorf("%s with --on %s: %s", f.flag, c.On, f.why)
		}
	}
	return nil
}

func (c *runCommand) runOn(ctx context.Context, s streams) (code int, err error) {
	if err := c.checkOn(); err != nil {
		return 0, err
	}
	c.Network = cmp.Or(c.Network, "bridge")
	o, err := c.options()
	if err != nil {
		return 0, err
	}
	signals := forwardable()
	defer signals.stop()
	run, err := newRun(ctx, s)
	if err != nil {
		return 0, err
	}
	b := &box{runCommand: c, options: o, run: run}
	defer func() { err = errors.Join(err, b.undoAll(), run.Close()) }()
	if b.Name != "" {
		if err := run.Claim(b.Name); err != nil {
			return 0, err
		}
	}
	cfg, err := b.machine(ctx, s)
	if err != nil {
		return 0, err
	}
	m, err := vm.Start(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Stop(ctx)) }()
	if err := os.WriteFile(filepath.Join(run.Dir, "pid"), []byte(strconv.Itoa(m.PID())), 0o600); err != nil {
		return 0, err
	}
	io := joinStreams(s, m, c.TTY)
	defer io.close()
	if c.Interactive && !c.TTY {
		go m.Input(os.Stdin) // for as long as bench runs
	}
	why := whyEnded(ctx, m)
	switch runs, sig := signals.whileBooting(ctx, m); {
	case sig != 0:
		return 128 + int(sig), nil
	case !runs:
		return 0, why()
	}
	resize := func() {}
	if c.TTY {
		if resize, err = io.joinTerminal(c.Interactive); err != nil {
			return 0, err
		}
	}
	signals.forward(s, stubborn{m}, resize)
	io.finish()
	err = why()
	status, ok := m.Exited()
	if !ok {
		return 0, err
	}
	if g, is := errors.AsType[*vm.GuestError](err); is && g.Kind == vm.OutOfMemory { // it says what no status does
		fmt.Fprintln(s.err, "bench:", g.Err)
	}
	return status.ExitCode(), nil
}

// whyEnded ends a machine that QEMU has stopped and that would go on by itself no more,
// and tells why one has ended.
func whyEnded(ctx context.Context, m *vm.Machine) func() error {
	ctx, cancel := context.WithCancel(ctx)
	halted := make(chan error, 1)
	go func() {
		err := m.Halts(ctx)
		if err != nil {
			m.Kill()
		}
		halted <- err
	}()
	return func() error {
		cancel()
		return cmp.Or(<-halted, m.Err())
	}
}

// machine prepares the machine.
func (b *box) machine(ctx context.Context, s streams) (cfg vm.Config, err error) {
	memory, cpus, err := b.machineSize()
	if err != nil {
		return cfg, err
	}
	disks, err := openDisks(b.Disk, b.run.Dir)
	if err != nil {
		return cfg, err
	}
	typ, _ := platform.MachineType(b.On)
	wanted := b.Platform
	if arch := vm.Architecture(typ); wanted == "" && arch != runtime.GOARCH {
		wanted = arch
	}
	image, err := openImage(ctx, b.image, wanted, b.checkMachine)
	if err != nil {
		return cfg, err
	}
	if b.spec, err = b.config(image); err != nil {
		return cfg, err
	}
	if b.TTY {
		b.spec.Process.ConsoleSize = windowSize()
	}
	if err := b.connectMachine(ctx); err != nil {
		return cfg, err
	}
	cover, err := b.cover(s, image)
	if err != nil {
		return cfg, err
	}
	cfg, _, err = platform.Guest{
		Spec: b.spec, Layers: image.dirs, Disks: image.disks, Cover: []string{cover}, Streams: true, Input: b.Interactive,
		Remember: true, Dir: b.run.Dir, Cache: cacheDir(), Kernel: kernelOptions(""), Memory: memory, CPUs: cpus, Modules: driversFor(disks), Network: b.card != nil, Vsock: true,
	}.Machine(ctx, typ)
	cfg.Disks, cfg.Network = disks, b.card
	if b.card != nil && b.card.Tap != nil {
		b.card.Vhost = platform.UsesVhost(cfg.Accelerator)
	}
	cfg.Name, cfg.Dir = b.run.ID, filepath.Join(b.run.Dir, machineFolder)
	if isRoot() {
		cfg.Cgroup = "/" + b.run.ID
	}
	return cfg, err
}

// machineSize reads the limits: a machine has whole MiB and whole processors.
func (b *box) machineSize() (memory int64, cpus int, err error) {
	memory, cpus = defaultMachineMemory, 1
	if b.resources.Memory != nil {
		const mib = 1 << 20
		memory = (*b.resources.Memory.Limit + mib - 1) / mib * mib
	}
	if b.resources.CPU != nil {
		n := float64(*b.resources.CPU.Quota) / float64(*b.resources.CPU.Period)
		if n != math.Trunc(n) || n > 255 {
			return 0, 0, fmt.Errorf("--cpus %s with --on %s: a machine has whole processors, at most 255", b.CPUs, b.On)
		}
		cpus = int(n)
	}
	return memory, cpus, nil
}

// cover makes a folder with what covers the image: the files of /etc that are a
// host's and not an image's. The folders themselves are as in the image.
func (b *box) cover(s streams, image imageTree) (dir string, err error) {
	files, err := b.hostFiles(s)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(b.run.Dir, "cover")
	etc := filepath.Join(dir, "etc")
	if err := os.MkdirAll(etc, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{".", "etc"} {
		mode := fs.FileMode(0o755)
		for _, layer := range image.dirs { // the highest counts
			if st, err := os.Lstat(filepath.Join(layer, name)); err == nil && st.IsDir() {
				mode = st.Mode()
			}
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil { // whatever our umask is
			return "", err
		}
	}
	for name, content := range files {
		path := filepath.Join(etc, name)
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o644), os.Chmod(path, 0o644)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// whileBooting waits until the program runs, or the machine has ended, or has had
// its time. A signal that would end us ends the wait: there is no program yet that
// could get it.
func (s runSignals) whileBooting(ctx context.Context, m *vm.Machine) (runs bool, ended syscall.Signal) {
	ctx, cancel := context.WithTimeout(ctx, bootPatience)
	defer cancel()
	booted := make(chan bool, 1)
	go func() { booted <- m.Running(ctx) }()
	for {
		select {
		case runs := <-booted:
			return runs, 0
		case sig := <-s:
			n, ok := sig.(syscall.Signal)
			if ok && slices.Contains([]syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}, n) {
				cancel()
				<-booted
				return false, n
			}
		}
	}
}
