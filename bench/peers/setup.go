package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vmctr/bench/harness"
	"vmctr/bench/peers/peer"
	"vmctr/container"
	"vmctr/container/cgroup"
	"vmctr/container/network"
	"vmctr/container/rootfs"
	"vmctr/container/seccomp"
)

// The limits of every container, those of `bench all`.
const (
	memoryLimit = 256 << 20
	cpuPeriod   = 100_000 // microseconds
	cpuQuota    = 100_000
	pidsLimit   = 64
)

// setup is what all subjects share: made once, as a user has it ready too.
type setup struct {
	run      *harness.Run
	programs string // the folder of bench-oci and the C programs
	spec     *specs.Spec
	dirs     []string       // the image's layers
	userns   *os.File       // they are mapped into
	layers   *rootfs.Layers // the library's
	room     *peer.Room     // the others'
	config   *peer.Config
	network  *network.Network
	filter   *seccomp.Filter
	flags    uint     // of seccomp(2)
	groups   []string // the C program's options about cgroups
	hidden   bool     // the room shows no cgroup v2, for crun's sake
	runtimes []peer.Runtime
	missing  []string // why a peer is not measured
}

// newSetup finds bench-oci and the C programs in the folder programs, and tries
// every runtime.
func newSetup(ctx context.Context, run *harness.Run, programs string) (*setup, error) {
	s := &setup{run: run, programs: programs}
	err := s.prepare(ctx)
	if err == nil {
		err = s.findRuntimes(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// prepare makes all but the runtimes ready.
func (s *setup) prepare(ctx context.Context) (err error) {
	if s.spec, err = spec(); err != nil {
		return err
	}
	if s.dirs, err = s.image(); err != nil {
		return err
	}
	if s.userns, err = container.UserNamespace(ctx, s.spec.Linux); err != nil {
		return err
	}
	if s.layers, err = rootfs.OpenLayers(s.dirs, s.userns); err != nil {
		return err
	}
	if s.network, err = network.Open(ctx, s.run.NetworkID(), s.run.Dir, netip.Prefix{}); err != nil {
		return err
	}
	if err := s.groupOptions(ctx); err != nil {
		return err
	}
	if s.config, err = peer.NewConfig(s.spec, s.owner()); err != nil {
		return err
	}
	if err := s.openRoom(true); err != nil {
		return err
	}
	return s.compileFilter()
}

func (s *setup) owner() int { return int(s.spec.Linux.UIDMappings[0].HostID) }

func (s *setup) close() error {
	var errs []error
	if s.room != nil {
		errs = append(errs, s.room.Close())
	}
	if s.layers != nil {
		errs = append(errs, s.layers.Close())
	}
	if s.userns != nil {
		errs = append(errs, s.userns.Close())
	}
	if s.network != nil {
		errs = append(errs, s.network.Close())
	}
	return errors.Join(errs...)
}

// spec is the configuration of every container.
func spec() (*specs.Spec, error) {
	s := container.DefaultSpec([]string{"/program"}, []string{"PATH=/"}, "/")
	memory, quota, period, pids := int64(memoryLimit), int64(cpuQuota), uint64(cpuPeriod), int64(pidsLimit)
	s.Linux.Resources = &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory},
		CPU:    &specs.LinuxCPU{Quota: &quota, Period: &period},
		Pids:   &specs.LinuxPids{Limit: &pids},
		// As Docker has it. runc would set it even if it were not asked to.
		Devices: append([]specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}, cgroup.DefaultDevices()...),
	}
	var err error
	s.Linux.Seccomp, err = seccomp.Default(container.DefaultCapabilities)
	return s, err
}

// image writes the layers: one with a few files, one with the program.
func (s *setup) image() ([]string, error) {
	program, err := os.ReadFile(filepath.Join(s.programs, "peers-program"))
	if err != nil {
		return nil, fmt.Errorf("%w; scripts/peers builds it", err)
	}
	var dirs []string
	for i, files := range []map[string][]byte{
		{"etc/passwd": []byte("root:x:0:0:root:/:/program\n"), "etc/group": []byte("root:x:0:\n")},
		{"program": program},
	} {
		dir := filepath.Join(cacheDir(), "peers", fmt.Sprint(i))
		for name, content := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return nil, err
			}
			if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, content) {
				continue
			}
			// A new file: the old one may be running.
			if err := os.WriteFile(path+".new", content, 0o755); err != nil {
				return nil, err
			}
			if err := os.Rename(path+".new", path); err != nil {
				return nil, err
			}
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// compileFilter compiles the profile ahead, for the library, and writes the very
// same program for the C program.
func (s *setup) compileFilter() error {
	f, err := seccomp.Compile(s.spec.Linux.Seccomp)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.NativeEndian, f.Program); err != nil {
		return err
	}
	s.filter, s.flags = f, uint(f.Flags)
	return os.WriteFile(filepath.Join(s.run.Dir, "room", "filter"), b.Bytes(), 0o600)
}

// groupOptions are the C program's options about cgroups: the same hierarchies
// in which the library makes one.
func (s *setup) groupOptions(ctx context.Context) error {
	// A first one makes those above it, and hands controllers down.
	g, err := cgroup.Create("/"+s.run.ID+"/limit/first", s.spec.Linux.Resources)
	if err != nil {
		return err
	}
	paths := g.Paths()
	if err := g.Remove(ctx); err != nil {
		return err
	}
	settings := map[string][]string{
		"memory": {fmt.Sprintf("memory.limit_in_bytes=%d", memoryLimit)},
		"cpu":    {fmt.Sprintf("cpu.cfs_quota_us=%d", cpuQuota)}, // the period is what a new group has
		"pids":   {fmt.Sprintf("pids.max=%d", pidsLimit)},
		"":       {fmt.Sprintf("memory.max=%d", memoryLimit), fmt.Sprintf("cpu.max=%d %d", cpuQuota, cpuPeriod), fmt.Sprintf("pids.max=%d", pidsLimit)},
	}
	settings["devices"] = []string{"devices.deny=a"}
	for _, d := range cgroup.DefaultDevices() {
		settings["devices"] = append(settings["devices"], fmt.Sprintf("devices.allow=%s %s:%s %s", d.Type, number(d.Major), number(d.Minor), d.Access))
	}
	options := map[string][]string{} // by folder: controllers may share one
	var order []string
	for _, controller := range []string{"memory", "cpu", "cpuacct", "pids", "devices", ""} {
		dir, ok := paths[controller]
		if !ok {
			continue
		}
		if !slices.Contains(order, dir) {
			order = append(order, dir)
			options[dir] = []string{"-g", filepath.Dir(dir)}
			if controller == "" {
				options[dir] = append(options[dir], "-2")
			}
		}
		for _, set := range settings[controller] {
			options[dir] = append(options[dir], "-s", set)
		}
	}
	for _, dir := range order {
		s.groups = append(s.groups, options[dir]...)
	}
	return nil
}

func number(n *int64) string {
	if n == nil {
		return "*"
	}
	return fmt.Sprint(*n)
}

// openRoom makes the room, in the place of the one before it.
func (s *setup) openRoom(unified bool) error {
	if s.room != nil {
		if err := s.room.Close(); err != nil {
			return err
		}
		s.room = nil
	}
	dir := filepath.Join(s.run.Dir, "room")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	room, err := peer.NewRoom(dir, unified)
	if err != nil {
		return err
	}
	s.room, s.hidden = room, !unified
	return room.Layers(s.dirs, s.userns)
}

// findRuntimes tries every runtime. If one cannot live with a hybrid host, all
// get a room without version 2.
func (s *setup) findRuntimes(ctx context.Context) error {
	all := []peer.Runtime{{Name: "bench-oci", Path: filepath.Join(s.programs, "bench-oci")}}
	for _, name := range []string{"crun", "runc"} {
		rt, err := peer.Find(name)
		if err != nil {
			s.missing = append(s.missing, err.Error())
			continue
		}
		all = append(all, rt)
	}
	failures := s.tryAll(ctx, all)
	if len(failures) > 0 && peer.Hybrid() {
		if err := s.openRoom(false); err != nil {
			return err
		}
		failures = s.tryAll(ctx, all)
	}
	for _, err := range failures {
		s.missing = append(s.missing, err.Error())
	}
	if len(s.runtimes) == 0 || s.runtimes[0].Name != "bench-oci" {
		return errors.Join(failures...)
	}
	return nil
}

// tryAll keeps the runtimes that run a container in this room.
func (s *setup) tryAll(ctx context.Context, all []peer.Runtime) (failures []error) {
	s.runtimes = nil
	for _, rt := range all {
		if err := s.try(ctx, rt); err != nil {
			failures = append(failures, err)
			continue
		}
		s.runtimes = append(s.runtimes, rt)
	}
	return failures
}

func (s *setup) try(ctx context.Context, rt peer.Runtime) error {
	b, err := s.room.Bundle("try-"+rt.Name, "/"+s.run.ID+"/try-"+rt.Name, s.config)
	if err != nil {
		return err
	}
	out, err := rt.Try(ctx, s.room, b)
	if err == nil && out != signalLine {
		err = fmt.Errorf("%s run: printed %q instead of %q", rt.Name, out, signalLine)
	}
	return errors.Join(err, b.Remove())
}

// signalLine is all that the program prints.
const signalLine = "first-instruction\n"

// describe tells what is compared, and on what.
func (s *setup) describe(ctx context.Context) string {
	var b strings.Builder
	var uts unix.Utsname
	unix.Uname(&uts)
	host, _, err := harness.Host()
	if err == nil {
		fmt.Fprintf(&b, "%s, %d CPUs, Linux %s, cgroups %s\n", host.CPU, host.CPUs, unix.ByteSliceToString(uts.Release[:]), host.Cgroup)
	}
	for _, rt := range s.runtimes {
		v, err := rt.Version(ctx)
		if err != nil {
			v = err.Error()
		}
		fmt.Fprintf(&b, "%s (%s)\n", v, rt.Path)
	}
	for _, m := range s.missing {
		fmt.Fprintf(&b, "NOT MEASURED: %s\n", m)
	}
	if s.hidden {
		b.WriteString("crun does not take this host, which mounts cgroups of both versions: so all commands run in a\nmount namespace that shows version 1 alone.\n")
	}
	b.WriteString("Commands have loopback alone: a veth is an engine's part.")
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		b.WriteString("\nThe C program sets no rules for devices here: on cgroup v2 they are a program of their own.")
	}
	return b.String()
}

// bridge is the number of the bridge that an endpoint is in, whose name is told
// by its address (package network).
func (s *setup) bridge(e *network.Endpoint) (int, error) {
	gateway := e.Gateway().As4()
	l, err := netlink.LinkByName(fmt.Sprintf("%s-b%02x%02x", s.run.NetworkID(), gateway[2], gateway[3]))
	if err != nil {
		return 0, fmt.Errorf("the bridge with the address %s: %w", e.Gateway(), err)
	}
	return l.Attrs().Index, nil
}
