package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/bench/harness"
	"vmctr/bench/peers/peer"
	"vmctr/container"
	"vmctr/container/network"
)

// patience is how long a container may take to start, or to end.
const patience = 30 * time.Second

// times are when what happened, in nanoseconds of CLOCK_MONOTONIC.
type times struct{ start, first, exit int64 }

// A line of output, and when it came.
type line struct {
	text string
	at   int64
}

// lines reads a pipe on a thread of its own, in a blocking read(2), and stamps
// what comes. The channel is closed at the end.
func lines(r *os.File) <-chan line {
	c := make(chan line, 64)
	fd := int(r.Fd()) // blocking from now on
	go func() {
		defer close(c)
		defer r.Close()
		var rest string
		buf := make([]byte, 4096)
		for {
			n, err := unix.Read(fd, buf)
			at := harness.Now()
			if err == unix.EINTR {
				continue
			}
			if n <= 0 {
				if rest != "" {
					c <- line{rest, at}
				}
				return
			}
			rest += string(buf[:n])
			for {
				text, after, ok := strings.Cut(rest, "\n")
				if !ok {
					break
				}
				c <- line{text + "\n", at}
				rest = after
			}
		}
	}()
	return c
}

// next is the next line, or why there is none.
func next(ctx context.Context, c <-chan line, what string) (line, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s: nothing within %v", what, patience))
	defer cancel()
	select {
	case l, ok := <-c:
		if !ok {
			return l, fmt.Errorf("%s: its output has ended", what)
		}
		return l, nil
	case <-ctx.Done():
		return line{}, context.Cause(ctx)
	}
}

// drain waits until nobody holds the pipe's other end.
func drain(c <-chan line) error {
	for timer := time.After(patience); ; {
		select {
		case _, ok := <-c:
			if !ok {
				return nil
			}
		case <-timer:
			return errors.New("a process that should have ended still holds its output")
		}
	}
}

func pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// A starter starts containers that others than itself do not see.
type starter interface {
	// start returns once the first instruction has been executed.
	start(ctx context.Context, n int) (times, error)
	// end waits for a container, which it kills first if asked to, and removes
	// what it left on the host.
	end(ctx context.Context, n int, kill bool) error
	pid() int // of the process that starts them
	close() error
}

// once starts a container whose program ends by itself.
func once(s starter) func(context.Context) (times, error) {
	return func(ctx context.Context) (times, error) {
		t, err := s.start(ctx, 0)
		if err != nil {
			return t, err
		}
		err = s.end(ctx, 0, false)
		t.exit = harness.Now()
		return t, err
	}
}

// ---- the library ----

type library struct {
	setup  *setup
	name   string
	veth   bool
	spec   specs.Spec
	null   *os.File
	out    *os.File
	output <-chan line
	all    map[int]*container.Container
}

// library gives containers whose output it reads itself, or that have the output
// out.
func (s *setup) library(name string, veth bool, out *os.File, args ...string) (*library, error) {
	l := &library{setup: s, name: name, veth: veth, spec: *s.spec, all: map[int]*container.Container{}}
	process := *s.spec.Process
	process.Args = append(process.Args[:1:1], args...)
	l.spec.Process = &process
	var err error
	if l.null, err = os.Open(os.DevNull); err != nil {
		return nil, err
	}
	if l.out = out; out != nil {
		return l, nil
	}
	r, w, err := pipe()
	if err != nil {
		l.null.Close()
		return nil, err
	}
	l.out, l.output = w, lines(r)
	return l, nil
}

// begin starts a container, and does not wait for its program's line.
func (l *library) begin(ctx context.Context, n int) (t times, err error) {
	t.start = harness.Now()
	s, linux := l.spec, *l.spec.Linux
	name := fmt.Sprintf("%s%d", l.name, n)
	linux.CgroupsPath = "/" + l.setup.run.ID + "/" + name
	s.Linux = &linux
	var e *network.Endpoint
	if l.veth {
		if e, err = l.setup.network.Endpoint(); err != nil {
			return t, err
		}
	}
	c, err := container.Start(ctx, container.Config{
		Spec: &s, Filter: l.setup.filter, Layers: l.setup.layers, Dir: filepath.Join(l.setup.run.Dir, name), Endpoint: e,
		Stdin: l.null, Stdout: l.out, Stderr: os.Stderr,
	})
	if err != nil {
		return t, err
	}
	l.all[n] = c
	return t, nil
}

func (l *library) start(ctx context.Context, n int) (times, error) {
	t, err := l.begin(ctx, n)
	if err != nil {
		return t, err
	}
	first, err := next(ctx, l.output, "library")
	if err == nil && first.text != signalLine {
		err = fmt.Errorf("library: printed %q instead of %q", first.text, signalLine)
	}
	if err != nil {
		return t, errors.Join(err, l.end(ctx, n, true))
	}
	t.first = first.at
	return t, nil
}

func (l *library) end(ctx context.Context, n int, kill bool) error {
	c := l.all[n]
	delete(l.all, n)
	if !kill {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		select {
		case <-c.Done():
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("library: the program does not end: %w", context.Cause(ctx)), c.Remove(ctx))
		}
	}
	err := c.Remove(ctx)
	if st := c.Status(); err == nil && !kill && st != (container.Status{}) {
		err = fmt.Errorf("library: the program ended with %v", st)
	}
	return err
}

func (l *library) pid() int { return os.Getpid() }

func (l *library) close() error {
	var errs []error
	for n := range l.all {
		errs = append(errs, l.end(context.Background(), n, true))
	}
	errs = append(errs, l.out.Close(), l.null.Close())
	if l.output != nil {
		errs = append(errs, drain(l.output))
	}
	return errors.Join(errs...)
}

// ---- processes that start containers ----

// A server is another process that starts many containers, as it is asked to:
// the C program, or this one (serve.go).
type server struct {
	name     string
	setup    *setup
	connects bool // it has to be told each container's address
	cmd      *exec.Cmd
	commands *os.File
	replies  <-chan line
	output   <-chan line
	held     map[int]*network.Endpoint
}

// arguments are those that the C program has in both of its forms.
func (s *setup) arguments(name string, args ...string) []string {
	list := []string{"-d", filepath.Join(s.room.At(), name), "-l", s.room.Lowerdir(), "-u", fmt.Sprint(s.owner()), "-f", filepath.Join(s.room.At(), "filter"), "-F", fmt.Sprint(s.flags)}
	list = append(list, s.groups...)
	return append(append(list, "--"), append([]string{"/program"}, args...)...)
}

// limit is the C program as a server.
func (s *setup) limit(name string, veth bool, args ...string) (*server, error) {
	if err := os.MkdirAll(filepath.Join(s.run.Dir, "room", name), 0o755); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(s.programs, "peers-limit"), append([]string{"serve"}, s.arguments(name, args...)...)...)
	return s.serve("the C program", veth, cmd, s.room.Do)
}

// serve starts a server.
func (s *setup) serve(name string, connects bool, cmd *exec.Cmd, where func(func() error) error) (*server, error) {
	var ends [3]struct{ r, w *os.File }
	for i := range ends {
		var err error
		if ends[i].r, ends[i].w, err = pipe(); err != nil {
			return nil, err
		}
	}
	l := &server{name: name, setup: s, connects: connects, cmd: cmd, held: map[int]*network.Endpoint{}}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = ends[0].r, ends[1].w, os.Stderr
	cmd.ExtraFiles = []*os.File{ends[2].w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	l.commands, l.output, l.replies = ends[0].w, lines(ends[1].r), lines(ends[2].r)
	err := where(cmd.Start)
	for _, f := range []*os.File{ends[0].r, ends[1].w, ends[2].w} {
		f.Close()
	}
	if err != nil {
		l.commands.Close()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return l, nil
}

// ask sends one command and gives the answer.
func (l *server) ask(ctx context.Context, format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(l.commands, format+"\n", args...); err != nil {
		return "", fmt.Errorf("%s: %w", l.name, err)
	}
	reply, err := next(ctx, l.replies, l.name)
	return strings.TrimSpace(reply.text), err
}

func (l *server) start(ctx context.Context, n int) (t times, err error) {
	command := fmt.Sprintf("s %d", n)
	if l.connects {
		e, err := l.setup.network.Endpoint()
		if err != nil {
			return t, err
		}
		l.held[n] = e
		bridge, err := l.setup.bridge(e)
		if err != nil {
			return t, err
		}
		command += fmt.Sprintf(" %s %d %s %d", e.Addr().Addr(), e.Addr().Bits(), e.Gateway(), bridge)
	}
	reply, err := l.ask(ctx, "%s", command)
	if err != nil {
		return t, err
	}
	var pid int
	if _, err := fmt.Sscan(reply, &t.start, &pid); err != nil {
		return t, errors.Join(fmt.Errorf("%s: %s", l.name, reply), l.end(ctx, n, true))
	}
	first, err := next(ctx, l.output, "a container of "+l.name)
	if err == nil && first.text != signalLine {
		err = fmt.Errorf("a container of %s printed %q instead of %q", l.name, first.text, signalLine)
	}
	if err != nil {
		return t, errors.Join(err, l.end(ctx, n, true))
	}
	t.first = first.at
	return t, nil
}

func (l *server) end(ctx context.Context, n int, kill bool) error {
	verb := "w"
	if kill {
		verb = "k"
	}
	reply, err := l.ask(ctx, "%s %d", verb, n)
	if code, parseErr := strconv.Atoi(reply); err == nil && (parseErr != nil || !kill && code != 0) {
		err = fmt.Errorf("a container of %s ended with %s", l.name, reply)
	}
	if e := l.held[n]; e != nil {
		delete(l.held, n)
		err = errors.Join(err, e.Release())
	}
	return err
}

func (l *server) pid() int { return l.cmd.Process.Pid }

func (l *server) close() error {
	l.commands.Close()
	timer := time.AfterFunc(patience, func() { l.cmd.Process.Kill() })
	defer timer.Stop()
	return errors.Join(l.cmd.Wait(), drain(l.replies), drain(l.output))
}

// ---- commands ----

// command gives a runtime's `run`, with the mount of the overlay, from before
// the latter to the end of the former.
func (s *setup) command(rt peer.Runtime) (start func(context.Context) (times, error), close func() error, err error) {
	b, err := s.room.Bundle(rt.Name, "/"+s.run.ID+"/"+rt.Name, s.config)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) (t times, err error) {
		defer func() { err = errors.Join(err, b.Unmount()) }()
		return s.timed(ctx, rt.Name, func(in, out, stderr *os.File) (*os.Process, error) {
			if err := b.Mount(); err != nil {
				return nil, err
			}
			return rt.Run(s.room, b, in, out, stderr)
		})
	}, b.Remove, nil
}

// limitCommand is the C program, executed for one container.
func (s *setup) limitCommand() (start func(context.Context) (times, error), err error) {
	const name = "limit-run"
	dir := filepath.Join(s.run.Dir, "room", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(s.programs, "peers-limit")
	args := append([]string{path, "run", name}, s.arguments(name)...)
	return func(ctx context.Context) (t times, err error) {
		defer func() { err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name))) }()
		return s.timed(ctx, "C, executed", func(in, out, stderr *os.File) (p *os.Process, err error) {
			err = s.room.Do(func() error {
				p, err = os.StartProcess(path, args, &os.ProcAttr{
					Dir: "/", Env: os.Environ(), Files: []*os.File{in, out, stderr},
					Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
				})
				return err
			})
			return p, err
		})
	}, nil
}

// timed starts a command that runs one container, and waits for its end.
func (s *setup) timed(ctx context.Context, name string, start func(in, out, stderr *os.File) (*os.Process, error)) (t times, err error) {
	r, w, err := pipe()
	if err != nil {
		return t, err
	}
	output := lines(r)
	defer func() { err = errors.Join(err, drain(output)) }()
	defer w.Close()
	none, err := peer.NoInput()
	if err != nil {
		return t, err
	}
	defer none.Close()
	fd, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return t, os.NewSyscallError("memfd_create", err)
	}
	stderr := os.NewFile(uintptr(fd), "stderr")
	defer stderr.Close()

	t.start = harness.Now()
	p, err := start(none, w, stderr)
	if err != nil {
		return t, err
	}
	w.Close()
	timer := time.AfterFunc(patience, func() { p.Kill() })
	defer timer.Stop()
	st, err := p.Wait()
	t.exit = harness.Now()
	if err != nil {
		return t, err
	}
	said := func() string {
		b := make([]byte, 2000)
		n, _ := stderr.ReadAt(b, 0)
		return strings.TrimSpace(string(b[:n]))
	}
	if !st.Success() {
		return t, fmt.Errorf("%s: %v: %s", name, st, said())
	}
	first, err := next(ctx, output, name)
	if err != nil {
		return t, fmt.Errorf("%w; it says: %s", err, said())
	}
	if first.text != signalLine {
		return t, fmt.Errorf("%s: printed %q instead of %q", name, first.text, signalLine)
	}
	select {
	case more, ok := <-output:
		if ok {
			return t, fmt.Errorf("%s: printed %q as well", name, more.text)
		}
	case <-time.After(patience):
		return t, fmt.Errorf("%s has ended, and something of it still holds its output", name)
	}
	t.first = first.at
	return t, nil
}
