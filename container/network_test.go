package container

import (
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/network"
	"vmctr/container/rootfs"
)

// testNetwork is a network whose host is the network namespace of the thread
// that this test runs on: nothing on the real host changes.
type testNetwork struct {
	*network.Network
	dir string
}

// openNetwork gives a test such a thread, and a network, and checks that its
// containers leave nothing there. Subtests run on threads of their own.
func openNetwork(t testing.TB) *testNetwork {
	t.Helper()
	runtime.LockOSThread()
	real, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setns(int(real.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		} else {
			runtime.UnlockOSThread()
		}
		real.Close()
	})
	n := &testNetwork{dir: t.TempDir()}
	if n.Network, err = network.Open(t.Context(), "ctest", n.dir, netip.Prefix{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.NAT(); err != nil { // once, so that it is no trace of a container
		t.Fatal(err)
	}
	before := n.footprint(t)
	t.Cleanup(func() { n.check(t, before, "the test") })
	return n
}

// endpoint is nil without a network.
func (n *testNetwork) endpoint(t testing.TB) *network.Endpoint {
	t.Helper()
	if n == nil {
		return nil
	}
	e, err := n.Endpoint()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// publish gives an endpoint a port of the host.
func (n *testNetwork) publish(t testing.TB, e *network.Endpoint) *network.Endpoint {
	t.Helper()
	if n != nil {
		if err := e.Publish([]network.Port{{Protocol: "tcp", Host: 8080, Container: 80}}); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// networkFootprint is all that a container could leave of its network.
type networkFootprint struct {
	Interfaces []string
	Addresses  int // reserved ones
	Ports      int // published ones
}

func (n *testNetwork) footprint(t testing.TB) (f networkFootprint) {
	t.Helper()
	if n == nil {
		return f
	}
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		f.Interfaces = append(f.Interfaces, i.Name)
	}
	// The state ends with a bit for each address of the /16.
	b, err := os.ReadFile(filepath.Join(n.dir, "network"))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range b[len(b)-1<<16/8:] {
		f.Addresses += bits.OnesCount8(x)
	}
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	sets, err := c.GetSets(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "container-ctest"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sets {
		elements, err := c.GetSetElements(s)
		if err != nil {
			t.Fatal(err)
		}
		f.Ports += len(elements)
	}
	return f
}

// check waits for the interfaces, which go with their namespace, in the
// background.
func (n *testNetwork) check(t testing.TB, before networkFootprint, when string) {
	t.Helper()
	diff := ""
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		after := n.footprint(t)
		if diff = cmp.Diff(before, after); diff == "" || !slices.Equal(after.Interfaces, before.Interfaces) && after.Addresses+after.Ports > before.Addresses+before.Ports {
			break
		}
	}
	if diff != "" {
		t.Errorf("%s: left behind in the network:\n%s", when, diff)
	}
}

// TestNetwork: two containers reach each other, and the host one of them by a
// published port.
func TestNetwork(t *testing.T) {
	needRoot(t)
	l, plain := layersOf(t), plainLayers(t)
	for _, tt := range []struct {
		name   string
		layers *rootfs.Layers
		mutate func(*specs.Spec)
	}{
		{"user namespace", l, func(*specs.Spec) {}},
		{"no user namespace", plain, func(s *specs.Spec) { without(s, specs.UserNamespace) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := openNetwork(t)
			run := func(e *network.Endpoint, ops ...string) *box {
				t.Helper()
				s := sample(ops...)
				tt.mutate(s)
				return startBox(t, tt.layers, s, func(c *Config) { c.Endpoint = e })
			}
			e := n.publish(t, n.endpoint(t))
			address := e.Addr().Addr().String()
			server := run(e, "interfaces", "serve :80", "serve :80")
			line, err := server.stdout.ReadString('\n')
			if want := fmt.Sprintf("eth0 true %v [%v]", e.MAC(), e.Addr()); err != nil || !strings.Contains(line, want) || !strings.Contains(line, "lo true") {
				t.Fatalf("interfaces %s, %v; want %s", line, err, want)
			}
			server.ready(t)
			// The server says who calls it.
			other := n.endpoint(t)
			stdout, stderr, st := run(other, "dial "+address+":80").end(t)
			if st != (Status{}) || !strings.Contains(stdout, `"Out":"`+other.Addr().Addr().String()+":") {
				t.Errorf("the other container: %v, %s%s", st, stdout, stderr)
			}
			if line, err := server.stdout.ReadString('\n'); err != nil {
				t.Fatal(line, err)
			}
			server.ready(t)
			c, err := net.DialTimeout("tcp", e.Gateway().String()+":8080", 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), e.Gateway().String()+":") {
				t.Errorf("the server took the host for %q, %v", b, err)
			}
		})
	}
}

// TestNetworkRefused: an endpoint that a container cannot have is given back.
func TestNetworkRefused(t *testing.T) {
	needRoot(t)
	l, n := layersOf(t), openNetwork(t)
	before := n.footprint(t)
	for _, tt := range []struct {
		name, want string
		mutate     func(*Config)
	}{
		{"no configuration", "config.json: missing", func(c *Config) { c.Spec = nil }},
		{"the host's namespace", "linux.namespaces", func(c *Config) { without(c.Spec, specs.NetworkNamespace) }},
		{"no standard input", "standard input", func(c *Config) { c.Stdin = nil }},
		{"a limit that the kernel refuses", "pids.max", func(c *Config) { c.Spec.Linux.Resources.Pids.Limit = pointer(int64(1 << 60)) }},
	} {
		if _, err := tryBox(t, l, sample("exit 0"), func(c *Config) { c.Endpoint = n.publish(t, n.endpoint(t)) }, tt.mutate); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
		n.check(t, before, tt.name)
	}
}
