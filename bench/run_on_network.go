package main

import (
	"context"
	"net/netip"

	"vmctr/bench/platform"
	"vmctr/vm"
)

// machineFolder is the folder of a run's machine.
const machineFolder = "machine"

// connectMachine gives the machine its network: for root a port of a bridge, as a
// container has; for others, who may make no interfaces, a network that QEMU plays.
// Both have a way to the world, and published ports.
func (b *box) connectMachine(ctx context.Context) error {
	switch {
	case b.Network != "bridge":
		return nil
	case !isRoot():
		var forward []vm.Forward
		for _, p := range b.ports {
			forward = append(forward, vm.Forward{Protocol: p.Protocol, Host: netip.AddrPortFrom(p.Address, p.Host), Guest: p.Container})
		}
		b.card = vm.UserNetwork(forward...)
		return nil
	}
	if err := b.connectBridge(ctx); err != nil {
		return err
	}
	b.undo = append(b.undo, b.cfg.Endpoint.Release)
	var err error
	if b.card, err = platform.Card(b.cfg.Endpoint); err != nil {
		return err
	}
	b.undo = append(b.undo, b.card.Tap.Close)
	return nil
}

// address is the container's or the machine's, invalid without a network of its own.
func (b *box) address() netip.Addr {
	switch {
	case b.cfg.Endpoint != nil:
		return b.cfg.Endpoint.Addr().Addr()
	case b.card != nil:
		return b.card.Address.Addr()
	}
	return netip.Addr{}
}
