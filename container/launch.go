package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/rootfs"
	"vmctr/container/seccomp"
	"vmctr/container/step"
)

// A launch is the making of one container: what the parent does. What the child
// does is compile's.
type launch struct {
	*Container
	spec   *specs.Spec
	wait   *startGate // for a container that is created and started later; else nil
	fds    descriptors
	opened []int      // what was opened for the child, and closed again
	files  []*os.File // likewise
	tree   *step.Program
	birth  step.Options
	told   report // where the child says that it failed, once it has left our memory
	marks  []step.Mark
}

// create makes a container. With a gate, what it returns is created and not
// started.
func create(ctx context.Context, cfg Config, wait *startGate) (_ *Container, err error) {
	l := &launch{Container: &Container{cfg: cfg, pidfd: -1, done: make(chan struct{})}, spec: cfg.Spec, wait: wait, birth: step.Options{Cgroup: -1}}
	l.mark("start")
	err = l.start(ctx)
	closeAll(&l.opened)
	for _, f := range l.files {
		f.Close()
	}
	if err != nil {
		return nil, errors.Join(err, l.undo(context.WithoutCancel(ctx)))
	}
	l.keepDevices()
	l.hooked = true
	go l.reap()
	return l.Container, nil
}

func (l *launch) mark(phase string) { l.marks = append(l.marks, step.Mark{Phase: phase, Ns: now()}) }

// undo takes back what a start that fails has done.
func (l *launch) undo(ctx context.Context) error {
	slices.Reverse(l.rdt)
	err := errors.Join(l.returnDevices(), l.clean(ctx), removeRdt(l.rdt))
	if l.hooked {
		err = errors.Join(err, poststop(ctx, l.spec, state(&l.cfg, specs.StateStopped, 0)))
	}
	return err
}

func (l *launch) start(ctx context.Context) (err error) {
	if err := l.check(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := l.open(); err != nil {
		return err
	}
	group := l.meanwhile(l.makeGroup)
	if isNew(l.spec, specs.MountNamespace) {
		if l.tree, err = l.prepareTree(&l.fds, &l.opened); l.tree != nil {
			l.marks = append(l.marks, l.tree.Marks()...)
		}
	}
	l.mark("make cgroup") // from here on it is waited for
	if err := errors.Join(err, group()); err != nil {
		return err
	}
	if l.fds.cgroups != nil && !has(l.spec, specs.CgroupNamespace) {
		if l.fds.cgroups, err = ownGroups(l.fds.cgroups, l.group, has(l.spec, specs.UserNamespace), &l.opened); err != nil {
			return err
		}
	}
	if err := l.openReport(); err != nil {
		return err
	}
	l.mark("clone")
	return l.clone(ctx)
}

// meanwhile begins f, and gives a function that waits for its end. Where every
// call is traced, it is not done until then, as two at once would be timed wrongly.
func (l *launch) meanwhile(f func() error) (wait func() error) {
	if l.cfg.Trace != nil {
		return f
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	return func() error { return <-done }
}

// check refuses what cannot be honoured.
func (l *launch) check() (err error) {
	cfg := &l.cfg
	if powerless() && cfg.Spec != nil {
		if cfg.Spec, err = forUser(cfg.Spec, cfg.Layers != nil); err != nil {
			return err
		}
		l.spec = cfg.Spec
	}
	if cfg.Endpoint != nil && cfg.Spec != nil && !isNew(cfg.Spec, specs.NetworkNamespace) {
		return errors.New("config.json: linux.namespaces: a container in a network needs a new network namespace")
	}
	if err := check(cfg.Spec, cfg.Layers != nil); err != nil {
		return err
	}
	if cfg.Stdin == nil || cfg.Stdout == nil || cfg.Stderr == nil {
		return errors.New("a container needs a standard input, output and error: os.DevNull for none")
	}
	if cfg.Hold != nil && cfg.Spec.Linux != nil && cfg.Spec.Linux.Seccomp != nil {
		return errors.New("config.json: linux.seccomp: a container that is held before it executes its program cannot have a filter")
	}
	if cfg.Spec.Process.Terminal && cfg.Console == nil {
		return errors.New("config.json: process.terminal: nobody takes the terminal: a console socket is needed")
	}
	return nil
}

// open gathers what the child is given, but for its file system and its cgroup.
func (l *launch) open() (err error) {
	cfg := l.cfg
	l.fds = descriptors{
		root: -1, uid: os.Geteuid(), gid: os.Getegid(), rootless: rootless(), nested: rootfs.Nested(),
		endpoint: cfg.Endpoint, noPivot: cfg.NoPivot, init: cfg.Init, hold: cfg.Hold != nil,
	}
	if !cfg.KeepKeyring {
		l.fds.keyring = keyring(cfg.ID)
	}
	for _, f := range append([]*os.File{cfg.Stdin, cfg.Stdout, cfg.Stderr}, cfg.Files...) {
		l.fds.files = append(l.fds.files, int(f.Fd()))
	}
	if l.fds.self, err = parent(len(l.fds.files), &l.opened); err != nil {
		return err
	}
	if cfg.Console != nil {
		l.fds.console = int(cfg.Console.Fd())
	}
	if s := l.spec.Linux; s != nil && s.Seccomp != nil && cfg.Filter != nil {
		l.fds.filter = cfg.Filter
	} else if s != nil && s.Seccomp != nil {
		at := now()
		if l.fds.filter, err = seccomp.Compile(s.Seccomp); err != nil {
			return fmt.Errorf("config.json: %w", err)
		}
		if t := cfg.Trace; t != nil {
			t.Add("filter", "the rules on system calls become a program for the kernel", fmt.Sprintf("no system call: %d instructions of BPF", len(l.fds.filter.Program)), at)
		}
	}
	l.fds.joins, err = openNamespaces(l.spec, &l.opened)
	return err
}

// makeGroup makes the cgroup, if one is asked for, which is ready before the child
// is born.
func (l *launch) makeGroup() (err error) {
	if l.spec.Linux == nil || l.spec.Linux.CgroupsPath == "" {
		return nil
	}
	at := now()
	o := cgroup.Options{Delegated: powerless()}
	if l.wait != nil { // for an engine: with all that it may ask for later
		o.Every, o.Join = true, true
	}
	resources := l.spec.Linux.Resources
	if host, err := cgroup.Detect(); err == nil && l.makesDevices() && (host.Mode == "v2" || host.Has("devices")) {
		resources = withDefaultDevices(resources)
	}
	if l.group, err = cgroup.CreateWith(l.spec.Linux.CgroupsPath, resources, o); err != nil {
		return explainCgroup(err)
	}
	if err := delegate(l.group, l.spec); err != nil {
		return err
	}
	if t := l.cfg.Trace; t != nil {
		t.Add("make cgroup", "a control group with its limits", describeGroup(l.spec), at)
	}
	folder, tasks, err := l.group.Entrances()
	if err != nil {
		return err
	}
	if folder != nil {
		l.files = append(l.files, folder)
		l.birth.Cgroup = int(folder.Fd())
	}
	for _, t := range tasks {
		l.files = append(l.files, t)
		l.fds.tasks = append(l.fds.tasks, int(t.Fd()))
	}
	return nil
}

// makesDevices tells whether the container's root could make the node of any
// device of the host, and use it: one with a file system of its own that is the
// host's root (mknod(2) takes that), and for which no rules are given. Those that
// every container may use are then the only ones, as with other runtimes.
func (l *launch) makesDevices() bool {
	s := l.spec
	given := s.Linux.Resources != nil && len(s.Linux.Resources.Devices) > 0
	return !given && isNew(s, specs.MountNamespace) && !has(s, specs.UserNamespace) && !l.fds.rootless && !l.fds.nested
}

func withDefaultDevices(r *specs.LinuxResources) *specs.LinuxResources {
	var with specs.LinuxResources
	if r != nil {
		with = *r
	}
	// What is allowed follows by itself: cgroup.DefaultDevices.
	with.Devices = []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	return &with
}

// openReport opens what the child needs to become another program first, and to
// tell of a failure when it is no longer a copy of ours.
func (l *launch) openReport() (err error) {
	n, fds := len(l.fds.files), &l.fds
	first := l.cfg.Init || needsDetour(l.spec) && !l.cfg.straight
	if first {
		if fds.first, err = openFirst(n, &l.opened); err != nil {
			return err
		}
	}
	if l.wait != nil {
		if fds.start, err = aside(int(l.wait.start.Fd()), n, &l.opened); err != nil {
			return err
		}
		fds.report, err = aside(int(l.wait.failed.Fd()), n, &l.opened)
		l.birth.Report = fds.report
		return err
	}
	if !first {
		return nil
	}
	if l.told, fds.report, err = newReport(n, &l.opened); err != nil {
		return err
	}
	l.files = append(l.files, l.told.r, l.told.w)
	return nil
}

// clone makes the child, and waits until it has executed its program, or is
// created.
func (l *launch) clone(ctx context.Context) error {
	s, trace := l.spec, l.cfg.Trace
	p, gates := compile(s, l.fds)
	if p.Len() > step.MaxLen {
		return fmt.Errorf("config.json: so many mounts, devices and paths need %d system calls, and %d are the most", p.Len(), step.MaxLen)
	}
	p.FailAt = l.cfg.failAt
	trace.trace(p)
	if gates.network != nil && trace != nil {
		gates.network.Observe = func(what, call string, begin int64) { trace.Add("network", what, call, begin) }
	}
	l.birth.Flags, l.birth.Until = cloneFlags(s), gates.ready
	l.birth.Ready = func(pid int) error { return l.meet(ctx, p, gates, pid) }
	clone := clone
	if among(s) {
		clone = cloneInto
	}
	child, err := clone(ctx, p, s.Process, l.birth)
	trace.program(p, l.birth, child.PID)
	if err != nil {
		if gates.network != nil {
			err = gates.network.Explain(err)
		}
		if has(s, specs.TimeNamespace) && errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("%w (a process that shares memory, as ours does until its execve, has a time namespace since Linux 6.2)", err)
		}
		return fmt.Errorf("starting %q: %w", s.Process.Args[0], explainUser(explain(rootfs.Explain(p, err), s.Process), l.birth.Cgroup >= 0))
	}
	l.pid, l.pidfd = child.PID, child.PIDFD
	if l.wait != nil {
		l.program = p // it is large: one whose child is through is let go
	}
	if l.told.r != nil {
		closeAll(&l.opened)
		at := now()
		err := l.told.await(ctx, p, l.pidfd)
		trace.detour(l.cfg, at, err)
		if err != nil {
			return fmt.Errorf("starting %q: %w", s.Process.Args[0], explain(err, s.Process))
		}
	}
	l.Timeline = append(l.marks, p.Marks()...)
	return nil
}

// meet does the parent's part while the child makes its calls: it meets the child
// at each gate, in the order in which the child comes to them.
func (l *launch) meet(ctx context.Context, p *step.Program, gates gates, pid int) (err error) {
	s, trace := l.spec, l.cfg.Trace
	if isNew(s, specs.UserNamespace) {
		at := now()
		if err := mapIDs(pid, s.Linux); err != nil {
			return err
		}
		if trace != nil {
			trace.Add("id maps", "who on the host its users are", describeMaps(pid, s.Linux), at)
		}
	}
	if l.rdt, err = enterRdt(s, l.cfg.ID, pid); err != nil {
		return err
	}
	gates.born.Open()
	if gates.forked != nil {
		if pid, err = gates.forked.Await(ctx); err != nil {
			return err
		}
	}
	if l.wait != nil {
		if err := l.wait.born(pid, p.Rest(gates.ready)); err != nil {
			return err
		}
	}
	for _, copied := range gates.copies {
		if err := copied.Do(ctx, pid); err != nil {
			return err
		}
	}
	if gates.hooks != nil {
		if err := gates.hooks.Await(ctx); err != nil {
			return err
		}
		at := now()
		if err := l.hooksBeforePivot(ctx, pid); err != nil {
			return err
		}
		trace.Add("file system", "hooks", "clone3, execve of each", at)
		gates.hooks.Open()
	}
	if gates.network != nil {
		// While the child mounts, unless it is yet to make its namespace.
		if gates.unshared != nil {
			if err := gates.unshared.Await(ctx); err != nil {
				return err
			}
		}
		if err := gates.network.Connect(ctx, pid); err != nil {
			return err
		}
	}
	if gates.devices != nil {
		if err := l.moveDevices(ctx, gates.devices, pid); err != nil {
			return err
		}
	}
	if gates.limits != nil {
		if err := gates.limits.Await(ctx); err != nil {
			return err
		}
		if err := limitProcess(pid, s.Process); err != nil {
			return fmt.Errorf("config.json: %w", err)
		}
		gates.limits.Open()
	}
	if gates.hold != nil {
		if err := gates.hold.Await(ctx); err != nil {
			return err
		}
		if err := l.cfg.Hold(); err != nil {
			return err
		}
		gates.hold.Open()
	}
	if gates.listener != nil {
		return gates.listener.hand(ctx, pid, s.Linux.Seccomp, state(&l.cfg, specs.StateCreating, pid))
	}
	return nil
}
