package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

func TestOpenRefuses(t *testing.T) {
	for _, tt := range []struct{ id, subnet, want string }{
		{"", "10.0.0.0/16", "the ID"}, {"bench-abc", "10.0.0.0/16", "the ID"}, {"ABC", "10.0.0.0/16", "the ID"},
		{"a", "10.0.0.0/15", "not an IPv4 subnet"}, {"a", "10.0.0.1/16", "not an IPv4 subnet"}, {"a", "10.0.0.0/31", "not an IPv4 subnet"}, {"a", "fd00::/64", "not an IPv4 subnet"},
	} {
		if _, err := Open(t.Context(), tt.id, t.TempDir(), netip.MustParsePrefix(tt.subnet)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Open(%q, %s): %v", tt.id, tt.subnet, err)
		}
	}
	if _, err := Open(t.Context(), "a", t.TempDir()+"/missing", netip.Prefix{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the folder: %v", err)
	}
}

// stranger makes an interface of somebody else.
func stranger(t *testing.T, name, address string) {
	t.Helper()
	la := netlink.NewLinkAttrs()
	la.Name = name
	d := &netlink.Bridge{LinkAttrs: la}
	if err := netlink.LinkAdd(d); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(d) })
	if address != "" {
		a, err := netlink.ParseAddr(address)
		if err == nil {
			err = errors.Join(netlink.AddrAdd(d, a), netlink.LinkSetUp(d))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSubnet: one is chosen that nobody uses, and one that somebody uses is
// refused.
func TestSubnet(t *testing.T) {
	needRoot(t)
	stranger(t, "vpn", "10.222.9.9/24")
	if n := open(t, "subnet", ""); n.subnet != netip.MustParsePrefix("10.223.0.0/16") {
		t.Errorf("%s was chosen", n.subnet)
	}
	if _, err := Open(t.Context(), "again", t.TempDir(), netip.MustParsePrefix("10.222.0.0/16")); err == nil || !strings.Contains(err.Error(), "overlaps 10.222.9.0/24") {
		t.Errorf("a subnet in use: %v", err)
	}
}

func TestNameTaken(t *testing.T) {
	needRoot(t)
	stranger(t, "taken-b0001", "")
	if _, err := Open(t.Context(), "taken", t.TempDir(), netip.Prefix{}); !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), "making the bridge taken-b0001") {
		t.Errorf("the bridge's name: %v", err)
	}
	if _, err := netlink.LinkByName("taken-b0001"); err != nil {
		t.Errorf("somebody else's interface: %v", err)
	}
	n := open(t, "veth", "")
	stranger(t, "veth-v0002", "")
	e := endpoint(t, n)
	if _, err := run(t.Context(), e, 0); !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), "making the veth veth-v0002") {
		t.Errorf("the veth's name: %v", err)
	}
	// A leftover of the network itself is no obstacle.
	e = endpoint(t, n)
	h, err := run(t.Context(), e, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Release(); err != nil {
		t.Fatal(err)
	}
	other, err := run(t.Context(), e, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.kill()
	other.kill()
}

// TestNamespaceGone: the process ends before it is attached.
func TestNamespaceGone(t *testing.T) {
	needRoot(t)
	n := open(t, "gone", "")
	h, err := run(t.Context(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.kill()
	e := endpoint(t, n)
	if err := e.Attach(h.PID); !errors.Is(err, unix.ESRCH) || !strings.Contains(err.Error(), fmt.Sprintf("10.222.0.2 in the network namespace of process %d", h.PID)) {
		t.Errorf("err = %v", err)
	}
	if _, err := netlink.LinkByName("gone-v0002"); !errors.As(err, &netlink.LinkNotFoundError{}) {
		t.Errorf("its interface: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := n.At(e.addr); err == nil {
		t.Error("the address is reserved still")
	}
}

// TestEveryStepFails: each of the child's calls fails in turn, and the kernel's
// own refusal is told.
func TestEveryStepFails(t *testing.T) {
	needRoot(t)
	n := open(t, "steps", "")
	p := step.New()
	cfg := Configure(p, example())
	cfg.Settle(p)
	for i := range p.Len() {
		e := endpoint(t, n)
		_, err := run(t.Context(), e, i+3) // after prctl and the phase
		var failed *step.Error
		if !errors.As(err, &failed) || failed.Index != i+3 || failed.Phase != "network" {
			t.Errorf("call %d: %v", i+1, err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}

	// Nothing was attached: eth0 does not exist.
	p = step.New()
	p.Phase("network")
	cfg = Configure(p, endpoint(t, n))
	p.Call("exit_group", unix.SYS_EXIT_GROUP, step.Int(0))
	_, err := p.Clone(t.Context(), step.Options{Flags: unix.CLONE_NEWNET, Cgroup: -1, Ready: func(int) error {
		cfg.attached.Open()
		return nil
	}})
	if err = cfg.Explain(err); !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "network: turning the IPv6 link-local address of eth0 off") {
		t.Errorf("without an interface: %v", err)
	}
}

// TestConcurrent: fifty at once, through two openings of the network, as two
// processes have.
func TestConcurrent(t *testing.T) {
	needRoot(t)
	one := open(t, "many", "")
	two, err := Open(t.Context(), "many", strings.TrimSuffix(one.state.file.Name(), "/network"), netip.Prefix{})
	if err != nil {
		t.Fatal(err)
	}
	if one.Subnet() != two.Subnet() {
		t.Errorf("%s and %s", one.Subnet(), two.Subnet())
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	addresses := map[netip.Addr]bool{}
	var holders []*holder
	for i := range 50 {
		n := []*Network{one, two}[i%2]
		wait.Go(func() {
			e, err := n.Endpoint()
			if err != nil {
				t.Error(err)
				return
			}
			h, err := run(t.Context(), e, 0)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if addresses[e.addr] {
				t.Errorf("%s was given twice", e.addr)
			}
			addresses[e.addr] = true
			holders = append(holders, h)
		})
	}
	wait.Wait()
	for _, h := range holders {
		if _, err := host.dial(h.addr.String() + ":1"); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: %v", h.addr, err)
		}
	}
	// A container that was made by one process is removed by another.
	for _, h := range holders {
		h.kill()
		e, err := two.At(h.addr)
		if err != nil {
			t.Error(err)
		} else if err := e.Release(); err != nil {
			t.Error(err)
		}
	}
	if err := two.Leave(); err != nil {
		t.Error(err)
	}
}

// TestCloseWithPorts: a network goes with its containers still there.
func TestCloseWithPorts(t *testing.T) {
	needRoot(t)
	n, err := Open(t.Context(), "closing", t.TempDir(), netip.Prefix{})
	if err != nil {
		t.Fatal(err)
	}
	e := endpoint(t, n)
	h, err := run(t.Context(), e, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer h.kill()
	if err := e.Publish([]Port{{"udp", netip.Addr{}, 53, 53}}); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if left := footprint(t); len(left) != len(strings.Fields("lo forwarding")) {
		t.Errorf("left: %q", left)
	}
}

// TestSweep: what dead runs left goes, and nothing else.
func TestSweep(t *testing.T) {
	needRoot(t)
	dead, alive := open(t, "dead", ""), open(t, "alive", "")
	stranger(t, "dead-v0009", "") // has the name, and not the group
	h := start(t, dead)
	start(t, alive)
	if err := dead.NAT(); err != nil {
		t.Fatal(err)
	}
	swept, err := Sweep(t.Context(), func(id string) bool { return id == "dead" })
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(swept, ", "); got != "interface dead-b0001, interface dead-v0002, nftables table container-dead" && got != "interface dead-v0002, interface dead-b0001, nftables table container-dead" {
		t.Errorf("swept %s", got)
	}
	for name, want := range map[string]bool{"dead-b0001": false, "dead-v0002": false, "dead-v0009": true, "alive-b0001": true, "alive-v0002": true} {
		if _, err := netlink.LinkByName(name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.ns().dial("10.222.0.1:1"); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("its container: %v", err)
	}
	if swept, err := Sweep(t.Context(), func(id string) bool { return id == "dead" }); err != nil || len(swept) != 0 {
		t.Errorf("swept %q again, %v", swept, err)
	}
}

// TestTap: what is written to the file is on the bridge.
func TestTap(t *testing.T) {
	needRoot(t)
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("needs /dev/net/tun; try: modprobe tun")
	}
	n := open(t, "tap", "")
	e := endpoint(t, n)
	f, err := e.Tap()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Tap(); !errors.Is(err, unix.EBUSY) {
		t.Errorf("the same tap again: %v", err)
	}
	l, err := net.ListenPacket("udp4", ":5000")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := f.Write(append(make([]byte, 10), packet(e, e.Gateway())...)); err != nil { // after struct virtio_net_hdr
		t.Fatal(err)
	}
	l.SetReadDeadline(time.Now().Add(time.Second))
	if _, from, err := l.ReadFrom(make([]byte, 10)); err != nil || from.(*net.UDPAddr).AddrPort().Addr() != e.addr {
		t.Errorf("it came from %v: %v", from, err)
	}
	f.Close()
	if _, err := netlink.LinkByName("tap-t0002"); err == nil {
		t.Error("it is there still")
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestLock: the lock on a namespace is one lock, whoever opens it.
func TestLock(t *testing.T) {
	unlock, err := lockNamespace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := lockNamespace(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("taken twice: %v", err)
	}
	if err := exec.Command("flock", "--nonblock", "/proc/self/ns/net", "true").Run(); err == nil {
		t.Error("another process takes it too")
	}
	unlock()
	if unlock, err = lockNamespace(t.Context()); err != nil {
		t.Fatal(err)
	}
	unlock()
}
