package network

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A conversation is a batch of rtnetlink(7) requests that go to the kernel in
// one sendto(2). The kernel carries them out in turn, before sendto returns.
//
// No request asks for an acknowledgement (NLM_F_ACK): so the kernel answers
// only those that failed, with an error message that holds the sequence number
// of the request (netlink(7)). One receive that finds nothing is proof that all
// of them succeeded.
type conversation struct {
	bytes []byte
	what  []string // what each request does; its sequence number is its place here, from 1
}

// add appends a request: struct nlmsghdr, a fixed header, attributes.
func (c *conversation) add(what string, typ, flags uint16, header []byte, attributes ...[]byte) {
	c.what = append(c.what, what)
	length := unix.SizeofNlMsghdr + len(header)
	for _, a := range attributes {
		length += len(a)
	}
	b := binary.NativeEndian.AppendUint32(c.bytes, uint32(length))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags|unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(c.what)))
	b = binary.NativeEndian.AppendUint32(b, 0) // port ID: the kernel fills it in
	b = append(b, header...)
	for _, a := range attributes {
		b = append(b, a...)
	}
	c.bytes = b
}

// attribute is a struct rtattr and its value, padded to four bytes. An
// attribute whose value is attributes is a nested one.
func attribute(typ uint16, values ...[]byte) []byte {
	length := unix.SizeofRtAttr
	for _, v := range values {
		length += len(v)
	}
	b := make([]byte, 0, (length+3)&^3)
	b = binary.NativeEndian.AppendUint16(b, uint16(length))
	b = binary.NativeEndian.AppendUint16(b, typ)
	for _, v := range values {
		b = append(b, v...)
	}
	return b[:cap(b)]
}

func text(typ uint16, s string) []byte { return attribute(typ, append([]byte(s), 0)) }

func byte1(typ uint16, n byte) []byte { return attribute(typ, []byte{n}) }

func number(typ uint16, n uint32) []byte {
	return attribute(typ, binary.NativeEndian.AppendUint32(nil, n))
}

func address(typ uint16, a netip.Addr) []byte { return attribute(typ, a.AsSlice()) }

// link is struct ifinfomsg, which also begins the description of a veth's peer.
// With IFF_UP in flags the interface comes up; with 0 its state stays.
func link(index int32, flags uint32) []byte {
	b := make([]byte, 4, unix.SizeofIfInfomsg) // family, padding, type
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	b = binary.NativeEndian.AppendUint32(b, flags)
	return binary.NativeEndian.AppendUint32(b, flags) // change: which flags are meant
}

// up brings an interface up.
func (c *conversation) up(name string, index int32) {
	c.add("bringing "+name+" up", unix.RTM_SETLINK, 0, link(index, unix.IFF_UP))
}

// noIPv6Address says that the interface makes itself no link-local address,
// before it comes up: such an address is announced, tested for duplicates (RFC
// 4862) and used for router solicitations, and on a bridge each of these
// packets goes to every port.
func (c *conversation) noIPv6Address(name string, index int32) {
	const none = 1 // IN6_ADDR_GEN_MODE_NONE
	c.add("turning the IPv6 link-local address of "+name+" off", unix.RTM_SETLINK, 0, link(index, 0),
		attribute(unix.IFLA_AF_SPEC, attribute(unix.AF_INET6, byte1(unix.IFLA_INET6_ADDR_GEN_MODE, none))))
}

// addAddress gives an interface an IPv4 address; the kernel makes the route to
// its subnet by itself.
func (c *conversation) addAddress(name string, index int32, p netip.Prefix) {
	h := []byte{unix.AF_INET, byte(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE} // struct ifaddrmsg
	h = binary.NativeEndian.AppendUint32(h, uint32(index))
	c.add("giving "+name+" the address "+p.String(), unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, h,
		address(unix.IFA_LOCAL, p.Addr()), address(unix.IFA_ADDRESS, p.Addr()), address(unix.IFA_BROADCAST, last(p)))
}

// removeAddress takes an interface's first IPv4 address away; with the last one the
// kernel removes the interface's routes.
func (c *conversation) removeAddress(name string, index int32) {
	h := binary.NativeEndian.AppendUint32([]byte{unix.AF_INET, 0, 0, 0}, uint32(index)) // struct ifaddrmsg
	c.add("taking the address of "+name+" away", unix.RTM_DELADDR, 0, h)
}

// setMAC gives an interface another MAC address.
func (c *conversation) setMAC(name string, index int32, mac []byte) {
	c.add("giving "+name+" another MAC address", unix.RTM_SETLINK, 0, link(index, 0), attribute(unix.IFLA_ADDRESS, mac))
}

// addDefaultRoute sends all that is for no subnet of its own to the gateway.
func (c *conversation) addDefaultRoute(gateway netip.Addr) {
	h := []byte{unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0} // struct rtmsg
	c.add("setting the default route to "+gateway.String(), unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, h, address(unix.RTA_GATEWAY, gateway))
}

// addBridge makes a bridge. It has a MAC address of its own (it would change
// with its ports otherwise), and a port of it forwards at once: no spanning
// tree, no forward delay. It does not look who listens to which multicast
// group either, since asking makes traffic of its own.
func (c *conversation) addBridge(name string, index int32, mac []byte, group uint32) {
	c.add("making the bridge "+name, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, link(index, 0),
		text(unix.IFLA_IFNAME, name), number(unix.IFLA_GROUP, group), attribute(unix.IFLA_ADDRESS, mac),
		attribute(unix.IFLA_LINKINFO, text(unix.IFLA_INFO_KIND, "bridge"), attribute(unix.IFLA_INFO_DATA,
			number(unix.IFLA_BR_STP_STATE, 0), number(unix.IFLA_BR_FORWARD_DELAY, 0), byte1(unix.IFLA_BR_MCAST_SNOOPING, 0))))
}

// veth is what a veth(4) pair is made of.
type veth struct {
	name   string // the host's end
	index  int32
	bridge int32
	group  uint32
	mac    []byte // of the container's end
	pid    int    // whose network namespace gets that
}

// addVeth makes the pair: one end in this namespace, a port of the bridge and
// up, the other already in the container's, with its name, number and address.
// No interface is ever moved or renamed. Each end has the one queue that it would
// use anyhow: else the kernel makes one for each CPU, and takes them away again.
func (c *conversation) addVeth(v veth) {
	const peer = 1 // VETH_INFO_PEER
	c.add("making the veth "+v.name, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, link(v.index, unix.IFF_UP),
		text(unix.IFLA_IFNAME, v.name), number(unix.IFLA_GROUP, v.group), number(unix.IFLA_MASTER, uint32(v.bridge)),
		number(unix.IFLA_NUM_TX_QUEUES, 1), number(unix.IFLA_NUM_RX_QUEUES, 1),
		attribute(unix.IFLA_LINKINFO, text(unix.IFLA_INFO_KIND, "veth"), attribute(unix.IFLA_INFO_DATA, attribute(peer,
			link(insideIndex, 0), text(unix.IFLA_IFNAME, inside), number(unix.IFLA_NUM_TX_QUEUES, 1), number(unix.IFLA_NUM_RX_QUEUES, 1), attribute(unix.IFLA_ADDRESS, v.mac), number(unix.IFLA_NET_NS_PID, uint32(v.pid))))))
}

// join makes an interface that exists a port of the bridge.
func (c *conversation) join(name string, bridge int32, group uint32) {
	c.add("making "+name+" a port of the bridge", unix.RTM_SETLINK, 0, link(0, unix.IFF_UP),
		text(unix.IFLA_IFNAME, name), number(unix.IFLA_GROUP, group), number(unix.IFLA_MASTER, uint32(bridge)))
}

func (c *conversation) removeLink(name string) {
	c.add("removing "+name, unix.RTM_DELLINK, 0, link(0, 0), text(unix.IFLA_IFNAME, name))
}

// removeGroup removes all interfaces of a group, in one go: the kernel waits
// for those who may still use them once, and not once for each.
func (c *conversation) removeGroup(group uint32) {
	c.add("removing the interfaces", unix.RTM_DELLINK, 0, link(0, 0), number(unix.IFLA_GROUP, group))
}
