package vm

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

func TestTakeCID(t *testing.T) {
	asked := 0
	cid, err := takeCID(func(cid uint64) error {
		if cid < 3 || cid >= unix.VMADDR_CID_ANY {
			t.Errorf("%d is no machine's", cid)
		}
		if asked++; asked < 3 {
			return unix.EADDRINUSE
		}
		return nil
	})
	if cid == 0 || err != nil || asked != 3 {
		t.Errorf("%d after %d tries, %v", cid, asked, err)
	}
	if _, err := takeCID(func(uint64) error { return unix.EADDRINUSE }); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("all are taken: %v", err)
	}
	asked = 0
	if _, err := takeCID(func(uint64) error { asked++; return unix.ENOTTY }); !errors.Is(err, unix.ENOTTY) || asked != 1 {
		t.Errorf("no such device: %d tries, %v", asked, err)
	}
}

func TestIsMachine(t *testing.T) {
	a := vsockAddress{cid: 5, port: 1024}
	for _, tt := range []struct {
		caller unix.Sockaddr
		want   bool
	}{
		{&unix.SockaddrVM{CID: 5, Port: 7}, true},
		{&unix.SockaddrVM{CID: 6, Port: 1024}, false},
		{&unix.SockaddrVM{CID: unix.VMADDR_CID_HOST}, false},
		{&unix.SockaddrVM{CID: unix.VMADDR_CID_LOCAL}, false},
		{&unix.SockaddrUnix{}, false},
	} {
		if got := a.isMachine(tt.caller); got != tt.want {
			t.Errorf("%+v: %v", tt.caller, got)
		}
	}
}

// caller is a name by which the test's callers are told apart: of a UNIX socket, which
// stands for a vsock here.
const caller = "right"

// listening is an incoming, and how to call it.
func listening(t *testing.T) (i *incoming, call func(name string) *os.File) {
	t.Helper()
	dir := t.TempDir()
	socket := func(kind int, name string) *os.File {
		t.Helper()
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|kind, 0)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(dir, name)})
		}
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd), name)
	}
	control := func(f *os.File, do func(fd int) error) {
		t.Helper()
		conn, err := f.SyscallConn()
		if err == nil {
			conn.Control(func(fd uintptr) { err = do(int(fd)) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	listener := socket(unix.SOCK_NONBLOCK, "listens")
	control(listener, func(fd int) error { return unix.Listen(fd, 1) })
	i = &incoming{listener: listener, isRight: func(a unix.Sockaddr) bool {
		u, ok := a.(*unix.SockaddrUnix)
		return ok && filepath.Base(u.Name) == caller
	}}
	return i, func(name string) *os.File {
		t.Helper()
		f := socket(0, name)
		control(f, func(fd int) error { return unix.Connect(fd, &unix.SockaddrUnix{Name: filepath.Join(dir, "listens")}) })
		t.Cleanup(func() { f.Close() })
		return f
	}
}

// TestIncoming: the right caller is heard, and any other is turned away.
func TestIncoming(t *testing.T) {
	i, call := listening(t)
	c := openControl(i)
	defer c.close()
	if err := c.send(wire.Command{Command: wire.CommandPing}); err == nil || !strings.Contains(err.Error(), "has not connected yet") {
		t.Errorf("a command to a guest that has not called: %v", err)
	}
	wrong := call("wrong")
	if b, err := io.ReadAll(wrong); len(b) > 0 || err != nil {
		t.Errorf("a wrong caller reads %q, %v", b, err)
	}
	right := call(caller)
	if _, err := right.WriteString(`{"event":"phase","phase":"running"}` + "\n"); err != nil {
		t.Fatal(err)
	}
	giveUp := make(chan struct{})
	defer time.AfterFunc(5*time.Second, func() { close(giveUp) }).Stop()
	if !c.await(0, isRunning, giveUp) {
		t.Fatal("the right caller is not heard")
	}
	if err := c.send(wire.Command{Command: wire.CommandPing}); err != nil {
		t.Error(err)
	}
	b := make([]byte, 100)
	if n, err := right.Read(b); string(b[:n]) != `{"command":"ping"}`+"\n" || err != nil {
		t.Errorf("the right caller reads %q, %v", b[:n], err)
	}
	// The guest says that it has said all, and is told when that has come.
	if err := unix.Shutdown(int(right.Fd()), unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if n, err := right.Read(b); err != io.EOF {
		t.Errorf("then it reads %q, %v", b[:n], err)
	}
	<-c.done
}

// TestIncomingEnds: a machine that ends before it has called leaves nobody waiting.
func TestIncomingEnds(t *testing.T) {
	i, _ := listening(t)
	c := openControl(i)
	time.Sleep(10 * time.Millisecond) // the reader waits, as a rule
	if err := i.stopListening(); err != nil {
		t.Error(err)
	}
	select {
	case <-c.done:
	case <-time.After(5 * time.Second):
		t.Fatal("still waits")
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
}

// TestVsock: the reports and commands of a real machine go over virtio-vsock, to the
// last of them.
func TestVsock(t *testing.T) {
	if err := CheckVsock(); err != nil {
		t.Skip(err)
	}
	c := machineWith(t, Initramfs{Modules: []string{VsockModule}}, "vmctr/bench/workload", "", "idle")
	c.Vsock = true
	m, _ := start(t, c)
	if !m.Running(within(t)) {
		t.Fatal(m.Err())
	}
	for range 3 {
		if d, err := m.Ping(within(t)); err != nil || d <= 0 {
			t.Errorf("a message there and back took %v: %v", d, err)
		}
	}
	if err := m.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.Done():
	case <-within(t).Done():
		t.Fatal("does not end")
	}
	if status, ok := m.Exited(); !ok || status.Signal != unix.SIGKILL {
		t.Errorf("the last report: %v, %v; %v", status, ok, m.Err())
	}
}
