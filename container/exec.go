package container

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// passFiles appends the calls that put descriptors on 0, 1, 2 and so on. They
// are first copied above those, since they can be among them in another order.
func passFiles(p *step.Program, files []step.Arg) {
	p.Step("standard input, output and error", "")
	copies := make([]step.Result, len(files))
	for i, f := range files {
		copies[i] = p.Call("fcntl", unix.SYS_FCNTL, f, step.Flag(unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"), step.Int(len(files)))
	}
	for i, c := range copies {
		p.Call("dup3", unix.SYS_DUP3, c.Arg(), step.Int(i), step.Int(0))
	}
}

// aside gives a descriptor that stays when the first n are taken by those of
// the program: itself, or a copy, which it adds to opened. The copy has the next
// free number. A high one would look simpler, but to make this process's table of
// descriptors larger costs the kernel, once, milliseconds: it waits until no
// other thread can read the old one (expand_fdtable in fs/file.c).
func aside(fd, n int, opened *[]int) (int, error) {
	if fd >= n {
		return fd, nil
	}
	moved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, n)
	if err != nil {
		return -1, fmt.Errorf("fcntl(F_DUPFD_CLOEXEC, %d): %w", n, err)
	}
	*opened = append(*opened, moved)
	return moved, nil
}

func closeAll(fds *[]int) {
	for _, fd := range *fds {
		unix.Close(fd)
	}
	*fds = nil
}

// parent is a descriptor of this process for a child whose program gets n
// descriptors.
func parent(n int, opened *[]int) (int, error) {
	self, err := step.Self()
	if err != nil {
		return -1, err
	}
	return aside(self, n, opened)
}

// An ending is how a child becomes its program.
type ending struct {
	nfiles int  // it keeps its descriptors below this
	parent int  // pidfd of its parent, with which it ends; -1 if it outlives that
	report int  // where it says that it could not: 0 for nowhere
	first  int  // the program of first.go, which it becomes first and which needs a report; 0 for none
	init   bool // that stays, as an init
}

// execute appends the last calls: the process becomes its program.
func execute(p *step.Program, proc *specs.Process, e ending) {
	if proc.OOMScoreAdj != nil {
		nameStarting(p)
	}
	executeFile(p, candidates(proc.Args[0], proc.Env), proc.Args, proc.Env, proc.Cwd, e)
}

// executeFile executes the first of files that there is.
func executeFile(p *step.Program, files, args, env []string, cwd string, e ending) {
	p.Step("nothing of the parent's stays open, and no signal blocked", "")
	if e.parent >= 0 {
		dieWithParent(p, e.parent)
	}
	// No other descriptor of ours goes in, neither by itself nor, by way of
	// /proc/self/fd, as the working directory: in CVE-2024-21626 both did.
	closeOthers(p, e.nfiles, e.report, e.first)
	p.Call("chdir", unix.SYS_CHDIR, p.Str(cwd))
	p.Call("rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, step.Flag(unix.SIG_SETMASK, "SIG_SETMASK"), step.Struct(p, [8]byte{}, "[]"), step.Null(), step.Int(8))
	p.Step("become the program", "")
	// Of the environment, like strace, only the size: it can hold secrets.
	envp := p.Vector(env, fmt.Sprintf("[/* %d vars */]", len(env)))
	if e.first > 0 {
		executeFirst(p, files, args, envp, e)
		return
	}
	argv := p.Vector(args, fmt.Sprintf("%q", args))
	for i, file := range files {
		p.Call("execve", unix.SYS_EXECVE, p.Str(file), argv, envp)
		if i < len(files)-1 {
			p.Allow(syscall.ENOENT, syscall.EACCES, syscall.ENOTDIR)
		}
	}
}

// closeOthers appends the calls that close all descriptors but those below
// nfiles and those that are kept, of which 0 is none.
func closeOthers(p *step.Program, nfiles int, kept ...int) {
	slices.Sort(kept)
	from, arg := nfiles, step.Int(nfiles)
	for _, fd := range kept {
		if fd <= 0 {
			continue
		}
		if fd > from {
			p.Call("close_range", unix.SYS_CLOSE_RANGE, arg, step.Flag(fd-1, "kept-1"), step.Int(0))
		}
		from, arg = fd+1, step.Flag(fd+1, "kept+1")
	}
	p.Call("close_range", unix.SYS_CLOSE_RANGE, arg, step.Flag(1<<32-1, "~0"), step.Int(0))
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
	for _, dir := range strings.Split(search, ":") {
		files = append(files, path.Join("/", dir, name))
	}
	return files
}

// findProgram appends calls that fail if none of the files that a command may
// name can be executed. So who creates a container learns of it then, and not
// when it is started: some engines tell their users only what `create` says.
func findProgram(p *step.Program, proc *specs.Process) {
	files := candidates(proc.Args[0], proc.Env)
	var look func(i int)
	look = func(i int) {
		found := p.Call("faccessat", unix.SYS_FACCESSAT, step.Cwd(), p.Str(absolute(files[i], proc.Cwd)), step.Flag(unix.X_OK, "X_OK"))
		if i+1 < len(files) {
			p.Allow(syscall.ENOENT, syscall.EACCES, syscall.ENOTDIR)
			p.Unless(found, func() { look(i + 1) })
		}
	}
	look(0)
}

func absolute(file, cwd string) string {
	if path.IsAbs(file) {
		return file
	}
	return path.Join(cwd, file)
}

// explain says what the errno of an execve(2), or of looking for its file, means for whoever wrote the
// configuration.
func explain(err error, proc *specs.Process) error {
	var e *step.Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Call, "execve") && !strings.HasPrefix(e.Call, "faccessat(") {
		return err
	}
	switch e.Errno {
	case syscall.ENOENT:
		return fmt.Errorf("%w (the container's file system has no such program, or not the interpreter that it names; tried: %s)", err, strings.Join(candidates(proc.Args[0], proc.Env), ", "))
	case syscall.ENOEXEC:
		return fmt.Errorf("%w (neither a program for this CPU nor a script that begins with #!)", err)
	case syscall.EACCES:
		return fmt.Errorf("%w (not a file that this user may execute)", err)
	}
	return err
}

// dieWithParent appends the calls after which the child cannot outlive us:
// prctl(2) PR_SET_PDEATHSIG, and, since we may have died before it, a look at
// our pidfd (it becomes readable when its process ends, pidfd_open(2)). A change
// of user clears the signal: so it is set at the start and again at the end.
func dieWithParent(p *step.Program, self int) {
	p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"), step.Flag(int(unix.SIGKILL), "SIGKILL"))
	p.Call("ppoll", unix.SYS_PPOLL, step.Struct(p, unix.PollFd{Fd: int32(self), Events: unix.POLLIN}, "{parent, POLLIN}"), step.Int(1), step.Struct(p, unix.Timespec{}, "0s"), step.Null(), step.Int(0))
	p.MustBeZero()
}
