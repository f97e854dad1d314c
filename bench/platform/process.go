package platform

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"vmctr/container/step"
)

func init() { register(process{}) }

// process is the baseline: fork(2) and execve(2), and nothing around it.
type process struct{}

func (process) Info() Info { return Info{Name: "process", Title: "plain process", Kind: "process"} }

func (process) Available(context.Context) error { return nil }

// Prepare unpacks the image's layers over each other. A plain process sees the
// host's files: so the program is started from where it lies, in the folder
// that stands for the image's working directory.
func (process) Prepare(ctx context.Context, w Workload) (Prepared, error) {
	if w.Process.User.UID != 0 {
		return nil, &UnavailableError{Reason: "the image's program is started as a user of the image's, whom the host does not have"}
	}
	root, err := w.Image.Rootfs(ctx)
	if err != nil {
		return nil, err
	}
	return &preparedProcess{
		root:    root,
		program: filepath.Join(root, w.Process.Args[0]),
		args:    w.Process.Args,
		env:     w.Process.Env,
		dir:     filepath.Join(root, w.Process.Cwd),
		port:    w.Port,
	}, nil
}

type preparedProcess struct {
	root      string
	program   string
	args, env []string
	dir       string
	port      uint16
}

func (p *preparedProcess) Facts() Facts {
	return Facts{Details: map[string]string{"limits": "none"}}
}

func (p *preparedProcess) Close() error { return nil }

func (p *preparedProcess) Start(ctx context.Context) (Instance, error) {
	begin := now()
	args, address := p.args, netip.AddrPort{}
	if p.port != 0 {
		address = netip.AddrPortFrom(loopback(os.Getpid(), instances.Add(1)), p.port)
		args = append(args[:len(args)-1:len(args)-1], address.String())
	}
	io, err := openStdio()
	if err != nil {
		return nil, err
	}
	var proc *os.Process
	// PR_SET_PDEATHSIG follows the thread that forks, not its process.
	step.OnParentThread(func() {
		proc, err = os.StartProcess(p.program, args, &os.ProcAttr{
			Dir: p.dir, Env: p.env, Files: []*os.File{io.in, io.out, io.err},
			Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
		})
	})
	io.started()
	if err != nil {
		io.Close()
		return nil, fmt.Errorf("starting the process: %w", err)
	}
	return &processInstance{watch(io, proc, []Mark{{Phase: "start", Ns: begin}, {Phase: "exec", Ns: now()}}), address}, nil
}

// loopback is an address of an instance's own. A process shares the host's network and
// its ports; but all of 127.0.0.0/8 is the loopback device's, and so on its own address
// each may have the same port.
func loopback(pid int, count uint32) netip.Addr {
	n := uint32(pid)<<10 + count
	return netip.AddrFrom4([4]byte{127, 1 + byte(n>>16)%254, byte(n >> 8), byte(n)})
}

type processInstance struct {
	*running
	address netip.AddrPort
}

func (i *processInstance) Address(context.Context) (netip.AddrPort, error) {
	return reachable(i.address)
}

func (i *processInstance) Processes() ([]int, error) { return []int{i.proc.Pid}, nil }

func (i *processInstance) CgroupMemory() (int64, bool, error) { return 0, false, nil }

func (i *processInstance) Stop(ctx context.Context) error {
	if err := i.proc.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing process %d: %w", i.proc.Pid, err)
	}
	if !ended(i.done, 10*time.Second) {
		return fmt.Errorf("process %d does not end after SIGKILL", i.proc.Pid)
	}
	return i.io.Close()
}

// ended waits for a process that was killed, even when the run is over.
func ended(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// endsSoon tells whether an instance has ended. Its output ends a moment
// before the process is reaped.
func endsSoon(done <-chan struct{}) bool { return ended(done, 100*time.Millisecond) }
