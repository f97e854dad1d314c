// Guest is PID 1 of a virtual machine: the first program that its kernel
// starts, and the last one to run.
//
// A kernel that has booted knows how to run one program and nothing else. In a
// distribution that program is systemd, and it starts a hundred more; in a
// container it is the workload itself, since the host has done the rest. Here
// it is this: it does what it takes to start one process from an image in a
// machine that has nothing yet, and does it in the order of the functions of
// [guest.boot]:
//
//   - mount devtmpfs, proc and sysfs where the workload will see them;
//   - load the drivers of the virtio devices: a distribution's kernel has
//     nearly everything as modules;
//   - make the image's file system the root (root.go says how, and why not with
//     pivot_root): it is in memory, or joined from a disk for each layer (layers.go);
//   - find the ports to the host (ports.go);
//   - set the host name, bring up the loopback device, and give the network card its
//     address, if there is one (network.go);
//   - start the workload, through package container as on the host, but in no
//     namespaces: the walls are the machine's (workload.go). Or as a container, with
//     all that belongs to one (container.go).
//
// Then it reaps whatever ends, as PID 1 must, takes commands from the host, and
// powers the machine off when the workload has ended or when something went
// wrong. It never waits without a deadline, and says why it gives up, both over
// the control port and on the console.
//
// Every file that it touches and every line that it prints is paid for in each
// boot, twenty-fold where the CPU is emulated. So it imports little. Package
// container is the exception: it makes this program 4.9 MB instead of 2.2, and an
// emulated boot of 2.1 s some 40 ms longer, of which starting the workload is 30.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container"
	"vmctr/container/step"
	"vmctr/vm/guest/wire"
)

// patience is how long the guest may take until the workload runs. An emulated
// guest needs a second, or ten if it shares two cores with nine others.
const patience = 60 * time.Second

func main() {
	g := &guest{begin: boottime(), cutPower: cutPower, resumed: make(chan *wire.Renewal, 1)}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is PID 1 of a virtual machine, and does nothing anywhere else")
		os.Exit(2)
	}
	watchdog := time.AfterFunc(patience, func() {
		g.fail(fmt.Errorf("the workload was not started within %v; the last phase that began is %q", patience, g.lastPhase()))
	})
	if err := g.boot(); err != nil {
		g.fail(err)
	}
	watchdog.Stop()
	g.reportNamespaces()
	g.loadLate()
	g.reap()
}

type guest struct {
	begin   int64 // CLOCK_BOOTTIME of the start of this program
	spec    specs.Spec
	modules *moduleDir
	late    *moduleDir
	resumed chan *wire.Renewal // what CommandResume says
	ports   map[string]string  // device files by the name of the port
	streams streams
	tty     *terminal // nil without one
	engine  engine    // of a workload that is a container

	mu      sync.Mutex
	program *container.Container // nil until it runs
	control *os.File             // nil until the port is there
	pending []wire.Report
	torn    bool   // the last report went out in part
	last    string // phase

	// With a channel over virtio-vsock: heard is closed once the host has read all,
	// which is waited for when this machine is leaving.
	heard   chan struct{}
	leaving atomic.Bool

	dying    sync.Once
	cutPower func() // the function, but in tests, which run on a machine that is to stay on
}

func (g *guest) boot() error {
	g.phaseAt(wire.PhaseInit, g.begin)
	for _, step := range []struct {
		phase string
		do    func() error
	}{
		{"", g.readConfig},
		{wire.PhaseModules, g.loadModules},
		{wire.PhaseRoot, g.enterImage},
		{wire.PhasePorts, g.openPorts},
		{wire.PhaseNetwork, g.network},
		{"", g.startEngine},
		{wire.PhaseWorkload, g.startWorkload},
		{wire.PhaseRunning, func() error { return nil }},
	} {
		if step.phase != "" {
			g.phaseAt(step.phase, boottime())
		}
		if err := step.do(); err != nil {
			return err
		}
	}
	return nil
}

func (g *guest) readConfig() error {
	b, err := os.ReadFile("/" + wire.Config)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if g.spec, err = parseConfig(b); err != nil {
		return fmt.Errorf("reading the configuration, /%s: %w", wire.Config, err)
	}
	if g.spec.Process == nil || len(g.spec.Process.Args) == 0 {
		return fmt.Errorf("the configuration, /%s, names no program: process.args is empty", wire.Config)
	}
	return g.checkContainer()
}

// fail reports why the guest gives up, and does not return.
func (g *guest) fail(err error) {
	fmt.Fprintln(os.Stderr, "guest: "+err.Error())
	r := wire.Report{Event: wire.EventError, Error: err.Error()}
	if e, ok := errors.AsType[*step.Error](err); ok && strings.HasPrefix(e.Call, "execve") {
		r.Errno = int(e.Errno)
	}
	g.report(r)
	g.powerOff()
}

// powerOff does not return. It may be called by several goroutines at once: the
// first one wins.
func (g *guest) powerOff() {
	g.dying.Do(func() {
		g.farewell()
		g.cutPower()
	})
	select {}
}

func cutPower() {
	if os.Getpid() != 1 {
		panic("guest: not PID 1, so this machine is not its own to power off")
	}
	// What the console has been given is not printed yet: at 115,200 baud a
	// line takes a while. TCSBRK with 1 waits for it (tcdrain(3)).
	drained := make(chan struct{})
	go func() { unix.IoctlSetInt(2, unix.TCSBRK, 1); close(drained) }()
	select {
	case <-drained:
	case <-time.After(2 * time.Second):
	}
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Fprintln(os.Stderr, "guest: cannot power off:", err)
}

func boottime() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return ts.Nano()
}
