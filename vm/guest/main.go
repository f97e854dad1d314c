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
//     pivot_root);
//   - find the two ports to the host (ports.go);
//   - bring up the loopback device and set the host name;
//   - start the workload, with its standard output on the port.
//
// Then it reaps whatever ends, as PID 1 must, takes commands from the host, and
// powers the machine off when the workload has ended or when something went
// wrong. It never waits without a deadline, and says why it gives up, both over
// the control port and on the console.
//
// Every file that it touches and every line that it prints is paid for in each
// boot, twenty-fold where the CPU is emulated. So it imports little.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// patience is how long the guest may take until the workload runs. An emulated
// guest needs a second, or ten if it shares two cores with nine others.
const patience = 60 * time.Second

func main() {
	g := &guest{begin: boottime(), cutPower: cutPower}
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
	g.loadLate()
	g.reap()
}

// spec is the part of an OCI configuration that is used here. Package
// specs-go has all of it, and costs this program a tenth of its size.
type spec struct {
	Hostname string `json:"hostname"`
	Process  struct {
		Args []string `json:"args"`
		Env  []string `json:"env"`
		Cwd  string   `json:"cwd"`
	} `json:"process"`
}

type guest struct {
	begin   int64 // CLOCK_BOOTTIME of the start of this program
	spec    spec
	modules *moduleDir
	late    *moduleDir
	output  int // the port of the workload's standard output

	mu      sync.Mutex
	pid     int      // the workload's; 0 until it runs
	control *os.File // nil until the port is there
	pending []wire.Report
	last    string // phase

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
		{"", g.network},
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
	if err := json.Unmarshal(b, &g.spec); err != nil {
		return fmt.Errorf("reading the configuration, /%s: %w", wire.Config, err)
	}
	if len(g.spec.Process.Args) == 0 {
		return fmt.Errorf("the configuration, /%s, names no program: process.args is empty", wire.Config)
	}
	return nil
}

// network sets the name, and brings up the loopback device: the kernel makes
// one, and leaves it down.
func (g *guest) network() error {
	if name := g.spec.Hostname; name != "" {
		if err := unix.Sethostname([]byte(name)); err != nil {
			return fmt.Errorf("setting the host name %q: %w", name, err)
		}
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bringing up the loopback device: socket: %w", err)
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("bringing up the loopback device: %w", err)
	}
	return nil
}

// startWorkload is a plain fork and exec: in a machine of its own, a process
// needs no other walls.
func (g *guest) startWorkload() error {
	p := g.spec.Process
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/null: %w", err)
	}
	defer unix.Close(null)
	// The port can be open only once. With this copy closed, it is the
	// workload's, and closes with it.
	defer unix.Close(g.output)
	var pid int
	for _, file := range candidates(p.Args[0], p.Env) {
		pid, err = syscall.ForkExec(file, p.Args, &syscall.ProcAttr{
			Dir: p.Cwd, Env: p.Env,
			Files: []uintptr{uintptr(null), uintptr(g.output), 2},
			Sys:   &syscall.SysProcAttr{Setsid: true},
		})
		if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.ENOTDIR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("starting %q in %q: %w (is it in the image, and a program for this CPU?)", p.Args, p.Cwd, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pid = pid
	return nil
}

// candidates are the files that a command may name, as execvp(3) tries them.
func candidates(name string, env []string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	search := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			search = v
		}
	}
	var files []string
	for dir := range strings.SplitSeq(search, ":") {
		files = append(files, filepath.Join("/", dir, name))
	}
	return files
}

// reap waits for children until the workload is among them. A process whose
// parent has ended becomes a child of PID 1, which has to wait for it, or it
// stays in the process table for ever.
func (g *guest) reap() {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			g.fail(fmt.Errorf("waiting for the workload: %w", err))
		case pid == g.pid && (ws.Exited() || ws.Signaled()):
			r := wire.Report{Event: wire.EventExited}
			if ws.Signaled() {
				r.Signal = int(ws.Signal())
			} else {
				r.Code = ws.ExitStatus()
			}
			g.report(r)
			g.powerOff()
		}
	}
}

// fail reports why the guest gives up, and does not return.
func (g *guest) fail(err error) {
	fmt.Fprintln(os.Stderr, "guest: "+err.Error())
	g.report(wire.Report{Event: wire.EventError, Error: err.Error()})
	g.powerOff()
}

// powerOff does not return. It may be called by several goroutines at once: the
// first one wins.
func (g *guest) powerOff() {
	g.dying.Do(g.cutPower)
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
