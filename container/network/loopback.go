package network

import (
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// ifreq is struct ifreq of netdevice(7), with the flags of its union.
type ifreq struct {
	name  [unix.IFNAMSIZ]byte
	flags uint16
	_     [22]byte
}

// Loopback appends the calls that bring lo up, for a container without another
// interface; the kernel then gives it 127.0.0.1 and ::1 by itself.
func Loopback(p *step.Program) {
	fd := p.Call("socket", unix.SYS_SOCKET, step.Flag(unix.AF_INET, "AF_INET"), step.Flag(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, "SOCK_DGRAM|SOCK_CLOEXEC"), step.Int(0))
	req := ifreq{flags: unix.IFF_UP}
	copy(req.name[:], "lo")
	p.Call("ioctl", unix.SYS_IOCTL, fd.Arg(), step.Flag(unix.SIOCSIFFLAGS, "SIOCSIFFLAGS"), step.Struct(p, req, `{"lo", IFF_UP}`))
	p.Call("close", unix.SYS_CLOSE, fd.Arg())
}
