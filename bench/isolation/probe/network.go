package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Attempts to talk to the host, to listen to it, and to change its network.
var networking = []Probe{
	{
		Name:    "network-loopback",
		Plant:   func(h *Host) (string, error) { return h.listen("tcp4", "127.0.0.1:0") },
		Attempt: func(canary string) Attempt { return tell("tcp4", canary) },
		Reached: hearsWord,
	},
	{
		Name:    "network-gateway",
		Plant:   func(h *Host) (string, error) { return h.listen("tcp4", "0.0.0.0:0") },
		Attempt: tellGateway,
		Reached: hearsWord,
	},
	{
		Name:    "network-abstract",
		Plant:   func(h *Host) (string, error) { return h.listen("unix", "@bench-probe-"+h.hex()) },
		Attempt: func(canary string) Attempt { return tell("unix", canary) },
		Reached: hearsWord,
	},
	{
		Name:    "network-socket-file",
		Plant:   func(h *Host) (string, error) { return h.listen("unix", h.file("socket")) },
		Attempt: func(canary string) Attempt { return tell("unix", canary) },
		Reached: hearsWord,
	},
	{
		Name:    "network-setns",
		Plant:   plantNetwork,
		Attempt: tellIn,
		Reached: hearsWord,
	},
	{
		Name: "network-sockets",
		Plant: func(h *Host) (string, error) {
			// 24 bits of the address and 16 of the port are random.
			_, err := h.listen("tcp4", fmt.Sprintf("127.%d.%d.%d:0", rand.IntN(256), rand.IntN(256), 1+rand.IntN(254)))
			return "", err
		},
		Attempt: func(string) Attempt {
			b, err := os.ReadFile("/proc/thread-self/net/tcp")
			if err != nil {
				return refused("reading /proc/net/tcp", err)
			}
			return did("reading /proc/net/tcp", strings.Join(loopbackListeners(string(b)), " "))
		},
		Reached: func(h *Host, _ string, a Attempt) (bool, string) {
			listening := strings.TrimSpace(h.noted())
			for _, f := range strings.Fields(a.Saw) {
				if f == listening {
					return true, "it knows at which address the host listens"
				}
			}
			return false, ""
		},
	},
	{
		Name:    "network-sniff",
		Plant:   (*Host).mutter,
		Attempt: sniff,
	},
	{
		Name:    "network-spoof",
		Plant:   plantUDP,
		Attempt: spoof,
		Reached: hearsWord,
	},
	{
		Name:    "network-bind",
		Plant:   plantCaller,
		Attempt: impersonate,
	},
	{
		Name:  "network-interface",
		Plant: func(h *Host) (string, error) { _, err := h.tun(); return "", err },
		Attempt: func(string) Attempt {
			b, err := os.ReadFile("/proc/thread-self/net/dev")
			if err != nil {
				return refused("reading /proc/net/dev", err)
			}
			return did("reading /proc/net/dev", strings.Join(interfaces(string(b)), " "))
		},
		Reached: func(h *Host, _ string, a Attempt) (bool, string) {
			return found(strings.Contains(a.Saw, h.tunName()), "it has", "the host's interface")
		},
	},
	{
		Name: "network-configure",
		Plant: func(h *Host) (string, error) {
			name, err := h.tun()
			return fmt.Sprintf("%s %d", name, 600+rand.IntN(800)), err
		},
		Attempt: func(canary string) Attempt {
			name, mtu, _ := strings.Cut(canary, " ")
			n, _ := strconv.Atoi(mtu)
			if err := interfaceMTU(unix.SIOCSIFMTU, name, &n); err != nil {
				return refused("ioctl(2), SIOCSIFMTU", err)
			}
			return did("ioctl(2), SIOCSIFMTU", "")
		},
		Reached: func(_ *Host, canary string, _ Attempt) (bool, string) {
			name, want, _ := strings.Cut(canary, " ")
			var mtu int
			if err := interfaceMTU(unix.SIOCGIFMTU, name, &mtu); err != nil {
				return false, ""
			}
			return strconv.Itoa(mtu) == want, fmt.Sprintf("the MTU of the host's interface is %d", mtu)
		},
	},
	{
		Name: "network-firewall",
		Plant: func(h *Host) (string, error) {
			name := "bench_probe_" + h.hex()
			if err := nftTable(unix.NFT_MSG_GETTABLE, name); err != unix.ENOENT {
				return "", fmt.Errorf("the host's kernel has no nf_tables: looking for a table: %w", err)
			}
			h.Later(func() error {
				if err := nftTable(unix.NFT_MSG_DELTABLE, name); err != unix.ENOENT {
					return err
				}
				return nil
			})
			return name, nil
		},
		Attempt: func(name string) Attempt {
			if err := nftTable(unix.NFT_MSG_NEWTABLE, name); err != nil {
				return refused("netlink(7), NFT_MSG_NEWTABLE", err)
			}
			return did("netlink(7), NFT_MSG_NEWTABLE", "")
		},
		Reached: func(_ *Host, name string, _ Attempt) (bool, string) {
			return found(nftTable(unix.NFT_MSG_GETTABLE, name) == nil, "the host has", "the table")
		},
	},
}

// An attempt that waits for the host to do something does so in many short pieces, and not
// until a certain time: on a busy machine they take longer, and so does what the host does.
const (
	pieces = 16
	piece  = 5 * time.Millisecond
)

// rhythm is how often the host does what such attempts wait for.
const rhythm = 15 * time.Millisecond

// answerWithin is how long a connection may take. Where nobody listens that is known at once,
// but for a firewall that says nothing.
const answerWithin = time.Second

// listen opens a socket of the host's that notes what it is told. The canary is its address
// and the word to say there.
func (h *Host) listen(network, address string) (canary string, err error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return "", err
	}
	h.Later(l.Close)
	heard := h.note()
	if strings.HasPrefix(address, "127.") && !strings.HasPrefix(address, "127.0.0.1:") {
		heard(l.Addr().String())
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// One after the other, and not for long.
			c.SetDeadline(time.Now().Add(time.Second))
			b, _ := io.ReadAll(io.LimitReader(c, 64))
			heard(string(b))
			c.Close()
		}
	}()
	return l.Addr().String() + " " + h.Word(), nil
}

func tell(network, canary string) Attempt {
	address, word, _ := strings.Cut(canary, " ")
	c, err := net.DialTimeout(network, address, answerWithin)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = unix.ETIMEDOUT
	}
	if err != nil {
		return refused("connect(2) to "+address, err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, word); err != nil {
		return refused("writing to "+address, err)
	}
	return did("connect(2) to "+address, "")
}

// hearsWord judges what the host has been told. What was said last may still be on its way.
func hearsWord(h *Host, _ string, a Attempt) (bool, string) {
	if h.awaits(a, func() bool { return strings.Contains(h.noted(), h.Word()) }) {
		return true, "the host has heard the word"
	}
	return false, "the host has not heard the word"
}

// awaits waits a while for a sign of an attempt that was let pass.
func (h *Host) awaits(a Attempt, sign func() bool) bool {
	for range pieces {
		if sign() {
			return true
		}
		if !a.Did {
			return false
		}
		time.Sleep(piece)
	}
	return false
}

// tellGateway goes where the packets to the rest of the world go, which may be the host; with
// no such way, to where this program is.
func tellGateway(canary string) Attempt {
	address, word, _ := strings.Cut(canary, " ")
	_, port, _ := net.SplitHostPort(address)
	b, _ := os.ReadFile("/proc/thread-self/net/route")
	to := append(gateways(string(b)), netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	return tell("tcp4", net.JoinHostPort(to[0].String(), port)+" "+word)
}

// gateways reads the ones of the default routes in /proc/net/route (proc(5)).
func gateways(table string) (all []netip.Addr) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] != "00000000" {
			continue
		}
		if n, err := strconv.ParseUint(f[2], 16, 32); err == nil && n != 0 {
			all = append(all, netip.AddrFrom4([4]byte(binary.NativeEndian.AppendUint32(nil, uint32(n)))))
		}
	}
	return all
}

// loopbackListeners reads the addresses in /proc/net/tcp (proc(5)) at which somebody
// listens that begin with 127.
func loopbackListeners(table string) (all []string) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != "0A" { // TCP_LISTEN
			continue
		}
		addr, port, _ := strings.Cut(f[1], ":")
		a, errA := strconv.ParseUint(addr, 16, 32)
		p, errP := strconv.ParseUint(port, 16, 16)
		if at := [4]byte(binary.NativeEndian.AppendUint32(nil, uint32(a))); errA == nil && errP == nil && at[0] == 127 {
			all = append(all, netip.AddrPortFrom(netip.AddrFrom4(at), uint16(p)).String())
		}
	}
	return all
}

// interfaces reads the names in /proc/net/dev that are a probe's.
func interfaces(table string) (all []string) {
	for line := range strings.Lines(table) {
		if name, _, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && strings.HasPrefix(name, tunPrefix) {
			all = append(all, name)
		}
	}
	return all
}

// plantNetwork listens in a network namespace of its own, which a thread of the host's is in.
func plantNetwork(h *Host) (canary string, err error) {
	tid, err := h.thread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare(2) of the network: %w", err)
		}
		var err error
		canary, err = h.listen("unix", "@bench-probe-"+h.hex())
		return err
	})
	return fmt.Sprintf("%d %s", tid, canary), err
}

func tellIn(canary string) Attempt {
	tid, canary, _ := strings.Cut(canary, " ")
	if err := joinNamespace(tid, "net"); err != nil {
		return refused("setns(2) to a network namespace", err)
	}
	return tell("unix", canary)
}

// mutter has the host say the word to itself over its loopback device, again and again.
func (h *Host) mutter() (string, error) {
	c, err := net.Dial("udp4", "127.0.0.1:9") // discard: nobody has to be there
	if err != nil {
		return "", err
	}
	h.Later(c.Close)
	word := h.Word()
	go func() {
		for { // it ends when it is closed
			if _, err := io.WriteString(c, word); errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(rhythm)
		}
	}()
	return "", nil
}

// sniff listens to all packets (packet(7)).
func sniff(string) Attempt {
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in the network's order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
	if err != nil {
		return refused("socket(2), AF_PACKET", err)
	}
	defer unix.Close(fd)
	b := make([]byte, 256)
	for range pieces {
		for range 100 { // the host may have much to say
			n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
			if err != nil {
				break
			}
			if strings.Contains(string(b[:n]), "canary-") {
				return did("socket(2), AF_PACKET", printable(b[:n]))
			}
		}
		time.Sleep(piece)
	}
	return did("socket(2), AF_PACKET", "")
}

func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, string(b))
}

// forged is the sender that packets pretend to have.
var forged = netip.AddrFrom4([4]byte{127, 66, 66, 66})

// plantUDP listens for a packet from an address that nobody has.
func plantUDP(h *Host) (string, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", err
	}
	h.Later(c.Close)
	heard := h.note()
	go func() {
		b := make([]byte, 64)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil && from.Addr().Unmap() == forged {
				heard(string(b[:n]))
			}
		}
	}()
	return c.LocalAddr().String() + " " + h.Word(), nil
}

// spoof sends a packet with a header of its own making (raw(7)).
func spoof(canary string) Attempt {
	address, word, _ := strings.Cut(canary, " ")
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return Attempt{Broke: err.Error()}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return refused("socket(2), SOCK_RAW", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, udpPacket(forged, to, word), 0, &unix.SockaddrInet4{Addr: to.Addr().As4()}); err != nil {
		return refused("sendto(2) over a raw socket", err)
	}
	return did("sendto(2) over a raw socket", "")
}

// udpPacket is an IPv4 packet (RFC 791, 768). The kernel fills in the checksum of its header;
// that of UDP may be left out.
func udpPacket(from netip.Addr, to netip.AddrPort, payload string) []byte {
	length := 20 + 8 + len(payload)
	b := []byte{0x45, 0, byte(length >> 8), byte(length), 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	b = append(append(b, from.AsSlice()...), to.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, 9)
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	b = append(b, 0, 0)
	return append(b, payload...)
}

// plantCaller calls a port of the host's that only root may take, again and again, and says
// the word to whoever answers.
func plantCaller(h *Host) (string, error) {
	address := ""
	for range 20 {
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", 600+rand.IntN(400)))
		if err != nil {
			continue // it is taken
		}
		address = l.Addr().String()
		l.Close()
		break
	}
	if address == "" {
		return "", errors.New("no port between 600 and 1000 is free")
	}
	end := make(chan struct{})
	h.Later(func() error { close(end); return nil })
	word := h.Word()
	go func() {
		for {
			if c, err := net.DialTimeout("tcp4", address, answerWithin); err == nil {
				c.SetDeadline(time.Now().Add(time.Second))
				io.WriteString(c, word)
				c.Close()
			}
			select {
			case <-end:
				return
			case <-time.After(rhythm):
			}
		}
	}()
	return address, nil
}

// impersonate takes a port and hears what a caller says.
func impersonate(address string) Attempt {
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return refused("bind(2) to "+address, err)
	}
	defer l.Close()
	for range pieces {
		l.(*net.TCPListener).SetDeadline(time.Now().Add(piece))
		c, err := l.Accept()
		if err != nil {
			continue
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(answerWithin))
		b, _ := io.ReadAll(io.LimitReader(c, 64))
		return did("bind(2) to "+address, string(b))
	}
	return did("bind(2) to "+address, "")
}

const tunPrefix = "bnp"

func (h *Host) tunName() string { return tunPrefix + h.hex()[:8] }

// tun makes an interface of the host's that goes with this process.
func (h *Host) tun() (name string, err error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("making an interface: /dev/net/tun: %w", err)
	}
	h.Later(func() error { return unix.Close(fd) })
	ifr, err := unix.NewIfreq(h.tunName())
	if err != nil {
		return "", err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return "", fmt.Errorf("making an interface: TUNSETIFF: %w", err)
	}
	return h.tunName(), nil
}

// interfaceMTU gets or sets an interface's (netdevice(7)).
func interfaceMTU(request uint, name string, mtu *int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint32(uint32(*mtu))
	if err := unix.IoctlIfreq(fd, request, ifr); err != nil {
		return err
	}
	*mtu = int(ifr.Uint32())
	return nil
}

// nftTable sends one command on a table of the firewall's, of the family inet, and gives what
// the kernel answers (nfnetlink: include/uapi/linux/netfilter/nfnetlink.h). What changes
// something has to be in a batch.
func nftTable(command int, name string) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100000})
	const nfprotoInet = 1
	table := nfMessage(unix.NFNL_SUBSYS_NFTABLES<<8|uint16(command), unix.NLM_F_REQUEST|unix.NLM_F_ACK, nfprotoInet, 0, name)
	if command != unix.NFT_MSG_GETTABLE {
		begin := nfMessage(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, 0, unix.NFNL_SUBSYS_NFTABLES, "")
		end := nfMessage(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, 0, unix.NFNL_SUBSYS_NFTABLES, "")
		table = append(append(begin, table...), end...)
	}
	if err := unix.Sendto(fd, table, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	b := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil {
		return err
	}
	if n < 20 || binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR { // a table was described
		return nil
	}
	if errno := -int32(binary.NativeEndian.Uint32(b[16:])); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

// nfMessage is a netlink message with a struct nfgenmsg, and a table's name if there is one.
func nfMessage(kind, flags uint16, family byte, resource uint16, name string) []byte {
	b := make([]byte, 16, 64)
	b = append(b, family, 0)
	b = binary.BigEndian.AppendUint16(b, resource)
	if name != "" {
		b = binary.NativeEndian.AppendUint16(b, uint16(4+len(name)+1))
		b = binary.NativeEndian.AppendUint16(b, unix.NFTA_TABLE_NAME)
		b = append(append(b, name...), 0)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], flags)
	binary.NativeEndian.PutUint32(b[8:], 1)
	return b
}
