package platform

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/container/cgroup"
	"vmctr/container/step"
)

func (p *preparedEngine) Start(ctx context.Context) (Instance, error) {
	i, err := p.start(ctx)
	if err != nil {
		return nil, err
	}
	return i, nil
}

func (p *preparedEngine) start(context.Context) (*engineInstance, error) {
	begin := now()
	name := p.w.RunID + "-" + filepath.Base(p.w.Dir) + "-" + strconv.FormatInt(p.count.Add(1), 10)
	i := &engineInstance{p: p, name: name, idFile: filepath.Join(p.w.Dir, name+".id")}
	args := p.command(name, i.idFile)
	io, err := openStdio()
	if err != nil {
		return nil, err
	}
	var proc *os.Process
	step.OnParentThread(func() {
		proc, err = os.StartProcess(p.client.Path, args, &os.ProcAttr{
			Env: p.client.Env, Files: []*os.File{io.in, io.out, io.err},
			Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
		})
	})
	io.started()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", p.client.Path, err), io.Close())
	}
	i.running = watch(io, proc, []Mark{{Phase: "start", Ns: begin}, {Phase: "engine", Ns: now()}})
	return i, nil
}

type engineInstance struct {
	*running // the command, which waits for the container
	p        *preparedEngine
	name     string
	idFile   string // into which the command writes the container's ID
	found    *onHost
	monitor  int // the process that watches over the container, once Processes has seen it
}

// onHost is where an engine's container is on the host.
type onHost struct {
	pid   int // of one of its processes
	group string
}

// find finds the container's processes by its control group, of which every engine
// makes the container's ID a part. The engine is not asked: its command would take tens
// of milliseconds for it, while the container's first response is waited for.
func (i *engineInstance) find() (*onHost, error) {
	if i.found != nil {
		return i.found, nil
	}
	b, err := os.ReadFile(i.idFile)
	if err != nil {
		return nil, fmt.Errorf("the container's ID is not known: %w", err)
	}
	id := strings.TrimSpace(string(b))
	if len(id) != 64 {
		return nil, fmt.Errorf("the container's ID is not known: %q", id)
	}
	pids, err := processes()
	if err != nil {
		return nil, err
	}
	for _, pid := range slices.Backward(pids) { // the youngest first: it is one of them
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil {
			continue // it has ended
		}
		if group := groupOf(text, id); group != "" {
			i.found = &onHost{pid, group}
			return i.found, nil
		}
	}
	return nil, fmt.Errorf("no process of this host is in a control group of the container %s", id)
}

// processes are those of the host, in the order of their PIDs.
func processes() ([]int, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	var pids []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, err
}

// groupOf finds in /proc/PID/cgroup (cgroups(7)) the group that an engine has made for
// a container, "" if it is in none: the part of the path that ends with the one that
// names the ID, and that is not its monitor's (libpod-conmon-ID).
func groupOf(text []byte, id string) string {
	for line := range bytes.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(f) != 3 {
			continue
		}
		parts := strings.Split(f[2], "/")
		for n, part := range parts {
			if strings.Contains(part, id) && !strings.Contains(part, "conmon") {
				return strings.Join(parts[:n+1], "/")
			}
		}
	}
	return ""
}

// Processes are those of the container, and the one that watches over it: the parent
// of the first, containerd-shim or conmon.
func (i *engineInstance) Processes() ([]int, error) {
	f, err := i.find()
	if err != nil {
		return nil, err
	}
	g, err := cgroup.Load(f.group)
	if err != nil {
		return nil, err
	}
	pids, err := g.Processes()
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		up, err := parent(pid)
		if err == nil && up > 1 && !slices.Contains(pids, up) {
			i.monitor = up
			return append(pids, up), nil
		}
	}
	return pids, nil
}

// parent is the parent of a process (proc_pid_status(5)).
func parent(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "PPid:"); ok {
			return strconv.Atoi(strings.TrimSpace(v))
		}
	}
	return 0, fmt.Errorf("the status of process %d names no parent", pid)
}

func (i *engineInstance) CgroupMemory() (int64, bool, error) {
	f, err := i.find()
	if err != nil {
		return 0, false, err
	}
	g, err := cgroup.Load(f.group)
	if err != nil {
		return 0, false, err
	}
	n, err := g.Memory()
	return n, true, err
}

// Address is read from the container's network namespace, if the host has an interface
// in the same subnet.
func (i *engineInstance) Address(context.Context) (netip.AddrPort, error) {
	if i.p.network == "none" || i.p.w.Port == 0 {
		return netip.AddrPort{}, ErrNoNetwork
	}
	f, err := i.find()
	if err != nil {
		return netip.AddrPort{}, err
	}
	// The runtime's process is in the group before it is in the container's network; and
	// one that sets the container up can be gone again.
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return netip.AddrPort{}, err
	}
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", f.pid))
	if err == nil && theirs == own {
		err = errors.New("it is in the host's network still")
	}
	var trie []byte
	if err == nil {
		trie, err = os.ReadFile(fmt.Sprintf("/proc/%d/net/fib_trie", f.pid))
	}
	if err != nil {
		i.found = nil
		return netip.AddrPort{}, fmt.Errorf("the container's network: %w", err)
	}
	ours, err := net.InterfaceAddrs()
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, a := range localAddresses(trie) {
		for _, o := range ours {
			if p, err := netip.ParsePrefix(o.String()); err == nil && p.Contains(a) {
				return netip.AddrPortFrom(a, i.p.w.Port), nil
			}
		}
	}
	return netip.AddrPort{}, ErrNoNetwork
}

// localAddresses are the addresses of a network namespace, but for the loopback's, in
// /proc/net/fib_trie: a leaf "|-- ADDRESS", and below it what it is, "/32 host LOCAL".
func localAddresses(trie []byte) (list []netip.Addr) {
	var leaf netip.Addr
	s := bufio.NewScanner(bytes.NewReader(trie))
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if text, ok := strings.CutPrefix(line, "|-- "); ok {
			leaf, _ = netip.ParseAddr(text)
			continue
		}
		if line == "/32 host LOCAL" && leaf.IsValid() && !leaf.IsLoopback() && !slices.Contains(list, leaf) {
			list = append(list, leaf)
		}
	}
	return list
}

// Delay writes lines into the container's own standard output, the pipe that its
// processes have, and takes the time until they arrive: through the monitor, the daemon,
// if there is one, and the command.
func (i *engineInstance) Delay(ctx context.Context) (time.Duration, error) {
	// What the workload says of itself comes first, for who counts lines.
	if _, err := i.Output().Identity(ctx); err != nil {
		return 0, err
	}
	f, err := i.find()
	if err != nil {
		return 0, err
	}
	w, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/1", f.pid), os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, fmt.Errorf("opening the container's standard output: %w", err)
	}
	defer w.Close()
	return medianOf(func(n int) (time.Duration, error) {
		time.Sleep(time.Millisecond)
		text := fmt.Sprintf("bench: line %d, sent to be timed", n)
		begin := now()
		if _, err := w.WriteString(text + "\n"); err != nil {
			return 0, err
		}
		l, err := i.Output().find(ctx, text)
		return time.Duration(l.at - begin), err
	})
}

// Stop has the engine kill and remove the container, upon which the command ends.
func (i *engineInstance) Stop(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if _, err := os.Stat(i.idFile); err != nil && !ended(i.done, 0) {
		// It is still asking for the container: without it, it cannot ask any more.
		i.proc.Signal(unix.SIGTERM)
		if !ended(i.done, 5*time.Second) {
			i.proc.Kill()
		}
	}
	errs := []error{i.p.client.RemoveContainers(ctx, i.name)} // there is none, if it did not come so far
	if !ended(i.done, 10*time.Second) {
		errs = append(errs, fmt.Errorf("%s, process %d, does not end though its container was removed", i.p.client.Name, i.proc.Pid))
		i.proc.Kill()
		ended(i.done, 10*time.Second)
	}
	errs = append(errs, i.gone())
	if err := os.Remove(i.idFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, i.io.Close())...)
}

// gone waits until the container's monitor has ended too, which it does by itself a
// moment after the engine has removed the container.
func (i *engineInstance) gone() error {
	if i.monitor == 0 {
		return nil
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if err := unix.Kill(i.monitor, 0); errors.Is(err, unix.ESRCH) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d, which watched over the container %s, does not end", i.monitor, i.name)
		}
	}
}
