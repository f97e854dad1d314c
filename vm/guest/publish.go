package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"

	"vmctr/vm/guest/wire"
)

// publish has a port of the machine lead to the same port of the container, until the
// listener is closed: the host knows the way to the machine, and not to the network
// that is inside of it. Docker Desktop's way is this one too: a program in its machine
// takes each connection and makes another. To have the kernel do it instead, by NAT
// (package container/network), a guest would have to load nine more modules.
func publish(l *net.TCPListener, to netip.AddrPort) {
	for {
		outer, err := l.AcceptTCP()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				fmt.Fprintln(os.Stderr, "guest: no connection comes to the container any more:", err)
			}
			return
		}
		go func() {
			defer outer.Close()
			// What does not answer the kernel gives up by itself (tcp_syn_retries).
			inner, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(to))
			if err != nil {
				outer.SetLinger(0) // as if nobody had listened: a reset
				return
			}
			defer inner.Close()
			relay(outer, inner)
		}()
	}
}

// relay copies both ways until both have ended.
func relay(a, b *net.TCPConn) {
	done := make(chan struct{})
	go func() {
		io.Copy(a, b)
		a.CloseWrite()
		close(done)
	}()
	io.Copy(b, a)
	b.CloseWrite()
	<-done
}

// published is the port that is to be, 0 for none.
func (g *guest) published() (uint16, error) {
	text, any := g.spec.Annotations[wire.Publish]
	if !any {
		return 0, nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("the configuration: annotations: %s: %q is no port", wire.Publish, text)
	}
	return uint16(port), nil
}

// listen opens the machine's port, if one is published.
func (g *guest) listen() error {
	port, err := g.published()
	if err != nil || port == 0 {
		return err
	}
	if g.engine.listener, err = net.ListenTCP("tcp4", &net.TCPAddr{Port: int(port)}); err != nil {
		return fmt.Errorf("publishing the container's port %d: %w", port, err)
	}
	return nil
}
