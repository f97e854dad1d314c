package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/bench/harness"
	"vmctr/container"
)

// runStreams join the container's standard streams, or its terminal, with ours.
// The container never gets ours themselves: with a descriptor of the user's
// terminal it could read what they type.
type runStreams struct {
	streams
	interactive bool
	theirs      [3]*os.File // the container's ends; without a terminal
	ours        [3]*os.File
	socket      [2]*os.File // the terminal's master comes by this
	master      *os.File
	restore     func()
	copied      sync.WaitGroup

	explained func(at int64) // is told when the first output came; nil if nobody asks
	first     sync.Once
}

// copy copies the container's output.
func (r *runStreams) copy(to io.Writer, from io.Reader) {
	if r.explained != nil {
		b := make([]byte, 32<<10)
		n, err := from.Read(b)
		at := harness.Now()
		if n > 0 {
			r.first.Do(func() { r.explained(at) })
			to.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
	io.Copy(to, from)
}

func openStreams(s streams, interactive, tty bool, spec *specs.Spec) (_ *runStreams, err error) {
	r := &runStreams{streams: s, interactive: interactive, restore: func() {}}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if tty {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, os.NewSyscallError("socketpair", err)
		}
		r.socket = [2]*os.File{os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "console")}
		spec.Process.ConsoleSize = windowSize()
	}
	uid, gid := containerUser(spec)
	uid, gid = uid+int(spec.Process.User.UID), gid+int(spec.Process.User.GID)
	for i := range r.theirs {
		if i == 0 && !interactive || tty {
			if r.theirs[i], err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
				return nil, err
			}
			continue
		}
		read, write, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		if r.ours[i], r.theirs[i] = read, write; i == 0 {
			r.ours[i], r.theirs[i] = write, read
		}
		// So that it can open /dev/stdout. An ordinary user's root is them already.
		if err := r.theirs[i].Chown(uid, gid); err != nil && isRoot() {
			return nil, err
		}
	}
	return r, nil
}

func (r *runStreams) config(c *container.Config) {
	c.Stdin, c.Stdout, c.Stderr, c.Console = r.theirs[0], r.theirs[1], r.theirs[2], r.socket[1]
}

// started begins to copy, once the container runs.
func (r *runStreams) started() error {
	for i, f := range r.theirs {
		f.Close()
		r.theirs[i] = nil
	}
	if r.socket[0] != nil {
		r.socket[1].Close()
		var err error
		if r.master, err = container.ReceiveTerminal(r.socket[0]); err != nil {
			return err
		}
		if r.interactive {
			if r.restore, err = rawTerminal(); err != nil {
				return err
			}
			go io.Copy(r.master, os.Stdin) // for as long as bench runs
		}
		r.resize()
		r.copied.Go(func() { r.copy(r.out, r.master) })
		return nil
	}
	if r.interactive {
		go func() {
			io.Copy(r.ours[0], os.Stdin)
			r.ours[0].Close()
		}()
	}
	for i, w := range []io.Writer{r.out, r.err} {
		r.copied.Go(func() {
			r.copy(w, r.ours[i+1])
			// Who reads no more is told so: the next write fails.
			r.ours[i+1].Close()
		})
	}
	return nil
}

// resize gives the container's terminal the size of ours.
func (r *runStreams) resize() {
	if r.master == nil {
		return
	}
	if size := windowSize(); size != nil {
		container.ResizeTerminal(r.master, uint16(size.Height), uint16(size.Width))
	}
}

// finish waits until all that the container wrote is copied. When its first
// process has ended, so have the others, and nobody writes any more.
func (r *runStreams) finish() {
	done := make(chan struct{})
	go func() { r.copied.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second): // our own output is stuck
	}
	r.restore()
}

func (r *runStreams) close() {
	r.restore()
	for _, f := range slices.Concat(r.theirs[:], r.ours[1:], r.socket[:], []*os.File{r.master}) {
		if f != nil {
			f.Close()
		}
	}
}

// runSignals are the signals that we get.
type runSignals chan os.Signal

func forwardable() runSignals {
	s := make(runSignals, 64)
	signal.Notify(s)
	return s
}

func (s runSignals) stop() { signal.Stop(s) }

// patience is how often a user asks before a container that does not listen is
// killed: as PID 1 of its namespace the program gets only signals that it
// handles (pid_namespaces(7)).
const patience = 3

// running is a container, or a machine.
type running interface {
	Done() <-chan struct{}
	Signal(syscall.Signal) error
}

// aboutUs are signals that are not for the program.
var aboutUs = []syscall.Signal{unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGCONT, unix.SIGTTIN, unix.SIGTTOU}

// forward passes signals on until the container has ended.
func (s runSignals) forward(out streams, c running, resize func()) {
	asked := 0
	for {
		select {
		case <-c.Done():
			return
		case sig := <-s:
			n, ok := sig.(syscall.Signal)
			switch {
			case !ok:
			case slices.Contains(aboutUs, n):
			case n == unix.SIGWINCH:
				resize()
			default:
				if n == unix.SIGINT || n == unix.SIGTERM {
					asked++
				}
				if asked >= patience {
					fmt.Fprintln(out.err, "bench: the program handles no such signal; killing it")
					n = unix.SIGKILL
				}
				c.Signal(n)
			}
		}
	}
}
