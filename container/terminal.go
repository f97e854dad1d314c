package container

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// A terminal is a pair of devices (pty(7)): what the program writes to the one
// comes out of the other, and the kernel's line discipline between them makes
// signals of control characters and tells the size of the window. The program
// gets its side as standard input, output and error, and as the terminal that
// controls its session. The other side, the master, goes to whoever started the
// container, over a UNIX socket (unix(7), SCM_RIGHTS): runc's console socket.

// masterFD is the number under which the master is sent: that stands in the
// message, which is written before there is a master.
const masterFD = 700

// openTerminal appends the calls that make a pair, given a fresh descriptor of
// the multiplexer /dev/ptmx of the container, and send its master away. The
// result is the program's side.
func openTerminal(p *step.Program, master step.Result, proc *specs.Process, console int) step.Result {
	p.Call("ioctl", unix.SYS_IOCTL, master.Arg(), step.Flag(unix.TIOCSPTLCK, "TIOCSPTLCK"), step.Struct(p, int32(0), "&0"))
	tty := p.Call("ioctl", unix.SYS_IOCTL, master.Arg(), step.Flag(unix.TIOCGPTPEER, "TIOCGPTPEER"), step.Flag(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, "O_RDWR|O_NOCTTY|O_CLOEXEC"))
	if b := proc.ConsoleSize; b != nil {
		p.Call("ioctl", unix.SYS_IOCTL, tty.Arg(), step.Flag(unix.TIOCSWINSZ, "TIOCSWINSZ"), step.Struct(p, unix.Winsize{Row: uint16(b.Height), Col: uint16(b.Width)}, "&size"))
	}
	p.Call("fchown", unix.SYS_FCHOWN, tty.Arg(), step.Int(proc.User.UID), step.Flag(1<<32-1, "-1"))
	p.Call("dup3", unix.SYS_DUP3, master.Arg(), step.Int(masterFD), step.Flag(unix.O_CLOEXEC, "O_CLOEXEC"))
	p.Call("sendmsg", unix.SYS_SENDMSG, step.Flag(console, "console"), rightsMessage(p, masterFD, "/dev/ptmx"), step.Int(0))
	p.Call("close", unix.SYS_CLOSE, step.Int(masterFD))
	p.Call("close", unix.SYS_CLOSE, master.Arg())
	p.Call("ioctl", unix.SYS_IOCTL, tty.Arg(), step.Flag(unix.TIOCSCTTY, "TIOCSCTTY"), step.Int(0))
	return tty
}

// ownMultiplexer appends the call that opens the multiplexer of the tree that the
// process is in.
func ownMultiplexer(p *step.Program) step.Result {
	return p.Call("openat", unix.SYS_OPENAT, step.Cwd(), p.Str("/dev/pts/ptmx"), step.Flag(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, "O_RDWR|O_NOCTTY|O_CLOEXEC"))
}

// ReceiveTerminal takes the master of a program's terminal from the other end of its
// [Config.Console]. It is known to Go's poller, so that closing it ends who reads,
// and hangs the terminal up.
func ReceiveTerminal(console *os.File) (*os.File, error) {
	text, control := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(console.Fd()), text, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("receiving the terminal: recvmsg: %w", err)
	}
	var fds []int
	if messages, err := unix.ParseSocketControlMessage(control[:n]); err == nil && len(messages) == 1 {
		fds, _ = unix.ParseUnixRights(&messages[0])
	}
	if len(fds) != 1 {
		return nil, errors.New("receiving the terminal: the message holds no descriptor")
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}

// ResizeTerminal gives a terminal a size, by its master; the kernel tells the program
// by SIGWINCH (ioctl_tty(2), TIOCSWINSZ).
func ResizeTerminal(master *os.File, rows, columns uint16) error {
	conn, err := master.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := conn.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
	return errors.Join(err, controlErr)
}

// rightsMessage is a struct msghdr (sendmsg(2)) with text as its content and a
// descriptor in its control data (cmsg(3)).
func rightsMessage(p *step.Program, fd int, text string) step.Arg {
	content := []byte(text)
	control := make([]byte, unix.CmsgSpace(4))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	h.SetLen(unix.CmsgLen(4))
	binary.NativeEndian.PutUint32(control[unix.CmsgLen(0):], uint32(fd))
	// They point to each other: so the program keeps each.
	p.Bytes(content, "")
	p.Bytes(control, "")
	iov := unix.Iovec{Base: &content[0]}
	iov.SetLen(len(content))
	iovs := unsafe.Slice((*byte)(unsafe.Pointer(&iov)), unsafe.Sizeof(iov))
	kept := append([]byte(nil), iovs...)
	p.Bytes(kept, "")
	msg := unix.Msghdr{Iov: (*unix.Iovec)(unsafe.Pointer(&kept[0])), Control: &control[0]}
	msg.Iovlen = 1
	msg.SetControllen(len(control))
	b := append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&msg)), unsafe.Sizeof(msg))...)
	return p.Bytes(b, "{"+text+", SCM_RIGHTS}")
}
