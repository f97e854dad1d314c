package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/vm/guest/wire"
)

// streams are the workload's standard streams.
//
// What is measured gets the port as its standard output, and nothing is in
// between. What a user runs gets pipes, as in a container: a port can be open
// only once, so that no program could open /dev/stdout, and none but root may. Or it
// gets a terminal (terminal.go).
type streams struct {
	theirs [3]*os.File
	copies []func()
	output sync.WaitGroup // its output that is still to be copied
	piped  bool
}

// has tells whether a stream goes to the host.
func (g *guest) has(stream string) bool {
	return slices.Contains(strings.Fields(g.spec.Annotations[wire.Streams]), stream)
}

func (g *guest) openStreams() (err error) {
	s := &g.streams
	if s.theirs[0], err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return err
	}
	output, err := openPort(g.ports, wire.OutputPort, unix.O_WRONLY)
	if err != nil {
		return err
	}
	s.theirs[1], s.theirs[2] = output, os.Stderr
	if g.spec.Process.Terminal {
		return g.openTerminal(output)
	}
	if !g.has(wire.StreamError) {
		return nil
	}
	s.piped = true
	errors, err := openPort(g.ports, wire.ErrorPort, unix.O_WRONLY)
	if err != nil {
		return err
	}
	for i, port := range map[int]*os.File{1: output, 2: errors} {
		r, w, err := g.pipe()
		if err != nil {
			return err
		}
		s.theirs[i] = w
		s.output.Add(1)
		s.copies = append(s.copies, func() { transfer(port, r); s.output.Done() })
	}
	input, err := g.openInput()
	if input == nil {
		return err
	}
	r, w, err := g.pipe()
	if err != nil {
		return err
	}
	s.theirs[0] = r
	s.copies = append(s.copies, func() {
		awaitHost(input)
		transfer(w, input)
		w.Close()
	})
	return nil
}

// openInput opens the port of the standard input, if it comes from the host.
func (g *guest) openInput() (*os.File, error) {
	if !g.has(wire.StreamInput) {
		return nil, nil
	}
	return openPort(g.ports, wire.InputPort, unix.O_RDONLY)
}

// openPort opens a port, without O_NONBLOCK: a program expects that of its
// standard output, and a write then returns when the host has it all.
func openPort(ports map[string]string, name string, mode int) (*os.File, error) {
	fd, err := unix.Open(ports[name], mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the port %s, %s: %w", name, ports[name], err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// pipe is one whose ends the program's user may open again.
func (g *guest) pipe() (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err != nil {
		return nil, nil, err
	}
	u := g.spec.Process.User
	return r, w, r.Chown(int(u.UID), int(u.GID))
}

// awaitHost waits until a port says that the host is there. It says so a moment
// after it has appeared, and until then reads as if it were at its end.
func awaitHost(port *os.File) {
	for range 2000 {
		p := []unix.PollFd{{Fd: int32(port.Fd()), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, 0); err == nil && p[0].Revents&unix.POLLHUP == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// transfer copies by read and write: between these io.Copy would try splice(2).
func transfer(to io.Writer, from io.Reader) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// started gives the streams to the program that has them now.
func (s *streams) started() {
	for _, f := range s.theirs {
		if f != os.Stderr {
			f.Close()
		}
	}
	for _, c := range s.copies {
		go c()
	}
}

// finish ends the rest of the program, as the end of a container's first process
// does, and waits until all that it wrote is with the host.
func (s *streams) finish() {
	if !s.piped {
		return
	}
	if os.Getpid() == 1 { // in a test this machine is not its own
		unix.Kill(-1, unix.SIGKILL) // all but PID 1 (kill(2))
	}
	done := make(chan struct{})
	go func() { s.output.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second): // the host does not read
	}
}
