package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"vmctr/container"
	"vmctr/container/network"
	"vmctr/container/rootfs"
	"vmctr/container/seccomp"
	"vmctr/container/step"
	"vmctr/vm/guest/wire"
)

// The workload as a container inside the machine: virtualization and containers
// combined, as in every cloud, and in a Docker Desktop, which hides the machine.
//
// Nothing of the container is other than on a host. Its configuration is the
// host's, package container is what starts it, and PID 1 is to it what the host's
// engine is: it has the layers, the bridge and the filter of system calls ready
// before the container is asked for. On a host that was done once, long ago; here
// the machine is as young as the container, so it counts as a phase of its own.

// engine is what all containers of the machine would share.
type engine struct {
	filter  *seccomp.Filter
	layers  *rootfs.Layers
	network *network.Network
	// listener is on the machine's port that leads to the container; nil without one.
	listener *net.TCPListener
}

// containerDir is for what belongs to the container alone, and runDir for what the
// engine keeps.
const (
	containerDir = "/container"
	runDir       = "/run"
)

// contained tells whether the workload is a container, and not a process of the
// machine's own.
func (g *guest) contained() bool {
	_, yes := g.spec.Annotations[wire.Container]
	return yes
}

// layerDir is where the disk of a layer is mounted. A container's engine has to
// find it after the root has changed.
func (g *guest) layerDir(n int) string {
	dir := filepath.Join("/", wire.Lower, strconv.Itoa(n))
	if g.contained() {
		dir = filepath.Join("/", wire.Image, dir)
	}
	return dir
}

// startEngine mounts the control groups, and makes ready what is shared.
func (g *guest) startEngine() (err error) {
	if !g.contained() {
		return nil
	}
	g.phaseAt(wire.PhaseEngine, boottime())
	ctx := context.Background()
	if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting cgroup v2: %w", err)
	}
	if s := g.spec.Linux.Seccomp; s != nil {
		if g.engine.filter, err = seccomp.Compile(s); err != nil {
			return err
		}
	}
	if err := g.openLayers(ctx); err != nil {
		return err
	}
	if err := makeDir(runDir); err != nil {
		return err
	}
	if g.engine.network, err = network.Open(ctx, "guest", runDir, netip.Prefix{}); err != nil {
		return fmt.Errorf("making the container's bridge: %w (does the kernel have the modules bridge and veth?)", err)
	}
	return g.listen()
}

// openLayers mounts the layers once more, so that their files belong to the
// container's users.
func (g *guest) openLayers(ctx context.Context) error {
	ns, err := container.UserNamespace(ctx, g.spec.Linux)
	if err != nil {
		return err
	}
	defer ns.Close()
	n, err := g.layers()
	if err != nil {
		return err
	}
	var dirs []string
	for i := range n {
		dirs = append(dirs, "/"+wire.Lower+"/"+strconv.Itoa(i))
	}
	g.engine.layers, err = rootfs.OpenLayers(dirs, ns)
	return err
}

// startContainer starts the workload as a container, and keeps the phases of that.
func (g *guest) startContainer(cfg container.Config) (*container.Container, error) {
	e, err := g.engine.network.Endpoint()
	if err != nil {
		return nil, err
	}
	if l := g.engine.listener; l != nil {
		port := uint16(l.Addr().(*net.TCPAddr).Port)
		go publish(l, netip.AddrPortFrom(e.Addr().Addr(), port))
	}
	cfg.Filter, cfg.Layers, cfg.Dir, cfg.Endpoint = g.engine.filter, g.engine.layers, containerDir, e
	c, err := container.Start(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	g.keepPhases(c.Timeline[1:], boottime()-monotonic())
	return c, nil
}

// keepPhases has phases reported together with the next one: each write takes time.
// Their clock stood still while the machine was suspended, behind is how long.
func (g *guest) keepPhases(marks []step.Mark, behind int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range marks {
		g.pending = append(g.pending, wire.Report{Event: wire.EventPhase, Phase: wire.ContainerPhase + m.Phase, At: m.Ns + behind})
	}
}

// reportNamespaces tells in which namespaces PID 1 is, which the container is to be
// held against.
func (g *guest) reportNamespaces() {
	if !g.contained() {
		return
	}
	numbers := map[string]uint64{}
	for _, t := range []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup", "time"} {
		var st unix.Stat_t
		if unix.Stat("/proc/self/ns/"+t, &st) == nil {
			numbers[t] = st.Ino
		}
	}
	g.report(wire.Report{Event: wire.EventNamespaces, Namespaces: numbers})
}

func monotonic() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// checkContainer refuses a configuration that no container could be started from.
func (g *guest) checkContainer() error {
	if !g.contained() {
		return nil
	}
	if g.spec.Linux == nil {
		return errors.New("the configuration is of a container, and has no linux")
	}
	if n, err := g.layers(); err != nil || n == 0 {
		return errors.Join(err, errors.New("a container's layers have to be on disks"))
	}
	return nil
}
