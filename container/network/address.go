package network

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"strings"
)

// The container's end of the veth pair. Its number is chosen, since the request
// that gives an interface an address names it by that; it is far from those that
// the kernel gives by itself, from 1.
const (
	inside      = "eth0"
	insideIndex = 1000
)

// Everything about a port follows from its address: the interface's name and
// number, the MAC address. So nothing has to be looked up or stored, and two
// ports cannot meet.

// name is the name of an interface of this network: at most eight bytes of ID, a
// letter for what it is, and the last 16 bits of its address. Names have at most
// 15 bytes (IFNAMSIZ).
func (n *Network) name(kind byte, a netip.Addr) string {
	return fmt.Sprintf("%s-%c%04x", n.id, kind, number32(a)&0xffff)
}

// Kinds of interfaces.
const (
	kindBridge = 'b'
	kindVeth   = 'v'
	kindTap    = 't'
)

// parseName gives the ID in an interface's name.
func parseName(name string) (id string, ok bool) {
	id, rest, ok := strings.Cut(name, "-")
	if !ok || checkID(id) != nil || len(rest) != 5 || !strings.ContainsRune("bvt", rune(rest[0])) || strings.Trim(rest[1:], "0123456789abcdef") != "" {
		return "", false
	}
	return id, true
}

func checkID(id string) error {
	if id == "" || len(id) > 8 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return fmt.Errorf("network: the ID %q is not one to eight letters a-z and digits: it begins the names of interfaces, which have 15 bytes", id)
	}
	return nil
}

// group marks the interfaces of a network (IFLA_GROUP; "ip link show group"). A
// rule of the firewall means all of its bridges by it, and one request removes
// them.
func group(id string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(id))
	return h.Sum32() | 1<<31 // people use small numbers, and 0 is the default
}

// index is the number of an interface. No two networks on a host share an
// address, so no two interfaces share this.
func index(a netip.Addr) int32 { return int32(number32(a)&(1<<30-1) | 1<<30) }

// mac is the MAC address of the port with this IPv4 address: 02 says that it is
// locally administered, and the rest is as in Docker.
func mac(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0x42, b[0], b[1], b[2], b[3]}
}

func number32(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func addr(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

// last is a prefix's broadcast address.
func last(p netip.Prefix) netip.Addr {
	return addr(number32(p.Addr()) | (1<<(32-p.Bits()) - 1))
}

// block is the part of the subnet that belongs to the bridge of this address:
// the bridge has its first address, and its ports the others.
func (n *Network) block(a netip.Addr) netip.Prefix {
	return netip.PrefixFrom(a, n.bits).Masked()
}

func gateway(block netip.Prefix) netip.Addr { return block.Addr().Next() }
