package network

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The maps from ports of the host to ports of containers: of all addresses of
// the host, and of one. One rule each looks into it, however many ports there are.
const (
	publishedAll = "published"
	publishedAt  = "published-at"
)

func (n *Network) maps() []*nftables.Set {
	at := []nftables.SetDatatype{nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService}
	set := func(name string, key ...nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{
			Table: n.table(), Name: name, IsMap: true, Concatenation: true,
			KeyType:  nftables.MustConcatSetType(key...),
			DataType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService),
		}
	}
	return []*nftables.Set{set(publishedAt, at...), set(publishedAll, at[1:]...)}
}

// addRules makes the table, which nft(8) would show as below, with GROUP for the
// bridges of this network (and SUBNET for its addresses):
//
//	table ip container-ID {
//		map published { type inet_proto . inet_service : ipv4_addr . inet_service }
//		map published-at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
//		chain guard {
//			type filter hook prerouting priority raw
//			iifgroup GROUP ip daddr 127.0.0.0/8 drop
//		}
//		chain arriving {
//			type nat hook prerouting priority dstnat
//			fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @published-at
//			fib daddr type local dnat ip to meta l4proto . th dport map @published
//		}
//		chain local {
//			type nat hook output priority dstnat
//			fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @published-at
//			fib daddr type local dnat ip to meta l4proto . th dport map @published
//		}
//		chain leaving {
//			type nat hook postrouting priority srcnat
//			ip saddr SUBNET oifgroup != GROUP masquerade
//			ip saddr SUBNET oifgroup GROUP ct status dnat masquerade
//			ip saddr 127.0.0.0/8 oifgroup GROUP masquerade
//		}
//		chain forward {
//			type filter hook forward priority filter
//			oifgroup GROUP iifgroup != GROUP ct state & (established | related) == 0 ct status & dnat == 0 drop
//		}
//	}
//
// "local" is for connections from the host itself, which pass no prerouting.
// The second rule of "leaving" is for a container that calls another by the
// host's address: the answer must come back by the host, to be translated. The
// third gives what the host sent to 127.0.0.1 a sender that can be answered.
//
// route_localnet would let a container send to servers that listen on the
// host's 127.0.0.1 only (CVE-2020-8558): "guard" forbids it, before answers get
// that address back. With ip_forward the host would let everybody in: "forward"
// lets in answers, and what goes to a published port. A rule can only forbid
// more, not allow what another table drops: where Docker has set the policy of
// FORWARD to drop, containers reach the world only if DOCKER-USER accepts it.
func (n *Network) addRules(c *nftables.Conn) {
	t := c.AddTable(n.table())
	var translate [][]expr.Any
	for _, set := range n.maps() {
		// An error would be one of elements, and there are none.
		_ = c.AddSet(set, nil)
		translate = append(translate, rule(toLocal(), toPublished(set)))
	}

	chain := func(name string, typ nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority, rules ...[]expr.Any) {
		ch := c.AddChain(&nftables.Chain{Table: t, Name: name, Type: typ, Hooknum: hook, Priority: priority})
		for _, r := range rules {
			c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: r})
		}
	}
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	toBridge, notToBridge := groupIs(expr.MetaKeyOIFGROUP, expr.CmpOpEq, n.group), groupIs(expr.MetaKeyOIFGROUP, expr.CmpOpNeq, n.group)
	drop, masquerade := []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}, []expr.Any{&expr.Masq{}}
	ours := inPrefix(sourceOffset, n.subnet)

	chain("guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw,
		rule(groupIs(expr.MetaKeyIIFGROUP, expr.CmpOpEq, n.group), inPrefix(destinationOffset, loopback), drop))
	chain("arriving", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, translate...)
	chain("local", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, translate...)
	chain("leaving", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource,
		rule(ours, notToBridge, masquerade),
		rule(ours, toBridge, conntrack(expr.CtKeySTATUS, statusDNAT, expr.CmpOpNeq), masquerade),
		rule(inPrefix(sourceOffset, loopback), toBridge, masquerade))
	chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter,
		rule(toBridge, groupIs(expr.MetaKeyIIFGROUP, expr.CmpOpNeq, n.group),
			conntrack(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED, expr.CmpOpEq),
			conntrack(expr.CtKeySTATUS, statusDNAT, expr.CmpOpEq), drop))
}

func rule(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// Each expression works on registers; register 1 has 16 bytes, which are also
// four of four bytes, 8 to 11.

// groupIs: iifgroup or oifgroup, equal or not.
func groupIs(key expr.MetaKey, op expr.CmpOp, group uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: binary.NativeEndian.AppendUint32(nil, group)},
	}
}

// Offsets in the IPv4 header (RFC 791).
const (
	sourceOffset      = 12
	destinationOffset = 16
)

// inPrefix: ip saddr or ip daddr.
func inPrefix(offset uint32, p netip.Prefix) []expr.Any {
	mask := ^uint32(0) << (32 - p.Bits())
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binary.BigEndian.AppendUint32(nil, mask), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Addr().AsSlice()},
	}
}

// toLocal: fib daddr type local, an address of this host.
func toLocal() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)},
	}
}

// toPublished: dnat ip to meta l4proto . th dport map @published, or with ip
// daddr before it. A packet whose port is not in the map ends the rule.
func toPublished(set *nftables.Set) []expr.Any {
	key := uint32(8)
	var parts []expr.Any
	if set.Name == publishedAt {
		parts = append(parts, &expr.Payload{DestRegister: key, Base: expr.PayloadBaseNetworkHeader, Offset: destinationOffset, Len: 4})
		key++
	}
	return append(parts,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: key},
		&expr.Payload{DestRegister: key + 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: 8, DestRegister: 8, IsDestRegSet: true, SetName: set.Name, SetID: set.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 8, RegProtoMin: 9})
}

// statusDNAT is IPS_DST_NAT of the kernel's nf_conntrack_common.h: the
// connection's destination was translated.
const statusDNAT = 1 << 5

// conntrack: ct state or ct status, & bits, equal to 0 or not.
func conntrack(key expr.CtKey, bits uint32, op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binary.NativeEndian.AppendUint32(nil, bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: 1, Data: make([]byte, 4)},
	}
}
