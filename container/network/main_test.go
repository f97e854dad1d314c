package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// The tests run in a network namespace of their own, which this program makes
// by starting itself again: to them it is the host, and nothing on the real one
// changes.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv("NETWORK_TEST_NAMESPACE") != "" {
		if os.Geteuid() == 0 {
			if lo, err := netlink.LinkByName("lo"); err == nil {
				err = netlink.LinkSetUp(lo)
				if err != nil {
					panic(err)
				}
			}
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), "NETWORK_TEST_NAMESPACE=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	runtime.LockOSThread() // Pdeathsig is about this thread
	err := cmd.Run()
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		os.Exit(max(e.ExitCode(), 1))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// needRoot skips a test that makes interfaces, or fails it where BENCH_REQUIRE
// holds root. It checks that the test leaves the namespace as it was.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "root") {
			t.Fatal("BENCH_REQUIRE holds root, and this is not root")
		}
		t.Skip("makes network namespaces and interfaces; run as root: sudo scripts/test")
	}
	before := footprint(t)
	t.Cleanup(func() {
		// With its namespace an interface goes some time later.
		for end := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			after := footprint(t)
			if slices.Equal(before, after) {
				return
			}
			if time.Now().After(end) {
				t.Errorf("before the test: %q\nafter: %q", before, after)
				return
			}
		}
	})
}

// ownNamespace moves a test into a network namespace of its own, in which ip_forward is
// off: on the host, networks of other packages' tests turn it on and off meanwhile.
func ownNamespace(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		return // needRoot says so
	}
	runtime.LockOSThread() // and never unlock: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(os.NewSyscallError("unshare", err))
	}
	// A new namespace takes it from the host's (net.core.devconf_inherit_init_net).
	if err := sysctl("ipv4/ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
}

// footprint is what a test could leave in the host's namespace.
func footprint(t testing.TB) []string {
	t.Helper()
	links, err := listLinks(t.Context())
	if err != nil {
		links, err = listLinks(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range links {
		all = append(all, l.Attrs().Name)
	}
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := c.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		all = append(all, "table "+table.Name)
	}
	return append(all, "ip_forward "+forwarding(t))
}

func forwarding(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func open(t testing.TB, id, subnet string) *Network {
	t.Helper()
	var p netip.Prefix
	if subnet != "" {
		p = netip.MustParsePrefix(subnet)
	}
	n, err := Open(t.Context(), id, t.TempDir(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func endpoint(t testing.TB, n *Network) *Endpoint {
	t.Helper()
	e, err := n.Endpoint()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// holder is a process in a network namespace of its own.
type holder struct {
	*Endpoint
	step.Child
	marks []step.Mark
}

// run makes a process in a new network namespace, as a container has it, with e
// as its network; with nil, only the namespace.
func run(ctx context.Context, e *Endpoint, failAt int) (*holder, error) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		return nil, err
	}
	p := step.New()
	p.FailAt = failAt
	p.Call("prctl", unix.SYS_PRCTL, step.Flag(unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"), step.Int(int(unix.SIGKILL)))
	cfg := &Configuration{}
	if e != nil {
		p.Phase("network")
		cfg = Configure(p, e)
		cfg.Settle(p)
	}
	p.Phase("exec")
	p.Call("execve", unix.SYS_EXECVE, p.Str(sleep), p.Vector([]string{"sleep", "1000"}, "argv"), p.Vector(nil, "envp"))
	child, err := p.Clone(ctx, step.Options{Flags: unix.CLONE_NEWNET, Cgroup: -1, Ready: func(pid int) error {
		if e == nil {
			return nil
		}
		return cfg.Connect(ctx, pid)
	}})
	if err != nil {
		return nil, cfg.Explain(err)
	}
	return &holder{Endpoint: e, Child: child, marks: p.Marks()}, nil
}

// kill ends the process.
func (h *holder) kill() {
	unix.PidfdSendSignal(h.PIDFD, unix.SIGKILL, nil, 0)
	for unix.Waitid(unix.P_PIDFD, h.PIDFD, nil, unix.WEXITED, nil) == unix.EINTR {
	}
	unix.Close(h.PIDFD)
}

// start makes a container at a new endpoint, for the time of the test.
func start(t testing.TB, n *Network) *holder {
	t.Helper()
	e := endpoint(t, n)
	h, err := run(t.Context(), e, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.kill()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// A namespace is where something happens: 0 is the host.
type namespace int

func (h *holder) ns() namespace { return namespace(h.PID) }

const host namespace = 0

// serve answers each TCP connection to an address with the address of the
// client, as it appears.
func serve(t testing.TB, at namespace, address string) {
	t.Helper()
	err := at.within(func() error {
		l, err := net.Listen("tcp4", address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP)
				c.Close()
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dial connects to an address and gives what the server says: who calls.
func (at namespace) dial(address string) (caller string, err error) {
	err = at.within(func() error {
		c, err := net.DialTimeout("tcp4", address, 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		caller = string(b)
		return err
	})
	return caller, err
}

func (at namespace) check(t testing.TB, address string, caller string) {
	t.Helper()
	got, err := at.dial(address)
	if err != nil {
		t.Errorf("from %d to %s: %v", at, address, err)
	} else if got != caller {
		t.Errorf("from %d to %s: the server is called by %s, want %s", at, address, got, caller)
	}
}

// within runs f on a thread that is in the namespace. Sockets that f makes stay
// in there.
func (at namespace) within(f func() error) error {
	if at == host {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", at))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
