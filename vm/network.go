package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// A Network is a machine's network card, and what it is plugged into: a tap, or,
// without one, a network that QEMU itself plays (user-mode, by libslirp), which needs
// no privilege.
//
// A tap's other end is a port of the same bridge that containers are plugged into:
// what is sent to the machine's address goes through the kernel to the bridge, from
// there to QEMU, and from there into the guest's memory. With user-mode no packet
// leaves QEMU: it plays a router that ends each TCP connection of the guest, and makes
// one of its own to the same place; nobody can call the guest but by [Forward].
type Network struct {
	MAC net.HardwareAddr // of the card
	// Address, with the length of its subnet, and Gateway are what the guest gives
	// its interface, eth0. With none, it leaves that down.
	Address netip.Prefix
	Gateway netip.Addr
	// Tap is the file of a tap interface (Endpoint.Tap of package container/network).
	// Start gives QEMU a copy.
	Tap *os.File
	// Vhost leaves it to the host's kernel to move the packets between the tap and the
	// guest's memory (vhost-net), with no detour over QEMU. For a tap, and a host that
	// [HasVhost].
	Vhost bool
	// Forward are ports of the host that lead to ports of the guest, of a user-mode
	// network.
	Forward []Forward
}

// A Forward leads from a port of the host to one of the guest.
type Forward struct {
	Protocol string // "tcp" or "udp"
	// Host is where QEMU listens. Port 0 is one that the kernel chooses;
	// [Machine.Forwarded] tells which.
	Host  netip.AddrPort
	Guest uint16
}

// UserNetwork is a user-mode network, with the addresses that QEMU gives it if it is
// not told others (qemu-system-x86_64(1), "-netdev user").
func UserNetwork(forward ...Forward) *Network {
	return &Network{
		MAC:     net.HardwareAddr{0x52, 0x54, 0x00, 0x12, 0x34, 0x56},
		Address: netip.MustParsePrefix("10.0.2.15/24"), Gateway: netip.MustParseAddr("10.0.2.2"),
		Forward: forward,
	}
}

// UserDNS is the name server that QEMU plays on a user-mode network: it asks those of
// the host.
var UserDNS = netip.MustParseAddr("10.0.2.3")

// Forwarded is where QEMU listens for a forwarded port of the guest (the monitor's
// command "info usernet").
func (m *Machine) Forwarded(ctx context.Context, protocol string, guest uint16) (netip.AddrPort, error) {
	const command = "info usernet"
	answer, err := m.monitor.Run(ctx, "human-monitor-command", map[string]string{"command-line": command})
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("asking QEMU where it listens for port %d of the guest: %w", guest, err)
	}
	var text string
	if err := json.Unmarshal(answer, &text); err != nil {
		return netip.AddrPort{}, fmt.Errorf("the answer to %s, %.200s: %w", command, answer, err)
	}
	return forwarded(text, protocol, guest)
}

// forwarded looks for a port of the guest in what QEMU says of a user-mode network:
//
//	Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
//	TCP[HOST_FORWARD]   8       127.0.0.1 39681       10.0.2.15    80     0     0
func forwarded(text, protocol string, guest uint16) (netip.AddrPort, error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 || f[0] != strings.ToUpper(protocol)+"[HOST_FORWARD]" || f[5] != strconv.Itoa(int(guest)) {
			continue
		}
		if f[2] == "*" {
			f[2] = "0.0.0.0"
		}
		return netip.ParseAddrPort(f[2] + ":" + f[3])
	}
	return netip.AddrPort{}, fmt.Errorf("QEMU forwards no %s port to port %d of the guest:\n%s", protocol, guest, text)
}

const vhostDevice = "/dev/vhost-net"

// HasVhost tells whether the host's kernel has vhost-net, and this user may use it.
func HasVhost() bool {
	f, err := os.OpenFile(vhostDevice, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// backend is the option -netdev (qemu-system-x86_64(1), "Network options"): what the
// card is plugged into.
func (n *Network) backend(fd func(role string) string) string {
	if n.Tap != nil {
		b := "tap,id=net,fd=" + fd(roleTap)
		if n.Vhost {
			b += ",vhost=on,vhostfd=" + fd(roleVhost)
		}
		return b
	}
	b := "user,id=net"
	for _, f := range n.Forward {
		host := ""
		if f.Host.Addr().IsValid() {
			host = f.Host.Addr().String()
		}
		b += fmt.Sprintf(",hostfwd=%s:%s:%d-:%d", f.Protocol, host, f.Host.Port(), f.Guest)
	}
	return b
}

// card is the option -device. The card brings a ROM with which a firmware could boot
// from the network, and which costs memory and time: it gets none.
func (n *Network) card() string {
	return "virtio-net-pci,netdev=net,mac=" + n.MAC.String() + ",romfile="
}

// setting is what the guest is told of it (wire.NetworkVariable).
func (n *Network) setting() string {
	return strings.Join([]string{n.MAC.String(), n.Address.String(), n.Gateway.String()}, ",")
}

// check gives what is wrong with a network, "" if nothing is.
func (n *Network) check() string {
	switch {
	case len(n.MAC) != 6:
		return fmt.Sprintf("%q is no MAC address of a card", n.MAC)
	case n.Address.IsValid() && (!n.Address.Addr().Is4() || !n.Address.Contains(n.Gateway)):
		return fmt.Sprintf("the gateway %s is not in the IPv4 subnet of the address %s", n.Gateway, n.Address)
	case n.Vhost && n.Tap == nil:
		return "vhost-net needs a tap"
	case n.Tap != nil && len(n.Forward) > 0:
		return "QEMU forwards no ports to a tap: the host's kernel does (container/network)"
	}
	return ""
}
