package platform

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"vmctr/container"
	"vmctr/container/cgroup"
	"vmctr/container/network"
	"vmctr/container/rootfs"
	"vmctr/container/seccomp"
)

func init() { register(ours{}) }

// ours is a container of our own runtime.
type ours struct{}

func (ours) Info() Info {
	return Info{Name: "container", Title: "container (namespaces, cgroup, overlay, veth, seccomp)", Kind: "container"}
}

func (ours) Available(context.Context) error {
	if os.Geteuid() != 0 {
		return &UnavailableError{Reason: "containers with limits and layers of the host's root need root", Fix: "run as root: sudo scripts/bench"}
	}
	h, err := cgroup.Detect()
	if err != nil {
		return err
	}
	for _, c := range []string{"memory", "cpu", "pids"} {
		if !h.Has(c) {
			return &UnavailableError{
				Reason: "the host's cgroups (" + h.Mode + ") have no " + c + " controller, so a container could not be limited",
				Fix:    "mount it (cgroups(7)), or boot with systemd.unified_cgroup_hierarchy=1",
			}
		}
	}
	for _, ns := range []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup"} {
		if _, err := os.Stat("/proc/self/ns/" + ns); err != nil {
			return &UnavailableError{Reason: "the host's kernel has no " + ns + " namespaces", Fix: "use a kernel that has them (all distributions' do)"}
		}
	}
	return nil
}

// limits are the workload's, of which one that is 0 is none.
func limits(w Workload) *specs.LinuxResources {
	r := &specs.LinuxResources{}
	if w.Memory > 0 {
		r.Memory = &specs.LinuxMemory{Limit: &w.Memory}
	}
	if w.CPUs > 0 {
		period := uint64(100_000) // microseconds
		quota := int64(w.CPUs) * int64(period)
		r.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}
	if w.Pids > 0 {
		r.Pids = &specs.LinuxPids{Limit: &w.Pids}
	}
	return r
}

// withLimits adds to the facts of a container what its limits are.
func (w Workload) withLimits(facts map[string]string) map[string]string {
	set := func(name string, limit int64, text string) {
		if facts[name] = text; limit <= 0 {
			facts[name] = "none"
		}
	}
	set("memory limit", w.Memory, fmt.Sprintf("%d MiB", w.Memory>>20))
	set("CPU limit", int64(w.CPUs), strconv.Itoa(w.CPUs))
	set("pids limit", w.Pids, strconv.FormatInt(w.Pids, 10))
	return facts
}

// spec is the configuration of the workload's process, wherever it runs.
func (w Workload) spec() *specs.Spec {
	s := container.DefaultSpec(w.Process.Args, w.Process.Env, w.Process.Cwd)
	s.Process.User = w.Process.User
	if s.Process.User.UID != 0 {
		// What an execve leaves somebody who is not root (capabilities(7)).
		s.Process.Capabilities.Effective, s.Process.Capabilities.Permitted = nil, nil
	}
	return s
}

// configuration is that of the workload's containers, whatever the runtime is.
func configuration(w Workload) (s *specs.Spec, err error) {
	s = w.spec()
	s.Linux.Resources = limits(w)
	s.Linux.Seccomp, err = seccomp.Default(container.DefaultCapabilities)
	return s, err
}

// Prepare unpacks the image's layers, each into a folder of its own, maps
// their owners into the containers' user namespace, compiles the filter of
// system calls, and makes a bridge: what all containers of an image share.
func (ours) Prepare(ctx context.Context, w Workload) (Prepared, error) {
	dirs, err := w.Image.Unpack(ctx)
	if err != nil {
		return nil, err
	}
	spec, err := configuration(w)
	if err != nil {
		return nil, err
	}
	filter, err := seccomp.Compile(spec.Linux.Seccomp)
	if err != nil {
		return nil, err
	}
	ns, err := container.UserNamespace(ctx, spec.Linux)
	if err != nil {
		return nil, fmt.Errorf("making a user namespace: %w", err)
	}
	defer ns.Close()
	layers, err := rootfs.OpenLayers(dirs, ns)
	if err != nil {
		return nil, err
	}
	net, err := openNetwork(ctx, w)
	if err != nil {
		return nil, errors.Join(err, layers.Close())
	}
	return &preparedContainer{w: w, spec: spec, filter: filter, layers: layers, folders: dirs, network: net}, nil
}

type preparedContainer struct {
	w       Workload
	spec    *specs.Spec
	filter  *seccomp.Filter
	layers  *rootfs.Layers
	folders []string // of the layers
	network *network.Network
}

func (p *preparedContainer) Facts() Facts {
	mode := "none"
	if h, err := cgroup.Detect(); err == nil {
		mode = h.Mode
	}
	return Facts{Details: p.w.withLimits(map[string]string{
		"layers":  strconv.Itoa(len(p.w.Image.DiffIDs())),
		"cgroups": mode,
		"network": "veth pair into a bridge, an address of " + p.network.Subnet().String(),
		"seccomp": "Docker's default profile, compiled ahead",
	})}
}

func (p *preparedContainer) Close() error {
	return errors.Join(p.network.Leave(), p.layers.Close())
}

func (p *preparedContainer) Start(ctx context.Context) (Instance, error) {
	begin := now()
	name := "c" + strconv.Itoa(int(instances.Add(1)))
	spec := *p.spec
	linux := *p.spec.Linux
	linux.CgroupsPath = "/" + p.w.RunID + "/" + name
	spec.Linux = &linux
	io, err := openStdio()
	if err != nil {
		return nil, err
	}
	e, err := p.network.Endpoint()
	if err != nil {
		io.Close()
		return nil, err
	}
	c, err := container.Start(ctx, container.Config{
		Spec: &spec, Filter: p.filter, Layers: p.layers, Dir: filepath.Join(p.w.Dir, name), Endpoint: e,
		Stdin: io.in, Stdout: io.out, Stderr: io.err,
	})
	io.started()
	if err != nil {
		io.Close()
		return nil, err
	}
	i := &containerInstance{io: io, c: c, address: p.w.at(e.Addr().Addr()), marks: []Mark{{Phase: "start", Ns: begin}}}
	for _, m := range c.Timeline[1:] {
		i.marks = append(i.marks, Mark{Phase: m.Phase, Ns: m.Ns})
	}
	return i, nil
}

type containerInstance struct {
	io      *stdio
	c       *container.Container
	address netip.AddrPort
	marks   []Mark
}

func (i *containerInstance) Output() *Output           { return i.io.output }
func (i *containerInstance) Timeline() []Mark          { return i.marks }
func (i *containerInstance) Processes() ([]int, error) { return i.c.Cgroup().Processes() }

func (i *containerInstance) CgroupMemory() (int64, bool, error) {
	n, err := i.c.Cgroup().Memory()
	return n, true, err
}

func (i *containerInstance) Delay(ctx context.Context) (time.Duration, error) { return i.io.Delay(ctx) }

func (i *containerInstance) Address(context.Context) (netip.AddrPort, error) {
	return reachable(i.address)
}

func (i *containerInstance) Err() error {
	if !endsSoon(i.c.Done()) {
		return nil
	}
	return i.io.failure(i.c.Status().String())
}

func (i *containerInstance) Stop(ctx context.Context) error {
	err := i.c.Remove(ctx)
	if closeErr := i.io.Close(); err == nil {
		err = closeErr
	}
	return err
}
