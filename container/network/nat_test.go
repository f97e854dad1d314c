package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// world makes a namespace that is connected to the host by a cable of its own
// and knows no way to containers: 192.0.2.1 is the host, 192.0.2.2 the world.
func world(t testing.TB) namespace {
	t.Helper()
	h, err := run(t.Context(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.kill)
	la := netlink.NewLinkAttrs()
	la.Name = "uplink"
	cable := &netlink.Veth{LinkAttrs: la, PeerName: "eth0", PeerNamespace: netlink.NsPid(h.PID)}
	if err := netlink.LinkAdd(cable); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(cable) })
	up := func(name, address string) error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		return errors.Join(netlink.AddrAdd(l, a), netlink.LinkSetUp(l))
	}
	if err := up("uplink", "192.0.2.1/24"); err != nil {
		t.Fatal(err)
	}
	if err := h.ns().within(func() error { return up("eth0", "192.0.2.2/24") }); err != nil {
		t.Fatal(err)
	}
	return h.ns()
}

// TestNAT: the world sees the host's address in the place of a container's, and
// reaches what is published, and nothing else.
func TestNAT(t *testing.T) {
	needRoot(t)
	outside := world(t)
	n := open(t, "nat", "")
	web, client := start(t, n), start(t, n)
	serve(t, outside, ":80")
	serve(t, web.ns(), ":80")
	serve(t, web.ns(), ":81")
	if _, err := client.ns().dial("192.0.2.2:80"); err == nil {
		t.Error("without NAT a container reaches the world")
	}
	if err := web.Publish([]Port{{"tcp", netip.Addr{}, 8080, 80}, {"udp", netip.Addr{}, 8080, 80}}); err != nil {
		t.Fatal(err)
	}
	if forwarding(t) != "1" {
		t.Error("ip_forward is off")
	}
	client.ns().check(t, "192.0.2.2:80", "192.0.2.1")              // masqueraded
	outside.check(t, "192.0.2.1:8080", "192.0.2.2")                // published
	host.check(t, "192.0.2.1:8080", "192.0.2.1")                   // from the host, by its address
	host.check(t, "127.0.0.1:8080", web.Gateway().String())        // by the loopback
	client.ns().check(t, "192.0.2.1:8080", web.Gateway().String()) // another container, by the host
	// With br_netfilter on, a bridge sends no packet out where it came in.
	os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("0"), 0)
	web.ns().check(t, "192.0.2.1:8080", web.Gateway().String()) // itself, by the host
	client.ns().check(t, web.addr.String()+":81", client.addr.String())

	// Who in the world knows the way is still not let in.
	err := outside.within(func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: n.subnet.Addr().AsSlice(), Mask: net.CIDRMask(16, 32)}, Gw: net.IPv4(192, 0, 2, 1)})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outside.dial(web.addr.String() + ":81"); err == nil {
		t.Error("the world reaches a port that is not published")
	}

	// Taken ports.
	if err := client.Publish([]Port{{"tcp", netip.Addr{}, 8081, 80}, {"tcp", netip.Addr{}, 8080, 80}}); err == nil || !strings.Contains(err.Error(), "another container") {
		t.Errorf("a port that another container has: %v", err)
	}
	if _, err := host.dial("192.0.2.1:8081"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("half of a failed Publish stays: %v", err)
	}
	serve(t, host, ":8082")
	for _, tt := range []struct {
		port Port
		want string
	}{{Port{"tcp", netip.Addr{}, 8082, 80}, "a program of this host"}, {Port{"sctp", netip.Addr{}, 1, 1}, "tcp or udp"}, {Port{"tcp", netip.Addr{}, 0, 1}, "no port 0"}} {
		if err := client.Publish([]Port{tt.port}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("publishing %v: %v", tt.port, err)
		}
	}

	// One address of the host.
	if err := web.Publish([]Port{{"tcp", netip.MustParseAddr("127.0.0.1"), 8090, 81}}); err != nil {
		t.Fatal(err)
	}
	host.check(t, "127.0.0.1:8090", web.Gateway().String())
	if _, err := outside.dial("192.0.2.1:8090"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a port of 127.0.0.1, from the world: %v", err)
	}

	// As another process does that knows the address, when this one has ended.
	for _, port := range web.taken {
		port.Close()
	}
	again, err := n.At(web.addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.unpublish(); err != nil {
		t.Fatal(err)
	}
	if _, err := host.dial("192.0.2.1:8080"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("it is published still: %v", err)
	}
	if _, err := host.dial("127.0.0.1:8090"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("it is published still: %v", err)
	}
	if err := client.Publish([]Port{{"tcp", netip.Addr{}, 8080, 80}}); err != nil {
		t.Error(err)
	}
}

// TestGuard: with route_localnet on, a container must not reach what listens on
// the host's 127.0.0.1 only.
func TestGuard(t *testing.T) {
	needRoot(t)
	n := open(t, "guard", "")
	h := start(t, n)
	private, err := net.ListenPacket("udp4", "127.0.0.1:5000")
	if err != nil {
		t.Fatal(err)
	}
	defer private.Close()
	frame := packet(h.Endpoint, netip.MustParseAddr("127.0.0.1"))
	arrives := func() bool {
		t.Helper()
		if err := h.send(frame); err != nil {
			t.Fatal(err)
		}
		private.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, _, err = private.ReadFrom(make([]byte, 10))
		return err == nil
	}
	// The positive control: without the rule it does arrive.
	if err := routeLocalnet(n.name(kindBridge, h.Gateway())); err != nil {
		t.Fatal(err)
	}
	if !arrives() {
		t.Error("without the rule it does not arrive either")
	}
	if err := n.NAT(); err != nil {
		t.Fatal(err)
	}
	if arrives() {
		t.Error("a container reaches 127.0.0.1 of the host")
	}
}

// TestForwarding: ip_forward is off again when the last network goes that needs
// it, and stays on if it was on.
func TestForwarding(t *testing.T) {
	ownNamespace(t)
	needRoot(t)
	one, two := open(t, "fone", ""), open(t, "ftwo", "")
	if one.subnet == two.subnet {
		t.Fatalf("both have %s", one.subnet)
	}
	for _, n := range []*Network{one, two} {
		if err := n.NAT(); err != nil {
			t.Fatal(err)
		}
	}
	sweep := func(id string) {
		t.Helper()
		if swept, err := Sweep(t.Context(), func(other string) bool { return other == id }); err != nil || len(swept) != 2 {
			t.Errorf("swept %q, %v", swept, err)
		}
	}
	sweep("fone") // which had turned it on
	if forwarding(t) != "1" {
		t.Error("it is off, and a network is left that needs it")
	}
	sweep("ftwo")
	if forwarding(t) != "0" {
		t.Error("it is on, and no network is left")
	}

	if err := sysctl("ipv4/ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	defer sysctl("ipv4/ip_forward", "0")
	three := open(t, "fthree", "")
	if err := three.NAT(); err != nil {
		t.Fatal(err)
	}
	sweep("fthree")
	if forwarding(t) != "1" {
		t.Error("it is off, and was on before")
	}
}

// TestSecondBridge: when a bridge is full there is another, and with NAT they
// reach each other.
func TestSecondBridge(t *testing.T) {
	needRoot(t)
	defer func(b int) { bridgeBits = b }(bridgeBits)
	bridgeBits = 29 // a bridge and five ports
	n := open(t, "second", "10.222.7.0/28")
	if err := n.NAT(); err != nil {
		t.Fatal(err)
	}
	var all []*holder
	for i := range 10 {
		all = append(all, start(t, n))
		want := netip.AddrFrom4([4]byte{10, 222, 7, byte([]int{2, 3, 4, 5, 6, 10, 11, 12, 13, 14}[i])})
		if all[i].addr != want {
			t.Errorf("endpoint %d has %s, want %s", i, all[i].addr, want)
		}
	}
	if _, err := n.Endpoint(); !errors.Is(err, errFull) || !strings.Contains(err.Error(), "10.222.7.0/28") {
		t.Errorf("the eleventh of ten: %v", err)
	}
	serve(t, all[0].ns(), ":80")
	serve(t, host, ":81")
	if err := all[0].Publish([]Port{{"tcp", netip.Addr{}, 82, 80}}); err != nil {
		t.Fatal(err)
	}
	far := all[9]
	far.ns().check(t, all[0].addr.String()+":80", far.addr.String())
	far.ns().check(t, far.Gateway().String()+":81", far.addr.String())
	far.ns().check(t, all[0].Gateway().String()+":81", far.addr.String())
	host.check(t, "127.0.0.1:82", all[0].Gateway().String())
	if err := far.Publish([]Port{{"tcp", netip.Addr{}, 83, 84}}); err != nil {
		t.Fatal(err)
	}
	serve(t, far.ns(), ":84")
	host.check(t, "127.0.0.1:83", far.Gateway().String()) // of the second bridge, made after NAT
	for _, bridge := range []string{"second-b0701", "second-b0709"} {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/sys/net/ipv4/conf/%s/route_localnet", bridge)); err != nil || b[0] != '1' {
			t.Errorf("route_localnet of %s: %q, %v", bridge, b, err)
		}
	}
}
