package vm

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A channel carries the reports of PID 1 of the guest, and the commands of the host. It
// is a port of virtio-serial, whose other end QEMU has (an *os.File), or a connection
// over virtio-vsock, whose other end the guest has (an incoming).
type channel interface {
	io.ReadWriteCloser
	SetWriteDeadline(time.Time) error
}

// Channel names what carries the reports and commands.
func (c Config) Channel() string {
	if c.Vsock {
		return "virtio-vsock"
	}
	return "virtio-serial"
}

// incoming is a channel that the other side opens: a socket that listens until the
// right one has called, and then the connection with them. Until then a read waits, and
// a write fails. One goroutine reads.
type incoming struct {
	listener *os.File // known to Go's poller
	isRight  func(caller unix.Sockaddr) bool

	mu   sync.Mutex
	conn *os.File // nil until then
}

func (i *incoming) connected() (*os.File, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.conn == nil {
		return nil, errors.New("the guest has not connected yet")
	}
	return i.conn, nil
}

func (i *incoming) Read(b []byte) (int, error) {
	conn, err := i.connected()
	if err != nil {
		if conn, err = i.accept(); err != nil {
			return 0, err
		}
	}
	n, err := conn.Read(b)
	if err != nil {
		conn.Close() // which tells the other side that all has come
	}
	return n, err
}

func (i *incoming) Write(b []byte) (int, error) {
	conn, err := i.connected()
	if err != nil {
		return 0, err
	}
	return conn.Write(b)
}

func (i *incoming) SetWriteDeadline(t time.Time) error {
	conn, err := i.connected()
	if err != nil {
		return err
	}
	return conn.SetWriteDeadline(t)
}

// accept waits for the right caller, and turns others away. It ends when stopListening
// is called.
func (i *incoming) accept() (*os.File, error) {
	listener, err := i.listener.SyscallConn()
	if err != nil {
		return nil, err
	}
	for {
		var fd int
		var caller unix.Sockaddr
		var acceptErr error
		if err := listener.Read(func(l uintptr) bool {
			fd, caller, acceptErr = unix.Accept4(int(l), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return acceptErr != unix.EAGAIN
		}); err != nil {
			return nil, err
		}
		switch {
		case acceptErr == unix.EINTR || acceptErr == unix.ECONNABORTED:
			continue
		case acceptErr != nil:
			return nil, os.NewSyscallError("accept4", acceptErr)
		case !i.isRight(caller):
			unix.Close(fd)
			continue
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		i.conn = os.NewFile(uintptr(fd), i.listener.Name())
		return i.conn, i.stopListening()
	}
}

// stopListening has nobody call any more.
func (i *incoming) stopListening() error {
	if err := i.listener.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

func (i *incoming) Close() error {
	err := i.stopListening()
	if conn, notYet := i.connected(); notYet == nil {
		conn.Close() // as Read may have done
	}
	return err
}
