package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/bench/peers/peer"
	"vmctr/container"
	"vmctr/container/cgroup"
)

func init() {
	register(other{"runc"})
	register(other{"crun"})
}

// other is a container of another OCI runtime, over the same bundle as ours. It
// is what an engine does without the engine: the overlay is mounted, then
// "RUNTIME run" is executed.
type other struct{ name string }

func (p other) Info() Info {
	return Info{Name: p.name, Title: "container of the command " + p.name + " (the same bundle, loopback)", Kind: "container", Optional: true, Loopback: true}
}

func (p other) Available(ctx context.Context) error {
	if err := (ours{}).Available(ctx); err != nil {
		return err
	}
	if _, err := peer.Find(p.name); err != nil {
		return &UnavailableError{Reason: err.Error(), Fix: "install it: apt-get install " + p.name}
	}
	return nil
}

// Prepare mounts the image's layers where only the runtime sees them, and runs
// one container, which ends at once: whether a runtime gets along with a host's
// cgroups shows by trying.
func (p other) Prepare(ctx context.Context, w Workload) (_ Prepared, err error) {
	rt, err := peer.Find(p.name)
	if err != nil {
		return nil, err
	}
	version, err := rt.Version(ctx)
	if err != nil {
		return nil, err
	}
	dirs, err := w.Image.Unpack(ctx)
	if err != nil {
		return nil, err
	}
	spec, err := configuration(w)
	if err != nil {
		return nil, err
	}
	ns, err := container.UserNamespace(ctx, spec.Linux)
	if err != nil {
		return nil, fmt.Errorf("making a user namespace: %w", err)
	}
	defer ns.Close()
	owner := int(spec.Linux.UIDMappings[0].HostID)
	pr := &preparedOther{w: w, runtime: rt, version: version, folders: dirs}
	if pr.config, err = peer.NewConfig(spec, owner); err != nil {
		return nil, err
	}
	brief, process := *spec, *spec.Process
	process.Args = []string{process.Args[0], "exit"}
	brief.Process = &process
	if pr.brief, err = peer.NewConfig(&brief, owner); err != nil {
		return nil, err
	}
	for _, pr.unified = range []bool{true, false} {
		if pr.room, err = peer.NewRoom(w.Dir, pr.unified); err != nil {
			return nil, err
		}
		if err = pr.room.Layers(dirs, ns); err == nil {
			err = pr.try(ctx)
		}
		if err == nil {
			return pr, nil
		}
		err = errors.Join(err, pr.room.Close())
		if !peer.Hybrid() {
			break
		}
	}
	return nil, &UnavailableError{Reason: fmt.Sprintf("%s runs no container on this host: %v", version, err), Fix: "a newer version may"}
}

type preparedOther struct {
	w       Workload
	folders []string // of the layers
	runtime peer.Runtime
	version string
	config  *peer.Config
	brief   *peer.Config // its program ends at once
	room    *peer.Room
	unified bool
}

// try runs a container that ends by itself.
func (p *preparedOther) try(ctx context.Context) error {
	b, err := p.room.Bundle("try", "/"+p.w.RunID+"/try", p.brief)
	if err != nil {
		return err
	}
	_, err = p.runtime.Try(ctx, p.room, b)
	return errors.Join(err, b.Remove())
}

func (p *preparedOther) Facts() Facts {
	mode := "none"
	if h, err := cgroup.Detect(); err == nil {
		mode = h.Mode
	}
	if !p.unified {
		mode += ", of which it is shown version 1 alone: it does not take both"
	}
	name := p.runtime.Name
	return Facts{Details: p.w.withLimits(map[string]string{
		"runtime":   p.version + " (" + p.runtime.Path + ")",
		"layers":    fmt.Sprintf("%d, joined within the measured time, before %s is executed", len(p.w.Image.DiffIDs()), name),
		"cgroups":   mode,
		"network":   "loopback alone: a veth is an engine's part",
		"seccomp":   "Docker's default profile",
		"processes": name + " stays as the container's parent, and its memory counts",
	})}
}

func (p *preparedOther) Close() error { return p.room.Close() }

func (p *preparedOther) Start(ctx context.Context) (Instance, error) {
	begin := now()
	name := "c" + strconv.Itoa(int(instances.Add(1)))
	i := &otherInstance{p: p, group: "/" + p.w.RunID + "/" + name}
	marks := []Mark{{Phase: "start", Ns: begin}}
	io, err := openStdio()
	if err != nil {
		return nil, err
	}
	var proc *os.Process
	if i.bundle, err = p.room.Bundle(name, i.group, p.config); err == nil {
		marks = append(marks, Mark{Phase: "overlay", Ns: now()})
		err = i.bundle.Mount()
	}
	if err == nil {
		marks = append(marks, Mark{Phase: "runtime", Ns: now()})
		proc, err = p.runtime.Run(p.room, i.bundle, io.in, io.out, io.err)
	}
	io.started()
	if err != nil {
		if i.bundle != nil {
			err = errors.Join(err, i.bundle.Remove())
		}
		return nil, errors.Join(err, io.Close())
	}
	i.running = watch(io, proc, marks)
	return i, nil
}

type otherInstance struct {
	*running // the runtime, which stays as the container's parent
	p        *preparedOther
	bundle   *peer.Bundle
	group    string
}

// Processes are those of the container, and the runtime's.
func (i *otherInstance) Processes() ([]int, error) {
	g, err := cgroup.Load(i.group)
	if err != nil {
		return nil, err
	}
	pids, err := g.Processes()
	return append(pids, i.proc.Pid), err
}

func (i *otherInstance) CgroupMemory() (int64, bool, error) {
	g, err := cgroup.Load(i.group)
	if err != nil {
		return 0, false, err
	}
	n, err := g.Memory()
	return n, true, err
}

// Address: the bundle gives it loopback alone.
func (i *otherInstance) Address(context.Context) (netip.AddrPort, error) {
	return netip.AddrPort{}, ErrNoNetwork
}

// Stop kills the container, at whose end the runtime removes what it made. A
// runtime that does not is killed too, and what it left is removed for it.
func (i *otherInstance) Stop(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if g, err := cgroup.Load(i.group); err == nil {
		// It may be going just now, with the container.
		if err := g.Signal(unix.SIGKILL); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, err)
		}
	} else { // it has none yet, or no more
		i.proc.Signal(unix.SIGTERM)
	}
	if !ended(i.done, 10*time.Second) {
		errs = append(errs, fmt.Errorf("%s, process %d, does not end though its container was killed", i.p.runtime.Name, i.proc.Pid))
		i.proc.Kill()
		ended(i.done, 10*time.Second)
		errs = append(errs, i.p.runtime.Delete(ctx, i.p.room, i.bundle))
	}
	if g, err := cgroup.Load(i.group); err == nil {
		errs = append(errs, g.Remove(ctx))
	}
	return errors.Join(append(errs, i.bundle.Remove(), i.io.Close())...)
}
