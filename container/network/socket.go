package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a netlink(7) socket to the kernel's routing tables.
type socket struct {
	mu sync.Mutex
	fd int
}

func dial() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket(AF_NETLINK, NETLINK_ROUTE)", err)
	}
	// Errors then come with a sentence (NETLINK_EXT_ACK, Linux 4.12) and
	// without the request (NETLINK_CAP_ACK, 4.3). Older kernels do without.
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return &socket{fd: fd}, nil
}

func (s *socket) close() error { return unix.Close(s.fd) }

// do sends a conversation and gives the first error in it.
func (s *socket) do(c *conversation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := unix.Sendto(s.fd, c.bytes, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sending to the netlink socket", err)
	}
	var first error
	buffer := make([]byte, 1024)
	for {
		n, _, err := unix.Recvfrom(s.fd, buffer, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			return first
		case err == unix.EINTR:
		case err != nil:
			return errors.Join(first, os.NewSyscallError("receiving from the netlink socket", err))
		case first == nil:
			first = c.failure(buffer[:n])
		}
	}
}

// failure decodes a message of the type NLMSG_ERROR: struct nlmsghdr, errno,
// and the header of the request that failed. It gives nil if it holds no error.
func (c *conversation) failure(b []byte) error {
	const header = unix.SizeofNlMsghdr
	if len(b) < header+4+header || binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("the kernel sent a netlink message of %d bytes that is no error", len(b))
	}
	length := int(binary.NativeEndian.Uint32(b))
	errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(b[header:])))
	if errno == 0 {
		return nil
	}
	err := error(errno)
	if flags := binary.NativeEndian.Uint16(b[6:]); flags&unix.NLM_F_ACK_TLVS != 0 && flags&unix.NLM_F_CAPPED != 0 && length <= len(b) {
		if s := sentence(b[header+4+header : length]); s != "" {
			err = fmt.Errorf("%w (%s)", errno, s)
		}
	}
	what := "a request"
	if seq := int(binary.NativeEndian.Uint32(b[header+4+8:])); seq >= 1 && seq <= len(c.what) {
		what = c.what[seq-1]
	}
	return fmt.Errorf("%s: %w", what, err)
}

// sentence is the text among the attributes of an extended acknowledgement.
func sentence(b []byte) string {
	const message = 1 // NLMSGERR_ATTR_MSG
	for len(b) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtAttr || length > len(b) {
			break
		}
		if binary.NativeEndian.Uint16(b[2:]) == message {
			return unix.ByteSliceToString(b[unix.SizeofRtAttr:length])
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return ""
}
