package interference

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"vmctr/bench/isolation/errno"
)

// Discard is the port that datagrams go to (RFC 863), at which nobody listens.
const Discard = 9

// flood sends datagrams, from as many threads as there are processors.
func flood(ctx context.Context, o Order) (r Report, err error) {
	target, err := netip.ParseAddrPort(o.Target)
	if o.Target == "" {
		target, err = netip.AddrPortFrom(gateway(), Discard), nil
	}
	if err != nil {
		return r, err
	}
	parts, errs := make([]Report, runtime.NumCPU()), make([]error, runtime.NumCPU())
	var all sync.WaitGroup
	for i := range parts {
		all.Go(func() { parts[i], errs[i] = floodThread(ctx, target) })
	}
	all.Wait()
	for i, p := range parts {
		r.Did, r.Refused = r.Did+p.Did, r.Refused+p.Refused
		if p.Errno != "" {
			r.Errno = p.Errno
		}
		if errs[i] != nil {
			err = errs[i]
		}
	}
	return r, err
}

func floodThread(ctx context.Context, target netip.AddrPort) (r Report, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return r, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()}
	datagram := make([]byte, 1400)
	for ctx.Err() == nil {
		// Not to wait for a full queue is what makes it a flood.
		switch err := unix.Sendto(fd, datagram, unix.MSG_DONTWAIT, to); err {
		case nil:
			r.Did += int64(len(datagram))
		default:
			r.Refused, r.Errno = r.Refused+1, errno.Name(err)
			if err == unix.ENETUNREACH || err == unix.EPERM {
				return r, os.NewSyscallError("sendto", err)
			}
		}
	}
	return r, nil
}

// gateway is that of the default route (proc_net(5), route), or of loopback without one.
func gateway() netip.Addr {
	b, _ := os.ReadFile("/proc/net/route")
	for in := bufio.NewScanner(bytes.NewReader(b)); in.Scan(); {
		f := bytes.Fields(in.Bytes())
		if len(f) > 2 && string(f[1]) == "00000000" {
			if a, err := hex.DecodeString(string(f[2])); err == nil && len(a) == 4 {
				var big [4]byte
				binary.BigEndian.PutUint32(big[:], binary.LittleEndian.Uint32(a)) // the kernel prints it in its own byte order
				return netip.AddrFrom4(big)
			}
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}
