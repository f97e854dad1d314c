package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container"
)

// creation is the flags of create and of run.
type creation struct {
	bundle, pidFile, consoleSocket, pidfdSocket string
	noPivot, noNewKeyring                       bool
	preserve                                    int
	detach, keep                                bool
}

func (c *creation) parse(name string, args []string) (id string, err error) {
	fs := flags(name)
	for _, f := range []string{"bundle", "b"} {
		fs.StringVar(&c.bundle, f, ".", "")
	}
	fs.StringVar(&c.pidFile, "pid-file", "", "")
	fs.StringVar(&c.consoleSocket, "console-socket", "", "")
	fs.StringVar(&c.pidfdSocket, "pidfd-socket", "", "")
	fs.IntVar(&c.preserve, "preserve-fds", 0, "")
	fs.BoolVar(&c.noPivot, "no-pivot", false, "")
	fs.BoolVar(&c.noNewKeyring, "no-new-keyring", false, "")
	if name == "run" {
		for _, f := range []string{"detach", "d"} {
			fs.BoolVar(&c.detach, f, false, "")
		}
		fs.BoolVar(&c.keep, "keep", false, "")
		fs.Bool("no-subreaper", false, "") // we never are one: who is orphaned goes to init
	} else {
		c.detach = true
	}
	rest, err := parse(fs, args, 1, 1)
	if err != nil {
		return "", err
	}
	return rest[0], nil
}

// config reads a bundle.
func (c *creation) config(id string) (container.Config, error) {
	bundle, err := filepath.Abs(c.bundle)
	if err != nil {
		return container.Config{}, err
	}
	path := filepath.Join(bundle, "config.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return container.Config{}, fmt.Errorf("reading the bundle: %w", err)
	}
	var s specs.Spec
	if err := json.Unmarshal(b, &s); err != nil {
		return container.Config{}, jsonError(path, b, err)
	}
	cfg := container.Config{
		ID: id, Spec: &s, Bundle: bundle, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		NoPivot: c.noPivot, KeepKeyring: c.noNewKeyring,
	}
	if s.Process != nil {
		cfg.Files, s.Process.Env = passed(c.preserve, s.Process.Env)
	}
	return cfg, nil
}

// jsonError says which field, or which line, of a file is wrong.
func jsonError(path string, b []byte, err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: %s: a %s is of no use there, it takes a %s", path, e.Field, e.Value, e.Type)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		line := 1
		for _, c := range b[:min(int(e.Offset), len(b))] {
			if c == '\n' {
				line++
			}
		}
		return fmt.Errorf("%s:%d: %w", path, line, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// passed are the descriptors from 3 on that a program gets: those that a
// service manager gave us for it (sd_listen_fds(3)) and n more. Its environment
// tells it of the former.
func passed(n int, env []string) ([]*os.File, []string) {
	if listen, err := strconv.Atoi(os.Getenv("LISTEN_FDS")); err == nil && listen > 0 {
		n += listen
		env = append(env, "LISTEN_FDS="+strconv.Itoa(listen), "LISTEN_PID=1")
	}
	var files []*os.File
	for i := range n {
		files = append(files, os.NewFile(uintptr(3+i), "preserved"))
	}
	return files, env
}

func create(ctx context.Context, g *globals, args []string) (int, error) {
	var c creation
	id, err := c.parse("create", args)
	if err != nil {
		return 0, err
	}
	cfg, err := c.config(id)
	if err != nil {
		return 0, err
	}
	_, _, err = c.create(ctx, g, cfg)
	return 0, err
}

// create makes the container, and our end of its terminal if that is for us.
func (c *creation) create(ctx context.Context, g *globals, cfg container.Config) (_ *container.Handle, _ *console, err error) {
	t, err := openConsole(c.consoleSocket, c.detach, cfg.Spec.Process)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	cfg.Console = t.socket()
	h, err := container.Create(ctx, g.root, cfg)
	if err != nil {
		return nil, nil, err
	}
	if err = t.attach(); err == nil {
		err = sendPidfd(c.pidfdSocket, h.Pid, "standard")
	}
	if err == nil {
		// Last, as an engine takes it for a sign that all is done.
		err = writePID(c.pidFile, h.Pid)
	}
	if err != nil {
		return nil, nil, errors.Join(err, h.Delete(ctx, true))
	}
	return h, t, nil
}

// dial connects to a UNIX socket that a flag names.
func dial(flag, path string) (*os.File, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	defer conn.Close()
	return conn.File()
}

// sendPidfd sends a descriptor of the process (pidfd_open(2)) to a socket.
func sendPidfd(path string, pid int, text string) error {
	if path == "" {
		return nil
	}
	socket, err := dial("--pidfd-socket", path)
	if err != nil {
		return err
	}
	defer socket.Close()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendmsg(int(socket.Fd()), []byte(text), unix.UnixRights(fd), nil, 0); err != nil {
		return fmt.Errorf("--pidfd-socket: sendmsg: %w", err)
	}
	return nil
}

// writePID writes the file as a whole: an engine reads it as soon as it is
// there.
func writePID(path string, pid int) error {
	if path == "" {
		return nil
	}
	part := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(part, strconv.AppendInt(nil, int64(pid), 10), 0o666); err != nil {
		return fmt.Errorf("--pid-file: %w", err)
	}
	return os.Rename(part, path)
}

func start(ctx context.Context, g *globals, args []string) (int, error) {
	h, err := find(g, "start", args)
	if err != nil {
		return 0, err
	}
	return 0, h.Start(ctx)
}

// find is the container that the only argument names.
func find(g *globals, name string, args []string) (*container.Handle, error) {
	rest, err := parse(flags(name), args, 1, 1)
	if err != nil {
		return nil, err
	}
	return container.Load(g.root, rest[0])
}
