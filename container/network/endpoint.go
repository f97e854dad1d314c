package network

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An Endpoint is one port of a network, and the address that belongs to it.
type Endpoint struct {
	network  *Network
	addr     netip.Addr
	reopened bool        // another process may have published its ports
	natted   bool        // this one has
	taken    []io.Closer // the host's ports that lead there
}

// Endpoint reserves an address, and makes sure that its bridge is there.
func (n *Network) Endpoint() (*Endpoint, error) {
	if err := n.state.lock(); err != nil {
		return nil, err
	}
	defer n.state.unlock()
	a, err := n.state.take(n.subnet, n.bits)
	if err != nil {
		return nil, fmt.Errorf("network %s, %s: %w", n.id, n.subnet, err)
	}
	if err := n.bridge(a); err != nil {
		n.state.give(n.subnet, a)
		return nil, fmt.Errorf("network %s: %w", n.id, err)
	}
	return &Endpoint{network: n, addr: a}, nil
}

// At is the endpoint with this address, which this or another process has
// reserved.
func (n *Network) At(a netip.Addr) (*Endpoint, error) {
	if err := n.state.lock(); err != nil {
		return nil, err
	}
	defer n.state.unlock()
	if !n.subnet.Contains(a) || !n.state.taken(n.subnet, a) {
		return nil, fmt.Errorf("network %s: nobody has reserved the address %s", n.id, a)
	}
	return &Endpoint{network: n, addr: a, reopened: true}, nil
}

// Addr is the container's address, with the length of its bridge's subnet.
func (e *Endpoint) Addr() netip.Prefix { return netip.PrefixFrom(e.addr, e.network.bits) }

// Gateway is the bridge's address.
func (e *Endpoint) Gateway() netip.Addr { return gateway(e.network.block(e.addr)) }

// MAC is the address of the container's interface, or of a virtual machine's.
func (e *Endpoint) MAC() net.HardwareAddr { return mac(e.addr) }

// Attach makes the veth pair: one end a port of the bridge, the other eth0 in
// the network namespace of the process pid. It can do so while the process runs
// a program with [Configure] in it, which waits for that.
func (e *Endpoint) Attach(pid int) error {
	c := e.attachment(pid)
	err := e.network.socket.do(c)
	if errors.Is(err, unix.EEXIST) {
		// The address was given back by Release, and its old interface is
		// not gone yet?
		if e.removeLeftover() {
			err = e.network.socket.do(c)
		}
	}
	if err != nil {
		return fmt.Errorf("attaching %s in the network namespace of process %d: %w", e.addr, pid, err)
	}
	return nil
}

// attachment is pure.
func (e *Endpoint) attachment(pid int) *conversation {
	n := e.network
	v := veth{
		name: n.name(kindVeth, e.addr), index: index(e.addr), bridge: index(e.Gateway()), group: n.group,
		mac: e.MAC(), pid: pid,
	}
	var c conversation
	c.addVeth(v)
	if n.ipv6 {
		c.noIPv6Address(v.name, v.index)
	}
	return &c
}

// Tap makes a tap interface that is a port of the bridge: for a virtual machine,
// which gets the file (QEMU: -netdev tap,fd=N) and has [Endpoint.MAC] and
// [Endpoint.Addr]. Frames in the file begin with a struct virtio_net_hdr. The
// interface goes when the last descriptor is closed, however its holder ends.
func (e *Endpoint) Tap() (_ *os.File, err error) {
	n := e.network
	name := n.name(kindTap, e.addr)
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making the tap %s: %w", name, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err})
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_TUN_EXCL)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, fmt.Errorf("making the tap %s: TUNSETIFF: %w", name, err)
	}
	var c conversation
	c.join(name, index(e.Gateway()), n.group)
	if err := n.socket.do(&c); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// removeLeftover removes the interface that has the endpoint's name, if it is
// one of this network.
func (e *Endpoint) removeLeftover() bool {
	name := e.network.name(kindVeth, e.addr)
	l, err := netlink.LinkByName(name)
	if err != nil {
		return errors.As(err, &netlink.LinkNotFoundError{}) // it has just gone
	}
	return l.Attrs().Group == e.network.group && e.network.remove(name) == nil
}

// Close removes the port, the rules about it, and the reservation of its
// address. The kernel waits for whoever may use the interface still, some 30 ms.
func (e *Endpoint) Close() error {
	if err := e.network.remove(e.network.name(kindVeth, e.addr)); err != nil {
		return err
	}
	if e.reopened {
		if err := e.network.remove(e.network.name(kindTap, e.addr)); err != nil {
			return err
		}
	}
	return e.Release()
}

// Release is Close for a container all of whose processes have ended, or a tap
// whose file is closed: the kernel then removes the interface by itself, in the
// background, and nobody waits for it. The address rests until about a thousand
// others have been given.
func (e *Endpoint) Release() error {
	n := e.network
	if e.reopened || e.natted {
		if err := e.unpublish(); err != nil {
			return err
		}
		for _, t := range e.taken {
			t.Close()
		}
		e.taken = nil
	}
	if err := n.state.lock(); err != nil {
		return err
	}
	defer n.state.unlock()
	n.state.give(n.subnet, e.addr)
	return nil
}
