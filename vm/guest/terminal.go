package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"vmctr/container"
)

// A terminal is that of a program which a user runs at one of theirs. It is made in
// this machine, by package container, as a container's is: so what is typed becomes
// signals here, by this kernel's line discipline (termios(3)), and the host passes on
// bytes. PID 1 has the master, and copies between it and the ports of the standard
// input and output.
type terminal struct {
	sockets [2]*os.File // by which the master comes: our end, package container's
	master  *os.File
}

// openTerminal makes the streams of a program with a terminal, given the port of its
// output.
func (g *guest) openTerminal(output *os.File) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a terminal: socketpair: %w", err)
	}
	t := &terminal{sockets: [2]*os.File{os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "console")}}
	input, err := g.openInput()
	if err != nil {
		return err
	}
	g.tty = t
	s := &g.streams
	s.piped = true
	s.theirs[1], s.theirs[2] = s.theirs[0], s.theirs[0] // it gets the terminal instead
	s.output.Add(1)
	s.copies = append(s.copies, func() {
		transfer(output, t.master) // to EIO, when nobody has the other side open
		s.output.Done()
	})
	if input != nil {
		s.copies = append(s.copies, func() {
			awaitHost(input)
			transfer(t.master, input)
			// The user's terminal is gone: so is this one, and the kernel tells the
			// program by SIGHUP.
			t.master.Close()
		})
	}
	return nil
}

// socket is what package container sends the master by.
func (t *terminal) socket() *os.File {
	if t == nil {
		return nil
	}
	return t.sockets[1]
}

// attach takes the master, once the program runs.
func (t *terminal) attach() (err error) {
	if t == nil {
		return nil
	}
	t.master, err = container.ReceiveTerminal(t.sockets[0])
	for _, f := range t.sockets {
		f.Close()
	}
	return err
}

// resize gives the terminal the size of the user's.
func (g *guest) resize(rows, columns uint16) {
	if g.running() == nil || g.tty == nil {
		return
	}
	if err := container.ResizeTerminal(g.tty.master, rows, columns); err != nil {
		fmt.Fprintln(os.Stderr, "guest: resizing the terminal:", err)
	}
}
