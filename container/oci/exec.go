package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container"
)

// execution is the flags of exec.
type execution struct {
	process, cwd, user, label, apparmor string
	env, groups, caps, cgroups          values
	tty, detach, noNewPrivs, paused     bool
	pidFile, consoleSocket, pidfdSocket string
	preserve                            int
}

func (e *execution) parse(args []string) (id string, command []string, err error) {
	fs := flags("exec")
	for _, f := range []struct {
		long, short string
		value       *string
	}{
		{"process", "p", &e.process}, {"cwd", "", &e.cwd}, {"user", "u", &e.user}, {"process-label", "", &e.label}, {"apparmor", "", &e.apparmor},
		{"pid-file", "", &e.pidFile}, {"console-socket", "", &e.consoleSocket}, {"pidfd-socket", "", &e.pidfdSocket},
	} {
		fs.StringVar(f.value, f.long, "", "")
		if f.short != "" {
			fs.StringVar(f.value, f.short, "", "")
		}
	}
	for name, list := range map[string]*values{"env": &e.env, "e": &e.env, "additional-gids": &e.groups, "g": &e.groups, "cap": &e.caps, "c": &e.caps, "cgroup": &e.cgroups} {
		fs.Var(list, name, "")
	}
	for name, b := range map[string]*bool{"tty": &e.tty, "t": &e.tty, "detach": &e.detach, "d": &e.detach, "no-new-privs": &e.noNewPrivs, "ignore-paused": &e.paused} {
		fs.BoolVar(b, name, false, "")
	}
	fs.IntVar(&e.preserve, "preserve-fds", 0, "")
	// What follows the container is the program's, flags included.
	if err := fs.Parse(args); err != nil {
		return "", nil, wrongFlag(fs, err)
	}
	if fs.NArg() == 0 {
		return "", nil, errUsage{"exec: no container is named"}
	}
	command = fs.Args()[1:]
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if len(command) == 0 && e.process == "" {
		return "", nil, errUsage{"exec: neither a program is named, nor --process FILE"}
	}
	return fs.Arg(0), command, nil
}

// spec is the process that the flags describe: that of a file, or the
// container's own with another program and what else they change.
func (e *execution) spec(own *specs.Process, command []string) (*specs.Process, error) {
	if e.process != "" {
		b, err := os.ReadFile(e.process)
		if err != nil {
			return nil, fmt.Errorf("--process: %w", err)
		}
		var p specs.Process
		if err := json.Unmarshal(b, &p); err != nil {
			return nil, fmt.Errorf("--process: %w", jsonError(e.process, b, err))
		}
		return &p, nil
	}
	p := *own
	p.Args, p.Terminal, p.ConsoleSize = command, e.tty, nil
	p.Env = append(append([]string(nil), own.Env...), e.env...)
	if e.cwd != "" {
		p.Cwd = e.cwd
	}
	if e.label != "" {
		p.SelinuxLabel = e.label
	}
	if e.apparmor != "" {
		p.ApparmorProfile = e.apparmor
	}
	if e.noNewPrivs {
		p.NoNewPrivileges = true
	}
	if len(e.caps) > 0 {
		var c specs.LinuxCapabilities
		if own.Capabilities != nil {
			c = *own.Capabilities
		}
		for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted} {
			*set = append(append([]string(nil), *set...), e.caps...)
		}
		p.Capabilities = &c
	}
	return &p, e.setUser(&p.User)
}

// setUser changes what the flags name, and leaves the rest of the user.
func (e *execution) setUser(u *specs.User) error {
	number := func(flag, s string) (uint32, error) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return 0, errUsage{fmt.Sprintf("exec: %s: %q is not a number", flag, s)}
		}
		return uint32(n), nil
	}
	if e.user != "" {
		uid, gid, hasGID := strings.Cut(e.user, ":")
		var err error
		if u.UID, err = number("--user", uid); err != nil {
			return err
		}
		if hasGID {
			if u.GID, err = number("--user", gid); err != nil {
				return err
			}
		}
	}
	u.AdditionalGids = append([]uint32(nil), u.AdditionalGids...)
	for _, s := range e.groups {
		gid, err := number("--additional-gids", s)
		if err != nil {
			return err
		}
		u.AdditionalGids = append(u.AdditionalGids, gid)
	}
	return nil
}

// subgroups reads --cgroup: PATH, or CONTROLLER[,CONTROLLER...]:PATH, below the
// container's cgroup. The path of "" is for all controllers.
func subgroups(list []string) (map[string]string, error) {
	groups := map[string]string{}
	for _, s := range list {
		controllers, path, ok := strings.Cut(s, ":")
		if !ok {
			controllers, path = "", s
		}
		for c := range strings.SplitSeq(controllers, ",") {
			if _, twice := groups[c]; twice || c == "" && ok {
				return nil, errUsage{fmt.Sprintf("exec: --cgroup %q: one path for each controller is expected, or PATH alone", s)}
			}
			groups[c] = path
		}
	}
	return groups, nil
}

func execute(ctx context.Context, g *globals, args []string) (int, error) {
	var x execution
	id, command, err := x.parse(args)
	if err != nil {
		return 0, err
	}
	var s *signals
	if !x.detach {
		s = catch()
	}
	h, err := container.Load(g.root, id)
	if err != nil {
		return 0, err
	}
	e := container.Exec{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Detach: x.detach, Paused: x.paused}
	if e.Process, err = x.spec(h.Spec().Process, command); err != nil {
		return 0, err
	}
	e.Files, e.Process.Env = passed(x.preserve, e.Process.Env)
	if e.Cgroups, err = subgroups(x.cgroups); err != nil {
		return 0, err
	}
	t, err := openConsole(x.consoleSocket, x.detach, e.Process)
	if err != nil {
		return 0, err
	}
	defer t.close()
	e.Console = t.socket()
	s.wait()
	p, err := h.Exec(ctx, e)
	if err != nil {
		return 0, err
	}
	if err = t.attach(); err == nil {
		err = sendPidfd(x.pidfdSocket, p.PID, "setns")
	}
	if err == nil {
		err = writePID(x.pidFile, p.PID)
	}
	if err != nil {
		return 0, errors.Join(err, p.Signal(syscall.SIGKILL))
	}
	if x.detach {
		return 0, nil
	}
	stop := s.forward(t, func(sig syscall.Signal) { p.Signal(sig) })
	status, err := p.Wait(ctx)
	stop()
	t.drain()
	return status.ExitCode(), err
}
