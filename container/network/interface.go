package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// An Interface is one of this network namespace, and what it is to have. It is for the
// guest of a virtual machine: a container's first process runs calls that its parent
// has prepared ([Configure]); a guest has nobody outside who could, and sets up its
// interfaces by itself.
type Interface struct {
	Name    string           // "eth0"
	MAC     net.HardwareAddr // nil for the one that it has
	Address netip.Prefix     // an IPv4 address with the length of its subnet; the zero Prefix for none
	Gateway netip.Addr       // where all else is sent; the zero Addr for nowhere
}

// Set gives the interface all of that, in the place of what it had, and brings it up.
// With an address it waits, up to ten seconds, until the interface is connected: the
// kernel drops what is sent before.
func (i Interface) Set() error {
	s, err := dial()
	if err != nil {
		return err
	}
	defer s.close()
	index, _, err := s.find(i.Name)
	if err != nil {
		return fmt.Errorf("finding the interface %s: %w", i.Name, err)
	}
	if !i.Address.IsValid() {
		return s.do(i.request(index))
	}
	old := &conversation{}
	old.removeAddress(i.Name, index)
	if err := s.do(old); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) { // it had none
		return err
	}
	if err := s.do(i.request(index)); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if carrier, err := s.carrier(i.Name); carrier || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is up, and has had no carrier for %v", i.Name, patience)
		}
	}
}

func (i Interface) request(index int32) *conversation {
	c := &conversation{}
	if i.MAC != nil {
		c.setMAC(i.Name, index, i.MAC)
	}
	if i.Address.IsValid() {
		if hasIPv6() {
			c.noIPv6Address(i.Name, index)
		}
		c.addAddress(i.Name, index, i.Address)
	}
	c.up(i.Name, index)
	if i.Gateway.IsValid() {
		c.addDefaultRoute(i.Gateway)
	}
	return c
}
