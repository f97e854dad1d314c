package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container"
	"vmctr/container/cgroup"
	"vmctr/vm/guest/wire"
	"vmctr/vm/qmp"
)

// A Machine is one running QEMU and the guest in it.
type Machine struct {
	cfg     Config
	process *container.Container
	monitor *qmp.Monitor
	control *control
	output  *os.File
	errors  *os.File // nil without cfg.Streams; so is input
	input   *os.File
	console *os.File // in memory: what the guest's kernel printed
	stderr  *os.File // in memory: what QEMU printed
	ram     *os.File // in memory: the RAM of a template, until it is saved
	state   *os.File // of a machine that is restored: where QEMU reads the state of its devices from
	trace   *os.File // in memory: what the firmware asked QEMU for, and when
	dir     bool     // cfg.Dir was made
	// stopListening ends the wait for a guest that is to open the channel; nil if it is
	// open from the start.
	stopListening func() error
	marks         []Mark
	wall          offset // at the start
}

// Start starts a machine and returns once its CPUs run, which is long before
// its guest has booted. When it fails, nothing is left.
//
// Cancelling ctx aborts a start, and does not end a machine that runs.
func Start(ctx context.Context, cfg Config) (*Machine, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return launched(ctx, cfg, func(m *Machine) error {
		m.mark(PhaseFirmware)
		if _, err := m.monitor.Run(ctx, "cont", nil); err != nil {
			return fmt.Errorf("letting the machine run: %w", err)
		}
		return nil
	})
}

func (m *Machine) mark(phase string) { m.marks = append(m.marks, Mark{Phase: phase, Ns: now()}) }

// launched starts QEMU, which waits to be told what to do, and does that: to boot, or to
// go on where another machine was saved.
func launched(ctx context.Context, cfg Config, then func(*Machine) error) (_ *Machine, err error) {
	m := &Machine{cfg: cfg, wall: wallOffset()}
	m.mark("start")
	defer func() {
		if err != nil {
			err = errors.Join(m.explain(err), m.Stop(ctx))
			for _, f := range []*os.File{m.output, m.errors} {
				if f != nil {
					f.Close()
				}
			}
		}
	}()
	if m.cfg.TSC == 0 {
		m.cfg.TSC = hostTSC()
	}
	if err := m.launch(ctx); err != nil {
		return nil, fmt.Errorf("starting QEMU: %w", err)
	}
	m.mark(PhaseQEMU)
	if m.monitor, err = qmp.Dial(ctx, m.socket()); err != nil {
		return nil, err
	}
	if err := then(m); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Machine) socket() string { return filepath.Join(m.cfg.Dir, "qmp") }

// launch starts QEMU, with its ends of all that connects it.
func (m *Machine) launch(ctx context.Context) (err error) {
	if err := os.Mkdir(m.cfg.Dir, 0o700); err != nil {
		return err
	}
	m.dir = true
	var files, ends []*os.File // QEMU's, and those of them that are closed here
	defer func() {
		for _, f := range ends {
			f.Close()
		}
	}()
	m.control = noControl()
	for _, role := range m.cfg.descriptors() {
		f, end, err := m.open(role)
		if err != nil {
			return err
		}
		files = append(files, f)
		if end {
			ends = append(ends, f)
		}
	}
	if m.stderr, err = memfd("stderr"); err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	m.process, err = container.Start(ctx, container.Config{
		Spec: m.spec(), Stdin: null, Stdout: m.stderr, Stderr: m.stderr,
		Files: files,
	})
	if err != nil {
		return err
	}
	go boundPrinted(m.process.Done(), m.console, m.trace, m.stderr)
	if m.stopListening != nil {
		go func() {
			<-m.process.Done()
			m.stopListening() // a guest that has not called will not do so now
		}()
	}
	return nil
}

// open makes QEMU's descriptor of a role, and keeps what is ours of it. An end is to
// be closed once QEMU has it.
func (m *Machine) open(role string) (f *os.File, end bool, err error) {
	switch role {
	case roleQMP:
		// It listens before QEMU is there, so there is no moment at which to
		// connect would fail.
		f, err = listen(m.socket())
		return f, true, err
	case roleControl:
		ours, f, err := socketPair(role)
		if err == nil {
			m.control = openControl(ours)
			m.control.restored = m.cfg.restored != nil
		}
		return f, true, err
	case roleOutput:
		m.output, f, err = socketPair(role)
		return f, true, err
	case roleError:
		m.errors, f, err = socketPair(role)
		return f, true, err
	case roleInput:
		m.input, f, err = socketPair(role)
		return f, true, err
	case roleConsole:
		m.console, err = memfd(role)
		return m.console, false, err
	case roleTrace:
		m.trace, err = memfd(role)
		return m.trace, false, err
	case roleBoot:
		f, err = bootDisk(m.cfg.BootSector)
		return f, true, err
	case roleRAM:
		if s := m.cfg.restored; s != nil {
			return s.ram, false, nil
		}
		if m.ram, err = memfd(role); err == nil {
			err = m.ram.Truncate(m.cfg.Memory)
		}
		return m.ram, false, err
	case roleState:
		m.state, f, err = socketPair(role)
		return f, true, err
	case roleTap:
		return m.cfg.Network.Tap, false, nil
	case roleVsock:
		v, err := openVsock()
		if err != nil {
			return nil, false, err
		}
		m.cfg.vsock, m.stopListening = v.vsockAddress, v.stopListening
		m.control = openControl(v)
		return v.device, true, nil
	case roleVhost:
		f, err = os.OpenFile(vhostDevice, os.O_RDWR, 0)
		return f, true, err
	}
	return nil, false, fmt.Errorf("no descriptor has the role %q", role)
}

// spec is QEMU as a process without namespaces: the walls are the machine's.
func (m *Machine) spec() *specs.Spec {
	return &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "/"},
		Process: &specs.Process{
			Args: m.cfg.command(), Env: []string{"PATH=" + os.Getenv("PATH")}, Cwd: "/",
			User:            specs.User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())},
			NoNewPrivileges: true,
		},
		Linux: &specs.Linux{CgroupsPath: m.cfg.Cgroup},
	}
}

// listen gives a socket that listens at path.
func listen(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		f.Close()
		return nil, fmt.Errorf("a socket at %s: bind: %w (the path may have 107 bytes, and has %d)", path, err, len(path))
	}
	if err := unix.Listen(fd, 1); err != nil {
		f.Close()
		return nil, fmt.Errorf("a socket at %s: listen: %w", path, err)
	}
	return f, nil
}

// socketPair gives two connected sockets, ours and QEMU's. Ours is known to
// Go's poller, so that closing it ends who reads.
func socketPair(name string) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

// Output is the workload's standard output, which ends when the machine does.
// The caller closes it.
func (m *Machine) Output() *os.File { return m.output }

// ErrorOutput is the workload's standard error, with Config.Streams. The caller
// closes it.
func (m *Machine) ErrorOutput() *os.File { return m.errors }

// Input copies to the workload's standard input, with Config.Streams, until from
// ends or fails, which then is the end for the workload too: of its input, or, if it
// has a terminal, of that. It returns when all is with QEMU, or when the machine has
// ended.
func (m *Machine) Input(from io.Reader) error {
	_, err := io.Copy(m.input, from)
	return errors.Join(err, closeWrite(m.input))
}

// closeWrite ends what is written to a socket. Only our side of it: when both are gone,
// QEMU does not read the rest.
func closeWrite(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := conn.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(err, controlErr)
}

// Signal sends the workload a signal. The guest has to be Running.
func (m *Machine) Signal(sig unix.Signal) error {
	return m.control.send(wire.Command{Command: wire.CommandSignal, Signal: int(sig)})
}

// Resize gives the workload's terminal the size of the window that it is shown in.
// The guest has to be Running.
func (m *Machine) Resize(rows, columns uint16) error {
	return m.control.send(wire.Command{Command: wire.CommandResize, Rows: rows, Columns: columns})
}

// Exited is how the workload has ended, if it has.
func (m *Machine) Exited() (container.Status, bool) {
	m.settle()
	r, ok := m.control.find(func(r wire.Report) bool { return r.Event == wire.EventExited })
	return container.Status{Code: r.Code, Signal: unix.Signal(r.Signal), OutOfMemory: r.OutOfMemory}, ok
}

// PID is QEMU's.
func (m *Machine) PID() int { return m.process.PID() }

// Cgroup is the control group that QEMU is in, nil without one.
func (m *Machine) Cgroup() *cgroup.Cgroup { return m.process.Cgroup() }

// Version is QEMU's, such as "7.2.22".
func (m *Machine) Version() string { return m.monitor.Version() }

// Done is closed when QEMU has ended.
func (m *Machine) Done() <-chan struct{} { return m.process.Done() }

// Running waits until the guest has reported that its workload runs, and tells
// whether it has. It gives up when ctx ends, or the machine.
func (m *Machine) Running(ctx context.Context) bool {
	return m.control.await(0, isRunning, ctx.Done())
}

func isRunning(r wire.Report) bool {
	return r.Event == wire.EventPhase && r.Phase == wire.PhaseRunning
}

// Ping sends a message to PID 1 of the guest and waits for its answer: there
// and back, what the channel to the guest takes. The guest has to be Running.
func (m *Machine) Ping(ctx context.Context) (time.Duration, error) {
	begin := now()
	m.control.pinged(begin)
	if _, err := m.ask(ctx, wire.Command{Command: wire.CommandPing}, wire.EventPong); err != nil {
		return 0, err
	}
	return time.Duration(now() - begin), nil
}

// ask sends a command to PID 1 of the guest and waits for the report that answers it.
func (m *Machine) ask(ctx context.Context, c wire.Command, event string) (answer wire.Report, err error) {
	before := m.control.len()
	if err := m.control.send(c); err != nil {
		return answer, fmt.Errorf("sending the command %q to the guest: %w", c.Command, err)
	}
	isAnswer := func(r wire.Report) bool {
		answer = r
		return r.Event == event
	}
	switch {
	case !m.control.await(before, isAnswer, ctx.Done()):
		if ctx.Err() != nil {
			return answer, fmt.Errorf("the guest does not answer the command %q: %w", c.Command, context.Cause(ctx))
		}
		return answer, fmt.Errorf("the guest has not answered the command %q, and says no more", c.Command)
	case answer.Error != "":
		return answer, fmt.Errorf("the guest has failed at the command %q: %s", c.Command, answer.Error)
	}
	return answer, nil
}

// query runs a QMP command, and reads what it returns into a variable, if one is given.
func (m *Machine) query(ctx context.Context, command string, args, into any) error {
	reply, err := m.monitor.Run(ctx, command, args)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(reply, into); err != nil {
		return fmt.Errorf("QMP command %s: reading its reply: %w", command, err)
	}
	return nil
}

// settle waits for the end of a machine that is about to end, and for its last
// reports.
func (m *Machine) settle() {
	reports := m.control.done
	if m.cfg.BootSector != nil {
		reports = nil // there were none to come
	}
	select { // QEMU's process goes after its connections
	case <-reports:
	case <-m.monitor.Done():
	case <-m.process.Done():
	default:
		return
	}
	select {
	case <-m.process.Done():
		<-m.control.done
	case <-time.After(2 * time.Second):
	}
}

// Kill pulls the plug: QEMU ends at once, whatever its guest does. Stop is still to be
// called.
func (m *Machine) Kill() error { return m.process.Signal(unix.SIGKILL) }

// Stop ends the machine, as pulling the plug does, and removes all that it left
// on the host. It may be called once.
func (m *Machine) Stop(ctx context.Context) error {
	var errs []error
	if m.monitor != nil {
		// Its memory is gone with it, so there is nothing to be saved by a
		// guest that shuts down in good order.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		if _, err := m.monitor.Run(ctx, "quit", nil); err == nil {
			select {
			case <-m.process.Done():
			case <-ctx.Done():
			}
		}
		cancel()
	}
	if m.process != nil {
		errs = append(errs, m.process.Remove(ctx)) // kills it, if need be
	}
	if m.monitor != nil {
		errs = append(errs, m.monitor.Close())
	}
	if m.control != nil {
		errs = append(errs, m.control.close())
	}
	for _, f := range []*os.File{m.console, m.trace, m.stderr, m.input, m.ram} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if m.dir {
		errs = append(errs, os.RemoveAll(m.cfg.Dir))
	}
	return errors.Join(errs...)
}
