package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// dialHost connects to a port of the host over virtio-vsock (vsock(7)). The host listens
// since before this machine was made.
func dialHost(port string) (*os.File, error) {
	fail := func(call string, err error) (*os.File, error) {
		return nil, fmt.Errorf("connecting to the host, %s=%s: %s: %w (does the machine have the device, and the kernel the module vmw_vsock_virtio_transport?)", wire.VsockVariable, port, call, err)
	}
	n, err := strconv.ParseUint(port, 10, 32)
	if err != nil {
		return fail("the port", err)
	}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail("socket", err)
	}
	err = unix.Connect(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: uint32(n)}) // two seconds at most
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that a write has a deadline
	}
	if err != nil {
		unix.Close(fd)
		return fail("connect", err)
	}
	return os.NewFile(uintptr(fd), "vsock"), nil
}

// farewell waits until the host has read the last report. What is written to a port of
// virtio-serial, QEMU has passed on before it ends; but when a machine is gone, the
// host's kernel resets its connections, and what nobody has read yet is lost.
func (g *guest) farewell() {
	if g.heard == nil {
		return
	}
	g.leaving.Store(true)
	conn, err := g.control.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
	if err != nil {
		return
	}
	select {
	case <-g.heard:
	case <-time.After(hostPatience):
	}
}
