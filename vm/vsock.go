package vm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// virtio-vsock (virtio 1.2, section 5.10; vsock(7)) joins the sockets of a machine with
// those of its host. Where virtio-serial has a device file for each port, here a program
// connects, to an address of two numbers: the host's CID, which is 2 for every machine,
// and a port. The machine has a CID too, which no other on the host has. Half of the
// device is in the host's kernel (vhost-vsock), so that a message takes no detour over
// QEMU.

// VsockModule is its driver in the guest.
const VsockModule = "vmw_vsock_virtio_transport"

const (
	vsockDevice = "/dev/vhost-vsock"
	// setGuestCID is VHOST_VSOCK_SET_GUEST_CID of linux/vhost.h.
	setGuestCID = 0x4008af60
	// cidTries is how many CIDs are tried, of four thousand million: a second try is
	// for one that is taken.
	cidTries = 16
)

// CheckVsock tells whether this host has virtio-vsock for its machines; nil, or why not
// and what would fix it.
func CheckVsock() error {
	v, err := openVsock()
	if err != nil {
		return err
	}
	return errors.Join(v.device.Close(), v.Close())
}

// A vsock is a channel to a machine over virtio-vsock.
type vsock struct {
	device *os.File // QEMU's, which has the CID for as long as it is open
	vsockAddress
	*incoming
}

// vsockAddress is what a machine and its host know of each other.
type vsockAddress struct {
	cid  uint32 // the machine's
	port uint32 // of the host, for this machine alone
}

// openVsock takes a CID and listens on a port: the kernel sees to it that nobody else
// has either.
func openVsock() (_ *vsock, err error) {
	v := &vsock{}
	if v.device, err = os.OpenFile(vsockDevice, os.O_RDWR, 0); err != nil {
		return nil, fmt.Errorf("this host has no virtio-vsock for machines: %w (as root: modprobe vhost_vsock)", err)
	}
	defer func() {
		if err != nil {
			v.device.Close()
		}
	}()
	if v.cid, err = takeCID(func(cid uint64) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, v.device.Fd(), setGuestCID, uintptr(unsafe.Pointer(&cid)))
		if errno != 0 {
			return errno
		}
		return nil
	}); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket(AF_VSOCK)", err)
	}
	v.incoming = &incoming{listener: os.NewFile(uintptr(fd), "vsock"), isRight: v.isMachine}
	defer func() {
		if err != nil {
			v.Close()
		}
	}()
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: unix.VMADDR_PORT_ANY}); err != nil {
		return nil, os.NewSyscallError("bind(AF_VSOCK)", err)
	}
	const queue = 16 // who is turned away waits there too
	if err := unix.Listen(fd, queue); err != nil {
		return nil, os.NewSyscallError("listen(AF_VSOCK)", err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname(AF_VSOCK)", err)
	}
	v.port = address.(*unix.SockaddrVM).Port
	return v, nil
}

// takeCID looks for a CID that take accepts.
func takeCID(take func(uint64) error) (cid uint32, err error) {
	for range cidTries {
		// 0 to 2 are the hypervisor's, the host's own and the host's; the last is none.
		cid = 3 + rand.Uint32N(unix.VMADDR_CID_ANY-3)
		if err = take(uint64(cid)); !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("taking a CID for a machine, %d: %w", cid, err)
	}
	return cid, nil
}

// isMachine tells whether a caller is the machine: any other, and any program of the
// host, could call too.
func (v vsockAddress) isMachine(caller unix.Sockaddr) bool {
	a, ok := caller.(*unix.SockaddrVM)
	return ok && a.CID == v.cid
}

// qemu is the device as QEMU has it, given the number of its descriptor.
func (v vsockAddress) qemu(fd string) string {
	return "vhost-vsock-pci,guest-cid=" + strconv.FormatUint(uint64(v.cid), 10) + ",vhostfd=" + fd
}
