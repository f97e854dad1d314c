package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Port of the host that leads to a port of a container.
type Port struct {
	Protocol        string     // "tcp" or "udp"
	Address         netip.Addr // the host's, of IPv4; the zero value means all
	Host, Container uint16
}

func (p Port) String() string {
	s := fmt.Sprintf("%d:%d/%s", p.Host, p.Container, p.Protocol)
	if p.Address.IsValid() {
		s = p.Address.String() + ":" + s
	}
	return s
}

var protocols = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}

// tablePrefix begins the names of all our tables; the ID of the network follows.
const tablePrefix = "container-"

// forwardWasOff is an empty chain that says that ip_forward was 0 before. It
// is in the table and not in a file, so that who removes the table of a dead run
// knows it too.
const forwardWasOff = "ip-forward-was-off"

// NAT lets the containers of this network reach the world. It changes two
// settings of the host: net.ipv4.ip_forward becomes 1 if it is 0, and 0 again when
// the last network with NAT goes; and net.ipv4.conf.BRIDGE.route_localnet, which
// goes with the bridge.
func (n *Network) NAT() error {
	if err := n.state.lock(); err != nil {
		return err
	}
	defer n.state.unlock()
	if n.state.nat {
		return nil
	}
	if err := n.addNAT(); err != nil {
		_, cleanup := removeTables(func(id string) bool { return id == n.id })
		return errors.Join(fmt.Errorf("network %s: NAT: %w", n.id, err), cleanup)
	}
	n.state.nat = true
	return nil
}

func (n *Network) addNAT() error {
	before, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		return err
	}
	off := strings.TrimSpace(string(before)) == "0"
	c, err := nftables.New()
	if err != nil {
		return err
	}
	n.addRules(c)
	if off {
		c.AddChain(&nftables.Chain{Table: n.table(), Name: forwardWasOff})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("adding the rules to nftables (the kernel needs nf_tables, nft_chain_nat, nft_masq, nft_fib_ipv4): %w", err)
	}
	for i, made := range n.state.bridges {
		if made {
			block := addr(number32(n.subnet.Addr()) + uint32(i)<<(32-n.bits))
			if err := routeLocalnet(n.name(kindBridge, block.Next())); err != nil {
				return err
			}
		}
	}
	if off {
		return sysctl("ipv4/ip_forward", "1")
	}
	return nil
}

// routeLocalnet lets packets from 127.0.0.1 go out by the bridge, which carry
// that address until they are masqueraded, and answers come back in (the
// kernel's Documentation/networking/ip-sysctl.rst).
func routeLocalnet(bridge string) error { return sysctl("ipv4/conf/"+bridge+"/route_localnet", "1") }

func (n *Network) table() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tablePrefix + n.id}
}

// Publish makes ports of the host lead to the container, wherever a connection
// comes from: the world, another container, or the host itself, by 127.0.0.1 or
// any other of its addresses. All addresses of the host lead there, unless a port
// names one. The one who may not reach the container so is itself: with br_netfilter on, a bridge sends
// no packet out by the port that it came in by.
func (e *Endpoint) Publish(ports []Port) error {
	var taken []io.Closer
	defer func() {
		for _, t := range taken {
			t.Close()
		}
	}()
	for _, p := range ports {
		t, err := p.take()
		if err != nil {
			return fmt.Errorf("publishing %s of %s: %w", p, e.addr, err)
		}
		taken = append(taken, t)
	}
	if err := e.network.NAT(); err != nil {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	for _, set := range e.network.maps() {
		if list := e.elements(set, ports); len(list) > 0 {
			c.SetAddElements(set, list)
		}
	}
	// All of them or none: a batch of nftables is one transaction.
	if err := c.Flush(); err != nil {
		if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
			err = fmt.Errorf("another container uses such a port: %w", err)
		}
		return fmt.Errorf("publishing %v of %s: %w", ports, e.addr, err)
	}
	e.natted = true
	e.taken, taken = append(e.taken, taken...), nil
	return nil
}

// take binds a socket to the host's port. No packet comes to it, since the rules
// are before it; but nobody else can have the port: neither a program of the
// host, which would hear nothing, nor a container of another network.
func (p Port) take() (t io.Closer, err error) {
	if p.Host == 0 || p.Container == 0 {
		return nil, errors.New("there is no port 0")
	}
	at := ":" + strconv.Itoa(int(p.Host))
	if p.Address.IsValid() {
		if !p.Address.Is4() {
			return nil, fmt.Errorf("%s is no IPv4 address", p.Address)
		}
		at = p.Address.String() + at
	}
	switch p.Protocol {
	case "tcp":
		t, err = net.Listen("tcp4", at)
	case "udp":
		t, err = net.ListenPacket("udp4", at)
	default:
		return nil, errors.New("a port's protocol is tcp or udp")
	}
	if err != nil {
		return nil, fmt.Errorf("another container or a program of this host uses the port: %w", err)
	}
	return t, nil
}

// elements are entries of one of the maps of published ports. In
// concatenations each part takes a multiple of four bytes.
func (e *Endpoint) elements(set *nftables.Set, ports []Port) []nftables.SetElement {
	var list []nftables.SetElement
	for _, p := range ports {
		var key []byte
		if p.Address.IsValid() != (set.Name == publishedAt) {
			continue
		}
		if p.Address.IsValid() {
			key = p.Address.AsSlice()
		}
		key = append(key, protocols[p.Protocol], 0, 0, 0)
		value := e.addr.AsSlice()
		list = append(list, nftables.SetElement{
			Key: append(binary.BigEndian.AppendUint16(key, p.Host), 0, 0),
			Val: append(binary.BigEndian.AppendUint16(value, p.Container), 0, 0),
		})
	}
	return list
}

// unpublish removes what Publish added, in whichever process.
func (e *Endpoint) unpublish() error {
	if err := e.network.state.lock(); err != nil {
		return err
	}
	nat := e.network.state.nat
	e.network.state.unlock()
	if !nat {
		return nil
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	found := false
	for _, set := range e.network.maps() {
		list, err := c.GetSetElements(set)
		if err != nil {
			return fmt.Errorf("listing the published ports: %w", err)
		}
		var ours []nftables.SetElement
		for _, el := range list {
			if a, ok := netip.AddrFromSlice(el.Val[:min(4, len(el.Val))]); ok && a == e.addr {
				ours = append(ours, nftables.SetElement{Key: el.Key, Val: el.Val})
			}
		}
		if len(ours) > 0 {
			found = true
			c.SetDeleteElements(set, ours)
		}
	}
	if !found {
		return nil
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("removing the published ports of %s: %w", e.addr, err)
	}
	// Connections that the kernel tracks go on leading there (UDP has no end),
	// and the address may soon be another container's.
	filter := &netlink.ConntrackFilter{}
	if err := filter.AddIP(netlink.ConntrackReplySrcIP, e.addr.AsSlice()); err != nil {
		return err
	}
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, netlink.FAMILY_V4, filter); err != nil {
		return fmt.Errorf("ending the tracked connections to %s: %w", e.addr, err)
	}
	return nil
}

// removeTables removes the tables of the networks whose ID dead is true of.
func removeTables(dead func(id string) bool) (removed []string, err error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) {
			return nil, nil // no nftables in this kernel: no tables
		}
		return nil, fmt.Errorf("listing the tables of nftables: %w", err)
	}
	var off bool
	var heir *nftables.Table
	for _, t := range tables {
		id, ok := strings.CutPrefix(t.Name, tablePrefix)
		switch {
		case !ok || checkID(id) != nil:
		case dead(id):
			if _, err := c.ListChain(t, forwardWasOff); err == nil {
				off = true
			}
			c.DelTable(t)
			removed = append(removed, "nftables table "+t.Name)
		default:
			heir = t
		}
	}
	if len(removed) == 0 {
		return nil, nil
	}
	if off && heir != nil {
		c.AddChain(&nftables.Chain{Table: heir, Name: forwardWasOff})
	}
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("removing tables of nftables: %w", err)
	}
	if off && heir == nil {
		return removed, sysctl("ipv4/ip_forward", "0")
	}
	return removed, nil
}
