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
