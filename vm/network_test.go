package vm

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"vmctr/container/network"
)

// serving waits until the workload says that it serves.
func serving(t *testing.T, m *Machine, lines *bufio.Scanner) {
	t.Helper()
	if !m.Running(within(t)) {
		t.Fatal(m.Err())
	}
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "serving ") {
			return
		}
	}
	t.Fatalf("it does not serve: %v", m.Err())
}

// get asks a server for its page.
func get(t *testing.T, at netip.AddrPort) {
	t.Helper()
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	r, err := client.Get("http://" + at.String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != "ok\n" {
		t.Errorf("%s answers %q, %v", at, b, err)
	}
}

// TestTap: a machine on a bridge has the address of its endpoint, and the host
// reaches it there. With the machine its tap goes.
func TestTap(t *testing.T) {
	if os.Geteuid() != 0 {
		if slices.Contains(strings.Split(os.Getenv("BENCH_REQUIRE"), ","), "root") {
			t.Fatal("BENCH_REQUIRE holds root, and this is not root")
		}
		t.Skip("makes a bridge; run as root: sudo scripts/test")
	}
	c := machineWith(t, Initramfs{Network: true}, "vmctr/bench/workload", "", "serve", ":80")
	id := strings.ToLower(rand.Text()[:8])
	n, err := network.Open(t.Context(), id, t.TempDir(), netip.Prefix{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if left, err := network.Sweep(context.Background(), func(i string) bool { return i == id }); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	})
	e, err := n.Endpoint()
	if err != nil {
		t.Fatal(err)
	}
	tap, err := e.Tap()
	if err != nil {
		t.Fatal(err)
	}
	c.Network = &Network{MAC: e.MAC(), Address: e.Addr(), Gateway: e.Gateway(), Tap: tap}
	t.Run("machine", func(t *testing.T) {
		m, lines := start(t, c)
		tap.Close()
		serving(t, m, lines)
		get(t, netip.AddrPortFrom(e.Addr().Addr(), 80))
	})
	// The tap was QEMU's alone, and has gone with it.
	if _, err := os.Stat("/sys/class/net/" + tap.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the interface %s is left: %v", tap.Name(), err)
	}
	if err := e.Release(); err != nil {
		t.Error(err)
	}
}

// TestUserNetwork: a machine on a network that QEMU plays is called by a port of the
// host, by whoever runs the tests.
func TestUserNetwork(t *testing.T) {
	c := machineWith(t, Initramfs{Network: true}, "vmctr/bench/workload", "", "serve", ":80")
	c.Network = UserNetwork(Forward{"tcp", netip.MustParseAddrPort("127.0.0.1:0"), 80})
	m, lines := start(t, c)
	serving(t, m, lines)
	at, err := m.Forwarded(within(t), "tcp", 80)
	if err != nil {
		t.Fatal(err)
	}
	get(t, at)
	if _, err := m.Forwarded(within(t), "tcp", 81); err == nil || !strings.Contains(err.Error(), "QEMU forwards no tcp port to port 81") {
		t.Errorf("a port that is not forwarded: %v", err)
	}
}

func TestForwarded(t *testing.T) {
	const text = "Hub -1 (net):\r\n" +
		"  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n" +
		"  TCP[ESTABLISHED]    9       127.0.0.1 39681       10.0.2.15    80     0     0\r\n" +
		"  TCP[HOST_FORWARD]   8       127.0.0.1 39682       10.0.2.15    80     0     0\r\n" +
		"  UDP[HOST_FORWARD]   3               * 46587       10.0.2.15    80     0     0\r\n"
	for _, tt := range []struct {
		protocol string
		guest    uint16
		want     string
	}{{"tcp", 80, "127.0.0.1:39682"}, {"udp", 80, "0.0.0.0:46587"}, {"udp", 53, ""}} {
		if at, err := forwarded(text, tt.protocol, tt.guest); err != nil && tt.want != "" || err == nil && at.String() != tt.want {
			t.Errorf("%s %d: %v, %v", tt.protocol, tt.guest, at, err)
		}
	}
}
