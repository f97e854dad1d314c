package platform

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Loopback is an instance that only its own network reaches.
type Loopback interface {
	// Dial connects to the workload from within its network namespace.
	Dial(ctx context.Context) (net.Conn, error)
}

// Dial enters the namespace of the container's first process.
func (i *otherInstance) Dial(ctx context.Context) (net.Conn, error) {
	if i.p.w.Port == 0 {
		return nil, ErrNoNetwork
	}
	pids, err := i.Processes()
	if err != nil {
		return nil, err
	}
	if len(pids) < 2 { // the runtime alone
		return nil, errors.New("the container has no process")
	}
	return dialWithin(ctx, pids[0], netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), i.p.w.Port))
}

// dialWithin connects from within the network namespace of a process: a socket belongs to
// the namespace in which it was made (network_namespaces(7)), wherever it is used.
func dialWithin(ctx context.Context, pid int, address netip.AddrPort) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// It is never unlocked: a thread that is in another namespace is of no use to the
		// rest of bench, and ends with its goroutine.
		runtime.LockOSThread()
		var ns *os.File
		if ns, err = os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net"); err != nil {
			return
		}
		defer ns.Close()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("entering the network namespace of process %d: %w", pid, err)
			return
		}
		// Of an address there is but one way to connect, and net tries it in this goroutine.
		var d net.Dialer
		conn, err = d.DialContext(ctx, "tcp4", address.String())
	}()
	<-done
	return conn, err
}
