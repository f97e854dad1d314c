package platform

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm"
)

// answers tells whether the workload at an address answers, and if not, why; it may
// take a while until it listens.
func answers(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), at netip.AddrPort) (err error) {
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		var r *http.Response
		if r, err = client.Get("http://" + at.String()); err != nil {
			continue
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if string(b) != "ok\n" {
			err = errors.Join(err, fmt.Errorf("%v answers %q", at, b))
		}
		return err
	}
	return err
}

// dialIn is a way to call from the network namespace of a process.
func dialIn(pid int) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (c net.Conn, err error) {
		runtime.LockOSThread()
		here, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return nil, err
		}
		defer here.Close()
		there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			return nil, err
		}
		defer there.Close()
		if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
			return nil, err
		}
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
			return c, back // the thread stays locked, and ends
		}
		runtime.UnlockOSThread()
		if tcp, ok := c.(*net.TCPConn); ok {
			// A connection whose other end is dead would keep the namespace for minutes.
			tcp.SetLinger(0)
		}
		return c, err
	}
}

// TestOneBridge: a container and a machine are on one bridge, and reach each other.
func TestOneBridge(t *testing.T) {
	if os.Geteuid() != 0 {
		if required("root") {
			t.Fatal("BENCH_REQUIRE holds root, and this is not root")
		}
		t.Skip("makes a bridge; run as root: sudo scripts/test")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	id, dir := strings.ToLower(rand.Text()[:8]), t.TempDir()
	at := map[string]netip.AddrPort{}
	var inside func(ctx context.Context, network, address string) (net.Conn, error)
	for _, p := range []Platform{ours{}, machine{"q35"}} {
		prepared, _ := prepareOn(t, p, id, dir, "serve", ":8080")
		i, err := prepared.Start(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := i.Stop(ctx); err != nil {
				t.Error(err)
			}
		}()
		if _, err := i.Output().Identity(ctx); err != nil {
			t.Fatal(err, i.Err())
		}
		if at[p.Info().Kind], err = i.Address(ctx); err != nil {
			t.Fatal(err)
		}
		if p.Info().Kind == "container" {
			pids, err := i.Processes()
			if err != nil || len(pids) == 0 {
				t.Fatal(err)
			}
			inside = dialIn(pids[0])
		}
	}
	if err := answers(ctx, inside, at["vm"]); err != nil {
		t.Errorf("from the container to the machine, %v: %v", at["vm"], err)
	}
	if bridge := netip.PrefixFrom(at["vm"].Addr(), 22).Masked(); !bridge.Contains(at["container"].Addr()) {
		t.Errorf("the container is at %v, and the machine at %v", at["container"], at["vm"])
	}
}

// TestNothingLeft: of a machine that does not start no port of the bridge is left, nor
// its address.
func TestNothingLeft(t *testing.T) {
	if os.Geteuid() != 0 {
		if required("root") {
			t.Fatal("BENCH_REQUIRE holds root, and this is not root")
		}
		t.Skip("makes a bridge; run as root: sudo scripts/test")
	}
	prepared, w := prepare(t, machine{"q35"}, "serve", ":8080")
	p := prepared.(*preparedMachine)
	for _, tt := range []struct {
		name  string
		spoil func(*vm.Config)
		want  string
	}{
		{"no QEMU", func(c *vm.Config) { c.QEMU = "/nowhere/qemu" }, "no such file"},
		{"no kernel", func(c *vm.Config) { c.Kernel = "/nowhere/vmlinux" }, "/nowhere/vmlinux"},
		{"no CPU", func(c *vm.Config) { c.CPUs = 0 }, "CPUs"},
	} {
		good := p.config
		tt.spoil(&p.config)
		i, err := prepared.Start(t.Context())
		p.config = good
		if err == nil {
			i.Stop(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		noPorts(t, w.NetworkID)
	}
	// An address of theirs is nobody's.
	for host := byte(2); host < 5; host++ {
		a := p.plug.bridge.Subnet().Addr().As4()
		a[3] = host
		if e, err := p.plug.bridge.At(netip.AddrFrom4(a)); err == nil {
			t.Errorf("the address %v is taken still", e.Addr())
		}
	}
}
