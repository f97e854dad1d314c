package network

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// packet is a frame that a container sends to its bridge, with an IP packet to
// another address in it: the letter x for UDP port 5000.
func packet(from *Endpoint, to netip.Addr) []byte {
	frame := slices.Concat(mac(from.Gateway()), from.MAC(), []byte{8, 0})
	ip := slices.Concat([]byte{0x45, 0, 0, 29, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}, from.addr.AsSlice(), to.AsSlice())
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	return slices.Concat(frame, ip, []byte{0x10, 0, 5000 >> 8, 5000 & 0xff, 0, 9, 0, 0, 'x'})
}

// send sends a frame from the container's eth0 (packet(7)).
func (h *holder) send(frame []byte) error {
	return h.ns().within(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: insideIndex})
	})
}

// TestFirstPacket: what a program sends at once arrives.
func TestFirstPacket(t *testing.T) {
	needRoot(t)
	n := open(t, "first", "")
	l, err := net.ListenPacket("udp4", ":5000")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 50 {
		h, err := run(t.Context(), endpoint(t, n), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.send(packet(h.Endpoint, h.Gateway())); err != nil {
			t.Fatal(err)
		}
		l.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		if _, _, err := l.ReadFrom(make([]byte, 10)); err != nil {
			t.Errorf("container %d: %v", i, err)
		}
		h.kill()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestReach: containers reach each other, the host and the host them.
func TestReach(t *testing.T) {
	needRoot(t)
	n := open(t, "reach", "")
	if n.Subnet() != netip.MustParsePrefix("10.222.0.0/16") {
		t.Errorf("the subnet is %s", n.Subnet())
	}
	one, two := start(t, n), start(t, n)
	if _, err := host.dial(two.addr.String() + ":1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a port on which nobody listens: %v", err)
	}
	serve(t, host, ":80")
	serve(t, one.ns(), ":80")
	serve(t, two.ns(), ":80")
	serve(t, two.ns(), "127.0.0.1:81")
	one.ns().check(t, two.addr.String()+":80", one.addr.String())
	two.ns().check(t, one.addr.String()+":80", two.addr.String())
	two.ns().check(t, "127.0.0.1:81", "127.0.0.1")
	two.ns().check(t, one.Gateway().String()+":80", two.addr.String())
	host.check(t, one.addr.String()+":80", one.Gateway().String())
}
