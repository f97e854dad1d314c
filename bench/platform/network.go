package platform

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"vmctr/container/network"
	"vmctr/vm"
)

// openNetwork opens the run's network, and makes it for the first platform that asks.
func openNetwork(ctx context.Context, w Workload) (*network.Network, error) {
	n, err := network.Open(ctx, w.NetworkID, w.NetworkDir, netip.Prefix{})
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = &UnavailableError{Reason: fmt.Sprintf("the host's kernel makes no bridge: %v", err), Fix: "load its modules: modprobe -a bridge veth"}
	}
	return n, err
}

// at is the workload's port at an address.
func (w Workload) at(a netip.Addr) netip.AddrPort {
	if w.Port == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, w.Port)
}

// reachable is an address, if it is one.
func reachable(a netip.AddrPort) (netip.AddrPort, error) {
	if !a.IsValid() {
		return a, ErrNoNetwork
	}
	return a, nil
}

// A plug is what a platform's machines have their network cards plugged into: the
// bridge that containers are on, a network that QEMU plays, for a user who may make no
// interfaces, or nothing, if the workload does not serve.
type plug struct {
	w      Workload
	bridge *network.Network // nil for one of the others
	vhost  bool
}

func newPlug(ctx context.Context, w Workload, a vm.Accelerator) (p plug, err error) {
	p.w = w
	if w.Port == 0 || os.Geteuid() != 0 {
		return p, nil
	}
	p.vhost = UsesVhost(a)
	p.bridge, err = openNetwork(ctx, w)
	return p, err
}

func (p plug) String() string {
	switch {
	case p.w.Port == 0:
		return "none: the workload does not serve"
	case p.bridge == nil:
		return "virtio-net, on a network that QEMU plays (user mode): making a tap needs root"
	case p.vhost:
		return "virtio-net over vhost-net and a tap into a bridge, an address of " + p.bridge.Subnet().String()
	}
	return "virtio-net over a tap into a bridge, an address of " + p.bridge.Subnet().String()
}

func (p plug) close() error {
	if p.bridge == nil {
		return nil
	}
	return p.bridge.Leave()
}

// A cable is one machine's connection.
type cable struct {
	port     uint16            // on which the machine serves
	card     *vm.Network       // for vm.Config
	endpoint *network.Endpoint // with a bridge
}

func (p plug) cable() (*cable, error) {
	c := &cable{port: p.w.Port}
	switch {
	case p.w.Port == 0:
	case p.bridge == nil:
		// A port of the host that the kernel chooses.
		c.card = vm.UserNetwork(vm.Forward{Protocol: "tcp", Host: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), Guest: p.w.Port})
	default:
		var err error
		if c.endpoint, err = p.bridge.Endpoint(); err != nil {
			return nil, err
		}
		if c.card, err = Card(c.endpoint); err != nil {
			return nil, errors.Join(err, c.endpoint.Release())
		}
		c.card.Vhost = p.vhost
	}
	return c, nil
}

// Card is a machine's network card, over a tap that is the endpoint's port of its bridge.
// Who starts the machine closes the tap's file then, whether it has started or not.
func Card(e *network.Endpoint) (*vm.Network, error) {
	tap, err := e.Tap()
	if err != nil {
		return nil, err
	}
	return &vm.Network{MAC: e.MAC(), Address: e.Addr(), Gateway: e.Gateway(), Tap: tap}, nil
}

// UsesVhost tells whether machines on taps leave the packets to the host's kernel. Beside
// an emulator it would be of no use.
func UsesVhost(a vm.Accelerator) bool { return a == vm.KVM && vm.HasVhost() }

// started closes our end of the tap: QEMU has its own, and the interface goes with it.
func (c *cable) started() {
	if c.endpoint != nil {
		c.card.Tap.Close()
	}
}

// address is where the host reaches the machine.
func (c *cable) address(ctx context.Context, m *vm.Machine) (netip.AddrPort, error) {
	switch {
	case c.card == nil:
		return netip.AddrPort{}, ErrNoNetwork
	case c.endpoint == nil:
		return m.Forwarded(ctx, "tcp", c.port)
	}
	return netip.AddrPortFrom(c.endpoint.Addr().Addr(), c.port), nil
}

// release gives the address back, once the machine has ended.
func (c *cable) release() error {
	if c.endpoint == nil {
		return nil
	}
	return c.endpoint.Release()
}
