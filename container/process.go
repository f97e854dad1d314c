package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/rootfs"
	"vmctr/container/seccomp"
	"vmctr/container/step"
)

// enter appends the call that joins namespaces of a process (setns(2) with a
// pidfd, Linux 5.8).
func enter(p *step.Program, pidfd int, flags int) {
	p.Call("setns", unix.SYS_SETNS, step.Flag(pidfd, "container"), step.Flag(flags, strings.ReplaceAll("CLONE_"+step.CloneFlags(uint64(flags)), "|", "|CLONE_")))
}

// wait reaps a child, or kills it when ctx ends.
func wait(ctx context.Context, pidfd int) (Status, error) {
	stop := context.AfterFunc(ctx, func() { unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) })
	status, err := reapChild(pidfd)
	if !stop() && ctx.Err() != nil && status.Signal == unix.SIGKILL {
		return status, context.Cause(ctx)
	}
	return status, err
}

// awaitChild waits for the end of a child as Go waits for a socket: in waitid(2)
// it would hold a thread, with its stacks, for each container that idles. That
// it comes back says nothing: whoever reaps then waits for what is left.
func awaitChild(pidfd int) {
	own, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return
	}
	// With O_NONBLOCK os.NewFile gives it to the poller; a pidfd is readable when
	// its process has ended (pidfd_open(2)).
	if unix.SetNonblock(own, true) != nil {
		unix.Close(own)
		return
	}
	f := os.NewFile(uintptr(own), "pidfd")
	defer f.Close()
	defer unix.SetNonblock(own, false) // the duplicate's flags are the pidfd's
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	conn.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
}

// reapChild waits for the end of a child.
func reapChild(pidfd int) (Status, error) {
	awaitChild(pidfd)
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PIDFD, pidfd, &info, unix.WEXITED, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return Status{Code: -1}, fmt.Errorf("waitid: %w", err)
		}
	}
	code, status := siginfoStatus(&info)
	if code == cldExited {
		return Status{Code: status}, nil
	}
	return Status{Signal: syscall.Signal(status)}, nil
}

// memfd is a file in memory with this content.
func memfd(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(content)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Exec is a second program in a container that runs.
type Exec struct {
	Process               *specs.Process
	Stdin, Stdout, Stderr *os.File
	Files                 []*os.File // the descriptors from 3 on
	Console               *os.File   // for a terminal, as in Config
	Detach                bool       // it outlives us
	// Paused accepts a paused container: the program starts when that is
	// resumed, and Exec returns then.
	Paused bool
	// Cgroups are groups below the container's for the program, by controller;
	// that of "" is for all others.
	Cgroups map[string]string

	file string // the program, if it is not what Process.Args[0] names
}

// A Process is a program that was started in a container.
type Process struct {
	PID   int
	pidfd int
}

// Wait waits until the process has ended, and reaps it.
func (p *Process) Wait(ctx context.Context) (Status, error) {
	defer unix.Close(p.pidfd)
	return wait(ctx, p.pidfd)
}

// Signal sends it a signal.
func (p *Process) Signal(sig syscall.Signal) error {
	return unix.PidfdSendSignal(p.pidfd, sig, nil, 0)
}

// Exec starts a program in the container: it joins all that the first process
// is in (setns(2) with a pidfd, Linux 5.8), and gets the privileges that its
// own configuration grants.
func (h *Handle) Exec(ctx context.Context, e Exec) (*Process, error) {
	if h.Status != specs.StateRunning && h.Status != specs.StateCreated && !(h.Status == statePaused && e.Paused) {
		return nil, fmt.Errorf("container %q is %s: no program can be started in it", h.ID, h.Status)
	}
	s := *h.spec
	s.Process = e.Process
	s.Hooks, s.Mounts = nil, nil
	if s.Linux != nil { // the limits are those that the container has
		l := *s.Linux
		l.Resources = nil
		s.Linux = &l
	}
	if err := check(&s, true); err != nil {
		return nil, err
	}
	if e.Process.Terminal && e.Console == nil {
		return nil, errors.New("process.terminal: nobody takes the terminal: a console socket is needed")
	}
	init, err := h.pidfd()
	if err != nil {
		return nil, err
	}
	defer unix.Close(init)
	var opened []int
	defer closeAll(&opened)
	self, err := parent(3+len(e.Files), &opened)
	if err != nil {
		return nil, err
	}
	o := step.Options{Cgroup: -1}
	var flags uint64
	for t, f := range namespaceFlags {
		if has(&s, t) {
			flags |= f
		}
	}
	affinity := &specs.CPUAffinity{}
	if a := s.Process.ExecCPUAffinity; a != nil {
		affinity = a
	}
	if affinity.Initial != "" {
		o.Thread = func() error {
			// The child inherits it, and has it until it joins its cgroup.
			cpus, _ := cpuSet(affinity.Initial)
			if err := unix.SchedSetaffinity(0, cpus); err != nil {
				return fmt.Errorf("process.execCPUAffinity.initial: %q: sched_setaffinity: %w", affinity.Initial, err)
			}
			return nil
		}
	}
	var tasks []int
	if group, err := h.group(); err == nil {
		if len(e.Cgroups) == 0 {
			group, err = group.With(h.Pid)
		} else {
			group, err = group.Below(e.Cgroups)
		}
		if err != nil {
			return nil, err
		}
		folder, files, err := group.Entrances()
		if err != nil {
			return nil, err
		}
		if folder != nil {
			defer folder.Close()
			o.Cgroup = int(folder.Fd())
		}
		for _, f := range files {
			defer f.Close()
			tasks = append(tasks, int(f.Fd()))
		}
	}
	var filter *seccomp.Filter
	if s.Linux.Seccomp != nil {
		if filter, err = seccomp.Compile(s.Linux.Seccomp); err != nil {
			return nil, fmt.Errorf("config.json: %w", err)
		}
	}

	p := step.New()
	var forked *step.Fork
	p.Phase("namespaces")
	dieWithParent(p, self)
	hide(p)
	newKeyring(p, h.Keyring)
	for _, fd := range tasks {
		p.Call("write", unix.SYS_WRITE, step.Flag(fd, "tasks"), p.Str("0"), step.Int(1))
	}
	if affinity.Final != "" {
		cpus, _ := cpuSet(affinity.Final)
		p.Call("sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, step.Int(0), step.Int(1024/8), setBytes(p, cpus, "process.execCPUAffinity.final: "+affinity.Final))
	}
	label(p, s.Process)
	if flags != 0 {
		enter(p, init, int(flags))
	}
	if flags&byBirth != 0 {
		forked = p.Fork()
		dieWithParent(p, self)
	}
	if has(&s, specs.UserNamespace) {
		setUser(p, specs.User{}, powerless())
		dieWithParent(p, self)
	}
	p.Call("umask", unix.SYS_UMASK, step.Octal(0o022))
	p.Call("setsid", unix.SYS_SETSID)
	var limits *step.Gate
	if limited(s.Process) {
		limits = p.Gate(10 * time.Second)
	}
	p.Phase("privileges")
	var fds []int
	for _, f := range append([]*os.File{e.Stdin, e.Stdout, e.Stderr}, e.Files...) {
		fds = append(fds, int(f.Fd()))
	}
	files := arguments(fds)
	if s.Process.Terminal {
		tty := openTerminal(p, ownMultiplexer(p), s.Process, int(e.Console.Fd()))
		files[0], files[1], files[2] = tty.Arg(), tty.Arg(), tty.Arg()
	}
	passFiles(p, files)
	listener := privileges(p, &s, descriptors{uid: os.Geteuid(), gid: os.Getegid(), rootless: rootless(), nested: rootfs.Nested()}, filter)
	p.Phase("exec")
	if e.Detach {
		p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"), step.Int(0))
		self = -1
	}
	end := ending{nfiles: len(files), parent: self, among: true}
	var told report
	if needsDetour(&s) {
		if end.first, err = openFirst(len(fds), &opened); err != nil {
			return nil, err
		}
		if told, end.report, err = newReport(len(fds), &opened); err != nil {
			return nil, err
		}
		defer told.Close()
	}
	programs := candidates(s.Process.Args[0], s.Process.Env)
	if e.file != "" {
		programs = []string{e.file}
	}
	executeFile(p, programs, s.Process.Args, s.Process.Env, s.Process.Cwd, end)

	o.Ready = func(pid int) error {
		if forked != nil {
			var err error
			if pid, err = forked.Await(ctx); err != nil {
				return err
			}
		}
		if _, err := enterRdt(&s, h.ID, pid); err != nil {
			return err
		}
		if limits != nil {
			if err := limits.Await(ctx); err != nil {
				return err
			}
			if err := limitProcess(pid, s.Process); err != nil {
				return err
			}
			limits.Open()
		}
		if listener != nil {
			return listener.hand(ctx, pid, s.Linux.Seccomp, h.State)
		}
		return nil
	}
	child, err := cloneInto(ctx, p, s.Process, o)
	if err != nil {
		return nil, fmt.Errorf("starting %q: %w", s.Process.Args[0], explain(err, s.Process))
	}
	if told.r != nil {
		closeAll(&opened)
		if err := told.await(ctx, p, child.PIDFD); err != nil {
			unix.Close(child.PIDFD)
			return nil, fmt.Errorf("starting %q: %w", s.Process.Args[0], explain(err, s.Process))
		}
	}
	return &Process{child.PID, child.PIDFD}, nil
}
