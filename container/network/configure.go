package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// Configuration is the container's part of its network, in its program.
type Configuration struct {
	endpoint *Endpoint
	sent     *conversation
	reply    []byte
	failed   int // the number of the call that finds an error in reply

	attached *step.Gate       // the child waits for Attach
	done     *step.Checkpoint // it is configured
	settled  *step.Gate       // it waits until its port forwards; nil if it does not

	// Observe is told what Connect has done, by which system call, and when that
	// began (CLOCK_MONOTONIC).
	Observe func(what, call string, begin int64)
}

// Configure appends the calls that give the container its address, its default
// route and its interfaces, up. The parent meanwhile calls
// [Configuration.Connect]. It is pure.
//
// The child cannot look into what it receives. It need not: the kernel carries
// out what is sent to it on a netlink socket within the system call that sends
// it, and answers only requests that failed. So after the sendto either an error
// message waits in the socket, or nothing does, and the recvfrom that must fail
// with EAGAIN tells which.
func Configure(p *step.Program, e *Endpoint) *Configuration {
	n := e.network
	c := &conversation{}
	c.up("lo", 1) // LOOPBACK_IFINDEX
	if n.ipv6 {
		c.noIPv6Address(inside, insideIndex)
	}
	c.addAddress(inside, insideIndex, e.Addr())
	c.up(inside, insideIndex)
	c.addDefaultRoute(e.Gateway())

	cfg := &Configuration{endpoint: e, sent: c, reply: make([]byte, 256)}
	fd := p.Call("socket", unix.SYS_SOCKET, step.Flag(unix.AF_NETLINK, "AF_NETLINK"), step.Flag(unix.SOCK_RAW|unix.SOCK_CLOEXEC, "SOCK_RAW|SOCK_CLOEXEC"), step.Flag(unix.NETLINK_ROUTE, "NETLINK_ROUTE"))
	cfg.attached = p.Gate(patience)
	p.Call("sendto", unix.SYS_SENDTO, fd.Arg(), p.Bytes(c.bytes, fmt.Sprintf("[lo up, %s %s up, default via %s]", inside, e.Addr(), e.Gateway())), step.Int(len(c.bytes)), step.Int(0), step.Null(), step.Int(0))
	p.Call("recvfrom", unix.SYS_RECVFROM, fd.Arg(), p.Bytes(cfg.reply, "&reply"), step.Int(len(cfg.reply)), step.Flag(unix.MSG_DONTWAIT, "MSG_DONTWAIT"), step.Null(), step.Null())
	p.Allow(unix.EAGAIN)
	p.MustBeZero()
	cfg.failed = p.Len()
	p.Call("close", unix.SYS_CLOSE, fd.Arg())
	cfg.done = p.Checkpoint()
	return cfg
}

const patience = 10 * time.Second

// Settle appends calls that wait until the container's port forwards, for a
// place soon before its execve: without it, what the program sends in its first
// half millisecond may be lost, and TCP tries again only after a second.
//
// With both ends of a veth up there is a carrier, but the kernel tells the
// bridge so in the background (net/core/link_watch.c).
func (c *Configuration) Settle(p *step.Program) { c.settled = p.Gate(patience) }

// Connect is the parent's part, for step.Options.Ready: it attaches the
// endpoint to the network namespace of the process pid, and lets the program in
// it go on.
func (c *Configuration) Connect(ctx context.Context, pid int) error {
	begin := c.now()
	if err := c.endpoint.Attach(pid); err != nil {
		return unlessEnded(pid, err)
	}
	if e := c.endpoint; c.Observe != nil {
		c.Observe("a cable from the container to the bridge", fmt.Sprintf("sendto(netlink, [veth pair: %s, up, a port of the bridge; %s in the network namespace of %d])", e.network.name(kindVeth, e.addr), inside, pid), begin)
	}
	c.attached.Open()
	if c.settled == nil {
		return nil
	}
	if err := c.done.Await(ctx); err != nil {
		return err
	}
	begin = c.now()
	if err := c.endpoint.settle(); err != nil {
		return unlessEnded(pid, err)
	}
	if c.Observe != nil {
		c.Observe("make the bridge see at once that its port is connected", fmt.Sprintf("ioctl(netlink, SIOCETHTOOL, {%q, ETHTOOL_GLINK})", c.endpoint.network.name(kindVeth, c.endpoint.addr)), begin)
	}
	c.settled.Open()
	return nil
}

// now is the time, where it is asked for.
func (c *Configuration) now() int64 {
	if c.Observe == nil {
		return 0
	}
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// unlessEnded drops an error that comes from the end of the child: why that has
// ended is the reason then, and Clone tells it, once it has seen no other.
func unlessEnded(pid int, err error) error {
	if errors.Is(err, unix.ESRCH) { // it is about to be a zombie
		return nil
	}
	var info unix.Siginfo
	if e := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); e == nil && info.Signo != 0 {
		return nil
	}
	return err
}

func (e *Endpoint) settle() error {
	name := e.network.name(kindVeth, e.addr)
	carrier, err := e.network.socket.carrier(name)
	if err == nil && !carrier {
		err = fmt.Errorf("%s has no carrier, though the container's end is up", name)
	}
	return err
}

// carrier tells whether an interface is connected, and makes the kernel handle a
// change of that now. Who asks for the state of a link with ETHTOOL_GLINK is not told
// an old one (ethtool_op_get_link): what waits in the background is done first.
func (s *socket) carrier(name string) (bool, error) {
	value := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_GLINK}
	req := struct { // struct ifreq
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(req.name[:], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return false, fmt.Errorf("asking for the state of %s: ETHTOOL_GLINK: %w", name, errno)
	}
	return value.data != 0, nil
}

// Explain gives the kernel's error in the place of that of the call that found
// it, and every other error as it is. It is to be called once the program has
// ended.
func (c *Configuration) Explain(err error) error {
	var e *step.Error
	if !errors.As(err, &e) || e.Index != c.failed || e.Errno != unix.EIO {
		return err
	}
	if binary.NativeEndian.Uint16(c.reply[4:]) != unix.NLMSG_ERROR { // a test made it fail
		return err
	}
	return fmt.Errorf("%s: %w", e.Phase, c.sent.failure(c.reply))
}
