package container

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// passFiles appends the calls that put descriptors on 0, 1, 2 and so on. They
// are first copied above those, since they can be among them in another order.
func passFiles(p *step.Program, files []step.Arg) {
	copies := make([]step.Result, len(files))
	for i, f := range files {
		copies[i] = p.Call("fcntl", unix.SYS_FCNTL, f, step.Flag(unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"), step.Int(len(files)))
	}
	for i, c := range copies {
		p.Call("dup3", unix.SYS_DUP3, c.Arg(), step.Int(i), step.Int(0))
	}
}

// execute appends the last calls: the process becomes its program, with its
// first descriptors, as many as nfiles says. self is a pidfd of the parent, with
// which it ends; -1 for a process that outlives it.
// report is where it says that it could not, 0 for nowhere.
func execute(p *step.Program, proc *specs.Process, self, nfiles, report int) {
	if proc.OOMScoreAdj != nil {
		nameStarting(p)
	}
	executeFile(p, candidates(proc.Args[0], proc.Env), proc.Args, proc.Env, proc.Cwd, self, nfiles, report)
}

// executeFile executes the first of files that there is.
func executeFile(p *step.Program, files, args, env []string, cwd string, self, nfiles, report int) {
	if self >= 0 {
		dieWithParent(p, self)
	}
	// No other descriptor of ours goes in, neither by itself nor, by way of
	// /proc/self/fd, as the working directory: in CVE-2024-21626 both did.
	if report > 0 {
		p.Call("close_range", unix.SYS_CLOSE_RANGE, step.Int(nfiles), step.Flag(report-1, "failed-1"), step.Int(0))
		p.Call("close_range", unix.SYS_CLOSE_RANGE, step.Flag(report+1, "failed+1"), step.Flag(1<<32-1, "~0"), step.Int(0))
	} else {
		p.Call("close_range", unix.SYS_CLOSE_RANGE, step.Int(nfiles), step.Flag(1<<32-1, "~0"), step.Int(0))
	}
	p.Call("chdir", unix.SYS_CHDIR, p.Str(cwd))
	p.Call("rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, step.Flag(unix.SIG_SETMASK, "SIG_SETMASK"), step.Struct(p, [8]byte{}, "[]"), step.Null(), step.Int(8))
	// Of the environment, like strace, only the size: it can hold secrets.
	argv, envp := p.Vector(args, fmt.Sprintf("%q", args)), p.Vector(env, fmt.Sprintf("[/* %d vars */]", len(env)))
	for i, file := range files {
		p.Call("execve", unix.SYS_EXECVE, p.Str(file), argv, envp)
		if i < len(files)-1 {
			p.Allow(syscall.ENOENT, syscall.EACCES, syscall.ENOTDIR)
		}
	}
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

// explain says what the errno of an execve(2) means for whoever wrote the
// configuration.
func explain(err error, proc *specs.Process) error {
	var e *step.Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Call, "execve(") {
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
