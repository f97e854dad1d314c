package container

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/seccomp"
	"vmctr/container/step"
)

// A system call filter can leave a call to another process to decide
// (SCMP_ACT_NOTIFY; seccomp_unotify(2)). That process, an agent of whoever
// configured the container, listens on the socket linux.seccomp.listenerPath and
// is sent the filter's descriptor, with word of whose it is (config-linux.md,
// "The Container Process State").
//
// The filter is in force as soon as it is installed, and every call of ours
// after that may be one for the agent to decide. So the child stands still
// without a call until the agent has the descriptor. The parent takes it from
// the child (pidfd_getfd(2)).

// listener is a filter's descriptor in a child that holds.
type listener struct {
	program *step.Program
	fd      step.Result
	hold    *step.Hold
}

// install appends the call that puts a filter on all system calls from here on.
// The result is nil unless there is a descriptor to send.
func install(p *step.Program, f *seccomp.Filter) *listener {
	program := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f.Program))), len(f.Program)*int(unsafe.Sizeof(unix.SockFilter{})))
	p.Bytes(program, "")
	prog := unix.SockFprog{Len: uint16(len(f.Program)), Filter: unsafe.SliceData(f.Program)}
	fd := p.Call("seccomp", unix.SYS_SECCOMP, step.Flag(unix.SECCOMP_SET_MODE_FILTER, "SECCOMP_SET_MODE_FILTER"), step.Int(uint64(f.Flags)), step.Struct(p, prog, fmt.Sprintf("{%d instructions}", len(f.Program))))
	if !f.Notify {
		return nil
	}
	return &listener{p, fd, p.Hold()}
}

// hand sends the descriptor of the filter of process pid to the agent, and lets
// the process go on. state is that of its container.
func (l *listener) hand(ctx context.Context, pid int, s *specs.LinuxSeccomp, state specs.State) error {
	if err := l.hold.Await(ctx); err != nil {
		return err
	}
	fd, err := l.program.Take(pid, l.fd)
	if err != nil {
		return fmt.Errorf("linux.seccomp: taking the filter's descriptor from the process: %w", err)
	}
	defer unix.Close(fd)
	text, err := json.Marshal(specs.ContainerProcessState{
		Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: pid, Metadata: s.ListenerMetadata, State: state,
	})
	if err != nil {
		return err
	}
	if err := sendDescriptor(s.ListenerPath, text, fd); err != nil {
		return fmt.Errorf("linux.seccomp.listenerPath: %s: %w", s.ListenerPath, err)
	}
	l.hold.Release()
	return nil
}

// sendDescriptor connects to a UNIX socket and sends a text, and a descriptor
// with its first byte.
func sendDescriptor(path string, text []byte, fd int) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(socket)
	// For connect(2), too: it waits while the queue of the listener is full.
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Connect(socket, &unix.SockaddrUnix{Name: path}); err != nil {
		return fmt.Errorf("connect: %w (does the agent that decides on system calls run?)", err)
	}
	n, err := unix.SendmsgN(socket, text, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
	for err == nil && n < len(text) {
		text = text[n:]
		n, err = unix.SendmsgN(socket, text, nil, nil, unix.MSG_NOSIGNAL)
	}
	return os.NewSyscallError("sendmsg", err)
}
