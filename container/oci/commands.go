package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container"
)

var specVersion = specs.Version

// version is set by scripts/build.
var version = ""

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// created are the flags of create and run.
type created struct {
	bundle, pidFile, consoleSocket string
	preserve                       int
	detach, keep                   bool
}

func (c *created) parse(name string, args []string) (id string, err error) {
	fs := flags(name)
	for _, f := range []string{"bundle", "b"} {
		fs.StringVar(&c.bundle, f, ".", "")
	}
	fs.StringVar(&c.pidFile, "pid-file", "", "")
	fs.StringVar(&c.consoleSocket, "console-socket", "", "")
	fs.IntVar(&c.preserve, "preserve-fds", 0, "")
	// These would weaken a container, or change nothing here.
	noPivot := fs.Bool("no-pivot", false, "")
	fs.Bool("no-new-keyring", false, "")
	if name == "run" {
		fs.BoolVar(&c.detach, "detach", false, "")
		fs.BoolVar(&c.detach, "d", false, "")
		fs.BoolVar(&c.keep, "keep", false, "")
		fs.Bool("no-subreaper", false, "")
	}
	rest, err := parse(fs, args, 1, 1)
	if err != nil {
		return "", err
	}
	if *noPivot {
		return "", errors.New("--no-pivot: a root that is not changed by pivot_root(2) can be left again; it is not supported")
	}
	return rest[0], nil
}

// config reads a bundle.
func (c *created) config(id string) (container.Config, error) {
	bundle, err := filepath.Abs(c.bundle)
	if err != nil {
		return container.Config{}, err
	}
	b, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return container.Config{}, fmt.Errorf("reading the bundle: %w", err)
	}
	var s specs.Spec
	if err := json.Unmarshal(b, &s); err != nil {
		return container.Config{}, fmt.Errorf("%s: %w", filepath.Join(bundle, "config.json"), err)
	}
	cfg := container.Config{ID: id, Spec: &s, Bundle: bundle, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	cfg.Files = preserved(c.preserve)
	return cfg, nil
}

// preserved are the descriptors from 3 on that a container gets.
func preserved(n int) []*os.File {
	var files []*os.File
	for i := range n {
		files = append(files, os.NewFile(uintptr(3+i), "preserved"))
	}
	return files
}

func create(ctx context.Context, g *globals, args []string) (int, error) {
	var c created
	id, err := c.parse("create", args)
	if err != nil {
		return 0, err
	}
	cfg, err := c.config(id)
	if err != nil {
		return 0, err
	}
	_, err = c.create(ctx, g, cfg)
	return 0, err
}

// create makes the container.
func (c *created) create(ctx context.Context, g *globals, cfg container.Config) (_ *container.Handle, err error) {
	if c.consoleSocket != "" {
		if cfg.Console, err = dial(c.consoleSocket); err != nil {
			return nil, err
		}
		defer cfg.Console.Close()
	}
	h, err := container.Create(ctx, g.root, cfg)
	if err != nil {
		return nil, err
	}
	if err := writePID(c.pidFile, h.Pid); err != nil {
		return nil, errors.Join(err, h.Delete(ctx, true))
	}
	return h, nil
}

// dial connects to the socket to which a terminal is to be sent.
func dial(path string) (*os.File, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("--console-socket: %w", err)
	}
	defer conn.Close()
	return conn.File()
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

func runContainer(ctx context.Context, g *globals, args []string) (int, error) {
	var c created
	id, err := c.parse("run", args)
	if err != nil {
		return 0, err
	}
	// A signal that comes early is kept until there is somebody to get it. To
	// ask for all of them takes Go's runtime over a millisecond, and meanwhile
	// the configuration can be read.
	signals, asked := make(chan os.Signal, 64), make(chan struct{})
	go func() {
		if !c.detach {
			signal.Notify(signals)
		}
		close(asked)
	}()
	cfg, err := c.config(id)
	<-asked
	if err != nil {
		return 0, err
	}
	h, err := c.create(ctx, g, cfg)
	if err != nil {
		return 0, err
	}
	if err := h.Start(ctx); err != nil {
		return 0, errors.Join(err, h.Delete(ctx, true))
	}
	if c.detach {
		return 0, nil
	}
	done := make(chan struct{})
	forwarded := make(chan struct{})
	go forward(signals, done, forwarded, func(s syscall.Signal) { h.Kill(s, false) })
	status, err := h.Wait(ctx)
	close(done)
	<-forwarded
	if !c.keep {
		// Somebody else may have deleted it.
		if deleteErr := h.Delete(ctx, true); !errors.Is(deleteErr, container.ErrNotExist) {
			err = errors.Join(err, deleteErr)
		}
	}
	return status.ExitCode(), err
}

// forward passes signals on until done is closed. SIGCHLD is about us, and
// SIGURG is what Go's runtime sends itself.
func forward(signals <-chan os.Signal, done <-chan struct{}, forwarded chan<- struct{}, send func(syscall.Signal)) {
	defer close(forwarded)
	for {
		select {
		case s := <-signals:
			if sig, ok := s.(syscall.Signal); ok && sig != unix.SIGCHLD && sig != unix.SIGURG && sig != unix.SIGPIPE {
				send(sig)
			}
		case <-done:
			return
		}
	}
}

func execute(ctx context.Context, g *globals, args []string) (int, error) {
	fs := flags("exec")
	var env values
	process, cwd, user := fs.String("process", "", ""), fs.String("cwd", "", ""), fs.String("user", "", "")
	fs.StringVar(process, "p", "", "")
	fs.StringVar(user, "u", "", "")
	fs.Var(&env, "env", "")
	fs.Var(&env, "e", "")
	tty, detach := fs.Bool("tty", false, ""), fs.Bool("detach", false, "")
	fs.BoolVar(tty, "t", false, "")
	fs.BoolVar(detach, "d", false, "")
	pidFile, consoleSocket := fs.String("pid-file", "", ""), fs.String("console-socket", "", "")
	preserve := fs.Int("preserve-fds", 0, "")
	rest, err := parse(fs, args, 1, 1<<20)
	if err != nil {
		return 0, err
	}
	h, err := container.Load(g.root, rest[0])
	if err != nil {
		return 0, err
	}
	e := container.Exec{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Files: preserved(*preserve), Detach: *detach}
	if e.Process, err = execProcess(h.Spec().Process, *process, rest[1:]); err != nil {
		return 0, err
	}
	e.Process.Env = append(e.Process.Env, env...)
	if *cwd != "" {
		e.Process.Cwd = *cwd
	}
	if *tty {
		e.Process.Terminal = true
	}
	if *user != "" {
		if e.Process.User, err = parseUser(*user); err != nil {
			return 0, err
		}
	}
	if *consoleSocket != "" {
		if e.Console, err = dial(*consoleSocket); err != nil {
			return 0, err
		}
		defer e.Console.Close()
	}
	signals := make(chan os.Signal, 64)
	if !*detach {
		signal.Notify(signals)
	}
	p, err := h.Exec(ctx, e)
	if err != nil {
		return 0, err
	}
	if err := writePID(*pidFile, p.PID); err != nil {
		return 0, err
	}
	if *detach {
		return 0, nil
	}
	done, forwarded := make(chan struct{}), make(chan struct{})
	go forward(signals, done, forwarded, func(s syscall.Signal) { p.Signal(s) })
	status, err := p.Wait(ctx)
	close(done)
	<-forwarded
	return status.ExitCode(), err
}

// execProcess is what exec is to run: a file's, or the container's own process
// with other arguments.
func execProcess(own *specs.Process, file string, args []string) (*specs.Process, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--process: %w", err)
		}
		var p specs.Process
		if err := json.Unmarshal(b, &p); err != nil {
			return nil, fmt.Errorf("--process: %s: %w", file, err)
		}
		return &p, nil
	}
	if len(args) == 0 {
		return nil, errUsage{"exec: no program is named"}
	}
	p := *own
	p.Args, p.Terminal = args, false
	p.Env = append([]string(nil), own.Env...)
	return &p, nil
}

func parseUser(s string) (u specs.User, err error) {
	uid, gid, hasGID := strings.Cut(s, ":")
	a, err := strconv.ParseUint(uid, 10, 32)
	var b uint64
	if err == nil && hasGID {
		b, err = strconv.ParseUint(gid, 10, 32)
	}
	if err != nil {
		return u, errUsage{fmt.Sprintf("--user %q: two numbers are expected, UID:GID", s)}
	}
	return specs.User{UID: uint32(a), GID: uint32(b)}, nil
}

func state(_ context.Context, g *globals, args []string) (int, error) {
	h, err := find(g, "state", args)
	if err != nil {
		return 0, err
	}
	return 0, writeJSON(g.stdout, h.OCIState())
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	return e.Encode(v)
}

func kill(_ context.Context, g *globals, args []string) (int, error) {
	fs := flags("kill")
	all := fs.Bool("all", false, "")
	fs.BoolVar(all, "a", false, "")
	rest, err := parse(fs, args, 1, 2)
	if err != nil {
		return 0, err
	}
	sig := unix.SIGTERM
	if len(rest) == 2 {
		if sig, err = parseSignal(rest[1]); err != nil {
			return 0, err
		}
	}
	h, err := container.Load(g.root, rest[0])
	if err != nil {
		return 0, err
	}
	return 0, h.Kill(sig, *all)
}

// parseSignal reads "9", "KILL" or "SIGKILL".
func parseSignal(s string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if n := unix.SignalNum(name); n != 0 {
		return n, nil
	}
	return 0, errUsage{fmt.Sprintf("kill: %q is no signal", s)}
}

func pause(ctx context.Context, g *globals, args []string) (int, error) {
	h, err := find(g, "pause", args)
	if err != nil {
		return 0, err
	}
	return 0, h.Pause(ctx)
}

func resume(ctx context.Context, g *globals, args []string) (int, error) {
	h, err := find(g, "resume", args)
	if err != nil {
		return 0, err
	}
	return 0, h.Resume(ctx)
}

func remove(ctx context.Context, g *globals, args []string) (int, error) {
	fs := flags("delete")
	force := fs.Bool("force", false, "")
	fs.BoolVar(force, "f", false, "")
	rest, err := parse(fs, args, 1, 1)
	if err != nil {
		return 0, err
	}
	h, err := container.Load(g.root, rest[0])
	if errors.Is(err, container.ErrNotExist) && *force {
		return 0, container.RemoveRest(g.root, rest[0])
	}
	if err != nil {
		return 0, err
	}
	return 0, h.Delete(ctx, *force)
}

func list(_ context.Context, g *globals, args []string) (int, error) {
	fs := flags("list")
	format, quiet := fs.String("format", "table", ""), fs.Bool("quiet", false, "")
	fs.StringVar(format, "f", "table", "")
	fs.BoolVar(quiet, "q", false, "")
	if _, err := parse(fs, args, 0, 0); err != nil {
		return 0, err
	}
	all, err := container.List(g.root)
	if err != nil {
		return 0, err
	}
	if *format == "json" {
		states := []specs.State{}
		for _, h := range all {
			states = append(states, h.OCIState())
		}
		return 0, writeJSON(g.stdout, states)
	}
	if !*quiet {
		fmt.Fprintf(g.stdout, "%-24s %-8s %-9s %-20s %s\n", "ID", "PID", "STATUS", "CREATED", "BUNDLE")
	}
	for _, h := range all {
		if *quiet {
			fmt.Fprintln(g.stdout, h.ID)
			continue
		}
		fmt.Fprintf(g.stdout, "%-24s %-8d %-9s %-20s %s\n", h.ID, h.OCIState().Pid, h.Status, h.Created.Format("2006-01-02T15:04:05Z"), h.Bundle)
	}
	return 0, nil
}

func ps(_ context.Context, g *globals, args []string) (int, error) {
	fs := flags("ps")
	format := fs.String("format", "table", "")
	fs.StringVar(format, "f", "table", "")
	rest, err := parse(fs, args, 1, 1)
	if err != nil {
		return 0, err
	}
	h, err := container.Load(g.root, rest[0])
	if err != nil {
		return 0, err
	}
	pids, err := h.Processes()
	if err != nil {
		return 0, err
	}
	if *format == "json" {
		return 0, writeJSON(g.stdout, pids)
	}
	fmt.Fprintf(g.stdout, "%8s %s\n", "PID", "COMMAND")
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended
		fmt.Fprintf(g.stdout, "%8d %s\n", pid, strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " ")))
	}
	return 0, nil
}

func spec(_ context.Context, g *globals, args []string) (int, error) {
	fs := flags("spec")
	bundle := fs.String("bundle", ".", "")
	fs.StringVar(bundle, "b", ".", "")
	if _, err := parse(fs, args, 0, 0); err != nil {
		return 0, err
	}
	s := container.DefaultSpec([]string{"sh"}, []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"}, "/")
	// A folder's files belong to the host's root: without a mapping they are
	// the container's root's.
	s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	var kept []specs.LinuxNamespace
	for _, n := range s.Linux.Namespaces {
		if n.Type != specs.UserNamespace {
			kept = append(kept, n)
		}
	}
	s.Linux.Namespaces = kept
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return 0, err
	}
	f, err := os.OpenFile(filepath.Join(*bundle, "config.json"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, fmt.Errorf("writing the configuration: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	return 0, errors.Join(err, f.Close())
}

func features(_ context.Context, g *globals, args []string) (int, error) {
	if _, err := parse(flags("features"), args, 0, 0); err != nil {
		return 0, err
	}
	return 0, writeJSON(g.stdout, container.Features())
}
