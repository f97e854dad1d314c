package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"vmctr/container/network"
	"vmctr/vm/guest/wire"
)

// network sets the host name, and brings up the loopback device, which the kernel
// makes and leaves down, and the network card, if the host says that there is one.
func (g *guest) network() error {
	if name := g.spec.Hostname; name != "" && !g.contained() {
		if err := unix.Sethostname([]byte(name)); err != nil {
			return fmt.Errorf("setting the host name %q: %w", name, err)
		}
		g.spec.Hostname = "" // for package container it takes a UTS namespace
	}
	if err := (network.Interface{Name: "lo"}).Set(); err != nil {
		return fmt.Errorf("bringing up the loopback device: %w", err)
	}
	if setting := os.Getenv(wire.NetworkVariable); setting != "" {
		return setNetwork(setting)
	}
	return nil
}

// setNetwork gives the network card what wire.NetworkVariable says, in the place of
// what it had: when the machine boots, and when it goes on as a copy of another one,
// whose addresses it must not keep.
func setNetwork(setting string) error {
	card, err := parseNetwork(setting)
	if err == nil {
		err = card.Set()
	}
	if err != nil {
		return fmt.Errorf("setting up the network, %s=%s: %w", wire.NetworkVariable, setting, err)
	}
	return nil
}

func parseNetwork(setting string) (card network.Interface, err error) {
	words := strings.Split(setting, ",")
	if len(words) != 3 {
		return card, fmt.Errorf("%d words, where a MAC address, an address and a gateway are expected", len(words))
	}
	// The kernel's name of the first card: nobody here renames it, as udev does.
	card.Name = "eth0"
	if card.MAC, err = net.ParseMAC(words[0]); err != nil {
		return card, err
	}
	if card.Address, err = netip.ParsePrefix(words[1]); err != nil {
		return card, err
	}
	card.Gateway, err = netip.ParseAddr(words[2])
	return card, err
}
