package network

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestInterface: what is set takes the place of what there was.
func TestInterface(t *testing.T) {
	needRoot(t)
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "card0"}, PeerName: "card1"}
	if err := netlink.LinkAdd(cable); err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(cable)
	if err := (Interface{Name: "card1"}).Set(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []Interface{
		{"card0", net.HardwareAddr{2, 0x42, 10, 99, 0, 2}, netip.MustParsePrefix("10.99.0.2/22"), netip.MustParseAddr("10.99.0.1")},
		{"card0", net.HardwareAddr{2, 0x42, 10, 98, 7, 5}, netip.MustParsePrefix("10.98.7.5/24"), netip.MustParseAddr("10.98.7.1")},
	} {
		if err := want.Set(); err != nil {
			t.Fatal(err)
		}
		l, err := netlink.LinkByName("card0")
		if err != nil {
			t.Fatal(err)
		}
		if a := l.Attrs(); a.HardwareAddr.String() != want.MAC.String() || a.Flags&net.FlagUp == 0 {
			t.Errorf("the interface is %v, want %v, up", a, want.MAC)
		}
		// Of IPv6 too: it has none.
		addresses, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil || len(addresses) != 1 || addresses[0].IPNet.String() != want.Address.String() {
			t.Errorf("its addresses are %v (%v), want %v", addresses, err, want.Address)
		}
		routes, err := netlink.RouteList(l, netlink.FAMILY_V4)
		if err != nil || len(routes) != 2 {
			t.Errorf("its routes are %v (%v), and not those to its subnet and to all else", routes, err)
		}
		for _, r := range routes {
			if r.Gw != nil && r.Gw.String() != want.Gateway.String() || r.Gw == nil && r.Dst.String() != want.Address.Masked().String() {
				t.Errorf("route %v", r)
			}
		}
	}
	for _, tt := range []struct {
		i    Interface
		want string
	}{
		{Interface{Name: "none0"}, "finding the interface none0: no such device"},
		{Interface{Name: "card0", MAC: net.HardwareAddr{1, 0, 0, 0, 0, 1}}, "giving card0 another MAC address: cannot assign requested address"},
		{Interface{Name: "card0", Address: netip.MustParsePrefix("10.97.0.2/24"), Gateway: netip.MustParseAddr("10.96.0.1")}, "setting the default route to 10.96.0.1: network is unreachable"},
	} {
		if err := tt.i.Set(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}
