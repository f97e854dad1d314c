package container

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// agent answers the system calls that filters leave to it: it lets all of them
// go on, but mkdir, which it answers itself with an errno of its own. It counts
// those that it is asked about.
type agent struct {
	socket *net.UnixListener
	states chan specs.ContainerProcessState
	asked  chan int32
}

func startAgent(t *testing.T) *agent {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "agent"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	a := &agent{l, make(chan specs.ContainerProcessState, 4), make(chan int32, 1000)}
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go a.serve(t, c)
		}
	}()
	return a
}

func (a *agent) serve(t *testing.T, c *net.UnixConn) {
	defer c.Close()
	b, oob := make([]byte, 4096), make([]byte, 64)
	n, on, _, _, err := c.ReadMsgUnix(b, oob)
	msgs, perr := unix.ParseSocketControlMessage(oob[:on])
	if err = errors.Join(err, perr); err != nil || len(msgs) != 1 {
		t.Error("no descriptor:", err)
		return
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		t.Error("no descriptor:", err)
		return
	}
	fd := fds[0]
	defer unix.Close(fd)
	var state specs.ContainerProcessState
	if err := json.Unmarshal(b[:n], &state); err != nil {
		t.Errorf("%q: %v", b[:n], err)
	}
	if n, err := c.Read(b); n > 0 || err == nil {
		t.Errorf("the connection was not closed: %d, %v", n, err)
	}
	a.states <- state
	const receive, send, goOn = 0xc0502100, 0xc0182101, 1 // SECCOMP_IOCTL_NOTIF_*
	type notification struct {
		id         uint64
		pid, flags uint32
		nr         int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	type response struct {
		id         uint64
		val        int64
		err, flags int32
	}
	for {
		// Readable when asked, hung up when nobody is left to ask (seccomp_unotify(2)).
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, 10_000); err != nil && err != unix.EINTR || poll[0].Revents&unix.POLLHUP != 0 {
			return
		}
		var n notification
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), receive, uintptr(unsafe.Pointer(&n))); e == unix.ENOENT || e == unix.EINTR {
			continue
		} else if e != 0 {
			return
		}
		a.asked <- n.nr
		r := response{id: n.id, flags: goOn}
		if n.nr == unix.SYS_MKDIRAT {
			r.err, r.flags = -int32(unix.EXDEV), 0
		}
		unix.Syscall(unix.SYS_IOCTL, uintptr(fd), send, uintptr(unsafe.Pointer(&r)))
	}
}

// profile leaves to the agent what the program asks for, and calls that a start
// itself makes after the filter, up to the execve.
func (a *agent) profile() *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: a.socket.Addr().String(), ListenerMetadata: "for the agent",
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdirat", "execve", "chdir", "close_range"}, Action: specs.ActNotify}},
	}
}

func (a *agent) state(t *testing.T) specs.ContainerProcessState {
	t.Helper()
	select {
	case s := <-a.states:
		return s
	case <-time.After(10 * time.Second):
		t.Fatal("the agent was sent nothing")
	}
	return specs.ContainerProcessState{}
}

// TestNotify: system calls that an agent outside decides on.
func TestNotify(t *testing.T) {
	needRoot(t)
	l := layersOf(t)
	for _, nnp := range []bool{true, false} {
		a := startAgent(t)
		s := sample("mkdir /x", "who")
		s.Linux.Seccomp, s.Process.NoNewPrivileges = a.profile(), nnp
		s.Annotations = map[string]string{"a": "b"}
		b := startBox(t, l, s)
		out, _, _ := b.end(t)
		if !strings.Contains(out, `"EXDEV"`) || !strings.Contains(out, "pid=1 ") {
			t.Errorf("no_new_privs %v: %s", nnp, out)
		}
		want := specs.ContainerProcessState{Version: specs.Version, Fds: []string{"seccompFd"}, Pid: b.PID(), Metadata: "for the agent",
			State: specs.State{Version: specs.Version, Status: specs.StateCreating, Pid: b.PID(), Annotations: s.Annotations}}
		if diff := cmp.Diff(want, a.state(t)); diff != "" {
			t.Error(diff)
		}
		seen := map[int32]bool{}
		for len(a.asked) > 0 {
			seen[<-a.asked] = true
		}
		if !seen[unix.SYS_EXECVE] || !seen[unix.SYS_MKDIRAT] || !seen[unix.SYS_CHDIR] {
			t.Errorf("no_new_privs %v: asked about %v", nnp, seen)
		}
	}
}

// TestNotifyLifecycle: the agent gets the descriptor when a container is
// created, and one for each program that is started in it later.
func TestNotifyLifecycle(t *testing.T) {
	needRoot(t)
	a := startAgent(t)
	root, dev := filepath.Join(t.TempDir(), "state"), null(t)
	s := sample("pause")
	s.Linux.Seccomp = a.profile()
	h, err := Create(t.Context(), root, Config{ID: "notify", Spec: s, Layers: layersOf(t), Dir: filepath.Join(t.TempDir(), "c"), Stdin: dev, Stdout: dev, Stderr: dev})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Delete(context.Background(), true)
	if got := a.state(t); got.State.ID != "notify" || got.Pid != h.Pid {
		t.Errorf("at its creation: %+v", got)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := *s.Process
	p.Args = []string{"/probe", "mkdir /x", "exit 5"}
	e, err := h.Exec(t.Context(), Exec{Process: &p, Stdin: dev, Stdout: dev, Stderr: dev})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.state(t); got.State.ID != "notify" || got.Pid != e.PID || got.State.Pid != h.Pid {
		t.Errorf("for the second program: %+v", got)
	}
	if st, err := e.Wait(t.Context()); err != nil || st.Code != 5 {
		t.Errorf("it ended with %v, %v", st, err)
	}
}

// TestNotifyNobody: no agent, no start.
func TestNotifyNobody(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	s := sample("who")
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: filepath.Join(dir, "nobody"), Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdirat"}, Action: specs.ActNotify}}}
	before := footprintOf(t, dir)
	dev := null(t)
	_, err := Start(t.Context(), Config{Spec: s, Layers: layersOf(t), Dir: filepath.Join(dir, "c"), Stdin: dev, Stdout: dev, Stderr: dev})
	if err == nil || !strings.Contains(err.Error(), "linux.seccomp.listenerPath") || !errors.Is(err, unix.ENOENT) {
		t.Errorf("err = %v", err)
	}
	dev.Close()
	before.check(t, dir, "no agent")
}
