// Package network connects containers, and virtual machines, with each other,
// with the host and with the world.
//
// A new network namespace (network_namespaces(7)) is an empty machine room: one
// interface, the loopback "lo", and that is down. What a container engine adds
// is a network like that of an office, of virtual parts:
//
//	 container 1      container 2      virtual machine
//	┌───────────┐    ┌───────────┐    ┌───────────────┐
//	│   eth0    │    │   eth0    │    │ virtio-net    │
//	│ 10.222.0.2│    │ 10.222.0.3│    │ 10.222.0.4    │
//	└─────┬─────┘    └─────┬─────┘    └──────┬────────┘
//	      │ veth pair      │ veth pair       │ QEMU
//	  ID-v0002         ID-v0003          ID-t0004 (tap)
//	──────┴────────────────┴─────────────────┴────────  bridge ID-b0001, 10.222.0.1
//	                       │ routing (ip_forward), NAT (nftables)
//	                     eth0 of the host ── the world
//
// A veth(4) pair is a cable with two plugs: what goes in at one end comes out at
// the other. One end is in the container and is called eth0 there; the other is
// on the host, in a bridge. A bridge is a switch: its ports reach each other by
// MAC address. It is an interface of the host too, with an address, and that is
// the containers' gateway, and how the host reaches them. A tap is a cable too,
// whose other plug is a file: what is written to it arrives at the bridge (the
// kernel's Documentation/networking/tuntap.rst). QEMU holds it.
//
// # Addresses
//
// A [Network] has a subnet, 10.222.0.0/16 unless the host uses that already. A
// bridge holds 1,023 ports (the kernel's BR_MAX_PORTS), so each has a /22, which
// has about as many addresses; when it is full, the next bridge is made. Bridges
// reach each other through the host, by routing, and so only with NAT (below).
//
// An address decides all else about a port: the name and number of its
// interface and the MAC address. So nothing has to be looked up, and who knows the
// address of a container can remove its port.
//
// # One netlink conversation
//
// All of this is asked of the kernel by messages on a netlink(7) socket, here
// without any detour over ip(8). They are few, since a single one can say all
// about a new interface (rtnetlink(7), RTM_NEWLINK): the veth's host end is made
// with its name, as a port of the bridge, and up; the other end is made in the
// container's namespace, under the name eth0. This is [Endpoint.Attach], on the
// host. The rest has to be said on a socket of the namespace itself: the address,
// the default route, and that eth0 and lo come up. These messages ([Configure])
// are written ahead and sent in one system call by the container's first process,
// before it becomes the program: it holds CAP_NET_ADMIN over the new namespace
// still, and needs no Go for it (package step). Meanwhile the parent works beside
// it ([Configuration.Connect]), and the veth is made while the child mounts.
//
// # NAT
//
// Nobody outside knows the way to 10.222.0.0/16. So when a container talks to the
// world, the host puts its own address in the place of the sender's, and the
// container's back in the answers: masquerading. To be talked to, a container
// publishes a port: what arrives at that port of the host is sent on to the
// container. Both are rules of nftables (nat.go), and both need the host to pass
// packets on between its interfaces: net.ipv4.ip_forward. Neither is needed to
// reach a container from its own host, so [Network.NAT] is a step of its own.
package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Network is a set of bridges with one subnet.
type Network struct {
	id     string
	subnet netip.Prefix
	bits   int // of the part of the subnet that one bridge has
	group  uint32
	ipv6   bool // this kernel has IPv6, which then needs to be told to be silent
	socket *socket
	state  *state
}

// bridgeBits is the part of the subnet that one bridge has: with a /22, 1,021
// ports. A variable for tests.
var bridgeBits = 22

// Open makes the network with this ID and its first bridge; or, if another
// process has made it, opens it. The ID, at most eight letters and digits,
// begins the names of all its interfaces. The processes that share the network
// share dir, a folder that exists. Without a subnet one of the 10.222.0.0/16 to
// 10.253.0.0/16 is chosen that no interface and no route of this host uses.
func Open(ctx context.Context, id, dir string, subnet netip.Prefix) (_ *Network, err error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if subnet.IsValid() && (!subnet.Addr().Is4() || subnet.Masked() != subnet || subnet.Bits() < 16 || subnet.Bits() > 30) {
		return nil, fmt.Errorf("network: %s is not an IPv4 subnet of /16 to /30", subnet)
	}
	n := &Network{id: id, group: group(id), ipv6: hasIPv6()}
	if n.socket, err = dial(); err != nil {
		return nil, err
	}
	if n.state, err = openState(dir); err != nil {
		n.socket.close()
		return nil, err
	}
	if err := n.open(ctx, subnet); err != nil {
		n.Leave()
		return nil, fmt.Errorf("network %s: %w", id, err)
	}
	return n, nil
}

func hasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

func (n *Network) open(ctx context.Context, subnet netip.Prefix) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := n.state.lock(); err != nil {
		return err
	}
	defer n.state.unlock()
	sh := n.state.shared
	if sh.made {
		n.setSubnet(netip.PrefixFrom(netip.AddrFrom4(sh.subnet), int(sh.bits)))
		if subnet.IsValid() && subnet != n.subnet {
			return fmt.Errorf("its subnet is %s, not %s", n.subnet, subnet)
		}
		return nil
	}
	unlock, err := lockNamespace(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if subnet, err = freeSubnet(subnet); err != nil {
		return err
	}
	n.setSubnet(subnet)
	*sh = shared{subnet: subnet.Addr().As4(), bits: uint8(subnet.Bits())}
	if err := n.bridge(subnet.Addr()); err != nil {
		return err
	}
	sh.made = true
	return nil
}

func (n *Network) setSubnet(p netip.Prefix) { n.subnet, n.bits = p, max(p.Bits(), bridgeBits) }

// Subnet is the range of the network's addresses.
func (n *Network) Subnet() netip.Prefix { return n.subnet }

// freeSubnet chooses a subnet that this host does not use; if one is wanted it
// only looks whether it is free.
func freeSubnet(wanted netip.Prefix) (netip.Prefix, error) {
	used, err := usedSubnets()
	if err != nil {
		return wanted, err
	}
	overlap := func(p netip.Prefix) (netip.Prefix, bool) {
		for _, u := range used {
			if u.Overlaps(p) {
				return u, true
			}
		}
		return netip.Prefix{}, false
	}
	if wanted.IsValid() {
		if u, ok := overlap(wanted); ok {
			return wanted, fmt.Errorf("the subnet %s overlaps %s, which this host has an address in or a route to; choose another", wanted, u)
		}
		return wanted, nil
	}
	for second := byte(222); second < 254; second++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, second, 0, 0}), 16)
		if _, ok := overlap(p); !ok {
			return p, nil
		}
	}
	return wanted, errors.New("this host has addresses in or routes to each of 10.222.0.0/16 to 10.253.0.0/16; name another subnet")
}

// usedSubnets are those of addresses, and destinations of routes but of the
// default one.
func usedSubnets() ([]netip.Prefix, error) {
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing the host's addresses: %w", err)
	}
	// Of all tables, since a VPN likes its own.
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("listing the host's routes: %w", err)
	}
	var used []netip.Prefix
	add := func(s string) {
		if p, err := netip.ParsePrefix(s); err == nil && p.Bits() > 1 { // VPNs take 0.0.0.0/1 and 128.0.0.0/1 for a default route
			used = append(used, p.Masked())
		}
	}
	for _, a := range addresses {
		add(a.IPNet.String())
	}
	for _, r := range routes {
		if r.Dst != nil {
			add(r.Dst.String())
		}
	}
	return used, nil
}

// bridge makes the bridge that an address of the subnet belongs to, if it is
// not there. The caller holds the lock on the state.
func (n *Network) bridge(a netip.Addr) error {
	block := n.block(a)
	i := (number32(block.Addr()) - number32(n.subnet.Addr())) >> (32 - n.bits)
	if n.state.bridges[i%64] {
		return nil
	}
	at := gateway(block)
	name, number := n.name(kindBridge, at), index(at)
	var c conversation
	c.addBridge(name, number, mac(at), n.group)
	if err := n.socket.do(&c); err != nil {
		return err
	}
	c = conversation{}
	if n.ipv6 {
		c.noIPv6Address(name, number)
	}
	c.addAddress(name, number, netip.PrefixFrom(at, n.bits))
	c.up(name, number)
	err := n.socket.do(&c)
	if err == nil && n.state.nat {
		err = routeLocalnet(name)
	}
	if err != nil {
		return errors.Join(err, n.remove(name))
	}
	n.state.bridges[i%64] = true
	return nil
}

// remove removes an interface, if it is there.
func (n *Network) remove(name string) error {
	var c conversation
	c.removeLink(name)
	if err := n.socket.do(&c); err != nil && !errors.Is(err, unix.ENODEV) {
		return err
	}
	return nil
}

// Leave closes what this process holds of a network that others go on using.
func (n *Network) Leave() error { return errors.Join(n.socket.close(), n.state.close()) }

// Close removes the network: all interfaces, with a port or without, and the
// rules. Its containers end up with no network.
func (n *Network) Close() error {
	if err := n.state.lock(); err != nil {
		return err
	}
	err := n.socket.do(removal(n.group))
	if errors.Is(err, unix.ENODEV) {
		err = nil
	}
	_, natErr := removeTables(func(id string) bool { return id == n.id })
	*n.state.shared = shared{}
	file := n.state.file.Name()
	n.state.unlock()
	return errors.Join(err, natErr, n.Leave(), os.Remove(file))
}

func removal(group uint32) *conversation {
	var c conversation
	c.removeGroup(group)
	return &c
}

// sysctl writes a file below /proc/sys/net, which shows the settings of the
// network namespace of who opens it.
func sysctl(path, value string) error {
	if err := os.WriteFile(filepath.Join("/proc/sys/net", path), []byte(value), 0); err != nil {
		return fmt.Errorf("setting net/%s to %s: %w", path, value, err)
	}
	return nil
}
