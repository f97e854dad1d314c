package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// A Device is an interface of the host that is lent to a container
// (config-linux.md, "Network Devices"). It belongs to the container's network
// namespace then, and when that goes, the kernel brings a physical interface
// back and removes a virtual one (network_namespaces(7)).
type Device struct {
	name, inside string // its name here, and in the namespace
	up           bool   // as it was here
	addresses    []addressOf
	from, to     *end
}

// end is one of the two namespaces: a socket in it, and a file that names it.
type end struct {
	socket *socket
	ns     *os.File
}

// addressOf is an address of an interface: struct ifaddrmsg and its attributes.
type addressOf struct {
	header     unix.IfAddrmsg
	attributes [][]byte
}

// A Borrower is the place in a container's program where it gets interfaces of
// the host.
type Borrower struct {
	program *step.Program
	gate    *step.Gate
	socket  step.Result
}

// Borrow appends that place. A socket belongs to the namespace in which it was
// made: so the child makes the one by which its interfaces are set up.
func Borrow(p *step.Program) *Borrower {
	fd := p.Call("socket", unix.SYS_SOCKET, step.Flag(unix.AF_NETLINK, "AF_NETLINK"), step.Flag(unix.SOCK_RAW|unix.SOCK_CLOEXEC, "SOCK_RAW|SOCK_CLOEXEC"), step.Flag(unix.NETLINK_ROUTE, "NETLINK_ROUTE"))
	b := &Borrower{p, p.Gate(patience), fd}
	p.Call("close", unix.SYS_CLOSE, fd.Arg())
	return b
}

// Await waits until the child has come there.
func (b *Borrower) Await(ctx context.Context) error { return b.gate.Await(ctx) }

// Open lets the child go on.
func (b *Borrower) Open() { b.gate.Open() }

// take gives the child's socket.
func (b *Borrower) take(pid int) (*socket, error) {
	fd, err := b.program.Take(pid, b.socket)
	if err != nil {
		return nil, err
	}
	return &socket{fd: fd}, nil
}

// Move moves an interface of this network namespace to that of the child, process
// pid, where it gets the name inside; in it "%d" stands for the first number that
// is free. It keeps those of its addresses that are permanent and global, which
// the kernel takes away on such a move, and comes up. Release forgets the
// Device, Return undoes the move.
func (b *Borrower) Move(name, inside string, pid int) (_ *Device, err error) {
	d := &Device{name: name, inside: inside}
	defer func() {
		if err != nil {
			d.Release()
		}
	}()
	here, err := dial()
	if err != nil {
		return nil, err
	}
	if d.from, err = endOf("/proc/thread-self/ns/net", here); err != nil {
		return nil, err
	}
	there, err := b.take(pid)
	if err != nil {
		return nil, err
	}
	if d.to, err = endOf(fmt.Sprintf("/proc/%d/ns/net", pid), there); err != nil {
		return nil, err
	}
	index, flags, err := d.from.socket.find(name)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", name, err)
	}
	d.up = flags&unix.IFF_UP != 0
	if d.addresses, err = permanentAddresses(index); err != nil {
		return nil, err
	}
	if prefix, suffix, template := strings.Cut(inside, "%d"); template {
		for n := 0; ; n++ {
			d.inside = prefix + strconv.Itoa(n) + suffix
			if _, _, err := d.to.socket.find(d.inside); errors.Is(err, unix.ENODEV) {
				break
			} else if err != nil {
				return nil, err
			}
		}
	} else if _, _, err := d.to.socket.find(inside); err == nil {
		// The kernel would say so only when it has moved it.
		return nil, fmt.Errorf("the container's network namespace has a %s: %w", inside, unix.EEXIST)
	}
	if err = d.move(name, d.inside, d.from, d.to, true); err != nil {
		if back := d.move(d.inside, name, d.to, d.from, d.up); !errors.Is(back, unix.ENODEV) {
			err = errors.Join(err, back)
		}
	}
	return d, err
}

// Return brings the interface back, with its name and addresses.
func (d *Device) Return() error {
	err := d.move(d.inside, d.name, d.to, d.from, d.up)
	d.Release()
	return err
}

// Release closes what is needed to bring it back.
func (d *Device) Release() {
	for _, e := range []*end{d.from, d.to} {
		if e != nil {
			e.socket.close()
			e.ns.Close()
		}
	}
	d.from, d.to = nil, nil
}

func (d *Device) move(old, name string, from, to *end, up bool) error {
	index, _, err := from.socket.find(old)
	if err != nil {
		return fmt.Errorf("finding %s: %w", old, err)
	}
	c := &conversation{}
	c.add("moving "+old, unix.RTM_SETLINK, 0, link(index, 0), number(unix.IFLA_NET_NS_FD, uint32(to.ns.Fd())), text(unix.IFLA_IFNAME, name))
	if err := from.socket.do(c); err != nil {
		return err
	}
	if index, _, err = to.socket.find(name); err != nil {
		return fmt.Errorf("finding %s after its move: %w", name, err)
	}
	c = &conversation{}
	for _, a := range d.addresses {
		h := []byte{a.header.Family, a.header.Prefixlen, a.header.Flags, a.header.Scope}
		c.add("giving "+name+" its address", unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, binary.NativeEndian.AppendUint32(h, uint32(index)), a.attributes...)
	}
	if up {
		c.up(name, index)
	}
	return to.socket.do(c)
}

// endOf opens the file of a namespace.
func endOf(path string, s *socket) (*end, error) {
	ns, err := os.Open(path)
	if err != nil {
		s.close()
		return nil, err
	}
	return &end{s, ns}, nil
}

// find gives number and flags of an interface of the socket's namespace (netdevice(7)).
func (s *socket) find(name string) (index int32, flags uint16, err error) {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return 0, 0, fmt.Errorf("%q is no name of an interface", name)
	}
	if err := unix.IoctlIfreq(s.fd, unix.SIOCGIFINDEX, r); err != nil {
		return 0, 0, err
	}
	index = int32(r.Uint32())
	if err := unix.IoctlIfreq(s.fd, unix.SIOCGIFFLAGS, r); err != nil {
		return 0, 0, err
	}
	return index, r.Uint16(), nil
}

// permanentAddresses are the permanent and global addresses of an interface of
// this namespace, of any family.
func permanentAddresses(index int32) ([]addressOf, error) {
	rib, err := syscall.NetlinkRIB(unix.RTM_GETADDR, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("asking for addresses: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return nil, err
	}
	var list []addressOf
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
			continue
		}
		a := addressOf{header: unix.IfAddrmsg{Family: m.Data[0], Prefixlen: m.Data[1], Flags: m.Data[2], Scope: m.Data[3], Index: binary.NativeEndian.Uint32(m.Data[4:])}}
		if int32(a.header.Index) != index || a.header.Flags&unix.IFA_F_PERMANENT == 0 || a.header.Scope != unix.RT_SCOPE_UNIVERSE {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return nil, err
		}
		for _, at := range attributes {
			// Lifetimes are for ever; a label is made of the interface's name.
			if at.Attr.Type != unix.IFA_CACHEINFO && at.Attr.Type != unix.IFA_LABEL {
				a.attributes = append(a.attributes, attribute(at.Attr.Type, at.Value))
			}
		}
		list = append(list, a)
	}
	return list, nil
}
