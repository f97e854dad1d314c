package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container"
)

// A console is our end of a program's terminal (pty(7)). Either the other end of
// it goes to a socket that an engine listens on, and nothing is left to do here;
// or we are to show it ourselves, on the terminal that we run in: then what is
// typed goes to the program, which makes of it what its own terminal says, and
// what the program writes comes out here.
//
// A nil console is that of a program without a terminal.
type console struct {
	theirs  *os.File // where the program's side is told to send the master
	ours    *os.File // where we receive it; nil if an engine does
	master  *os.File
	was     *unix.Termios // how our terminal was, nil if we have none
	drained chan struct{}
}

// openConsole makes the console that a process asks for, and tells it the size
// of our window.
func openConsole(socket string, detach bool, p *specs.Process) (*console, error) {
	terminal := p != nil && p.Terminal
	switch {
	case socket != "" && !(terminal && detach):
		return nil, errors.New("--console-socket: the container has no terminal (process.terminal), or it is not detached and its terminal is shown here")
	case terminal && detach && socket == "":
		return nil, errors.New("process.terminal: nobody takes the terminal of a detached container: --console-socket is needed")
	case !terminal:
		return nil, nil
	case socket != "":
		theirs, err := dial("--console-socket", socket)
		return &console{theirs: theirs}, err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	if size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil && p.ConsoleSize == nil {
		p.ConsoleSize = &specs.Box{Height: uint(size.Row), Width: uint(size.Col)}
	}
	return &console{ours: os.NewFile(uintptr(fds[0]), "console"), theirs: os.NewFile(uintptr(fds[1]), "console")}, nil
}

// socket is what the program's side is given.
func (c *console) socket() *os.File {
	if c == nil {
		return nil
	}
	return c.theirs
}

// attach joins the program's terminal to ours, once the program's side has sent
// it.
func (c *console) attach() error {
	if c == nil || c.ours == nil {
		return nil
	}
	var err error
	if c.master, err = container.ReceiveTerminal(c.ours); err != nil {
		return err
	}
	if err := c.raw(); err != nil {
		return err
	}
	c.drained = make(chan struct{})
	go io.Copy(c.master, os.Stdin) // as long as we live
	go func() {
		io.Copy(os.Stdout, c.master) // ends with EIO, when nobody has the other side open
		close(c.drained)
	}()
	return nil
}

// raw takes the line discipline off our own terminal: the program's has one
// (termios(3), "Raw mode").
func (c *console) raw() error {
	was, err := unix.IoctlGetTermios(0, unix.TCGETS)
	if err != nil {
		return nil // it is a file or a pipe
	}
	t := *was
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(0, unix.TCSETS, &t); err != nil {
		return fmt.Errorf("making the terminal raw: %w", err)
	}
	c.was = was
	return nil
}

// resize gives the program's terminal the size of our window; the kernel tells
// the program by SIGWINCH.
func (c *console) resize() {
	if size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil && c.master != nil {
		container.ResizeTerminal(c.master, size.Row, size.Col)
	}
}

// drain waits until what the program wrote has come out. Others, which it
// started, may hold its terminal open for longer than it lived.
func (c *console) drain() {
	if c == nil || c.drained == nil {
		return
	}
	select {
	case <-c.drained:
	case <-time.After(time.Second):
	}
}

// close lets go of it, and makes our terminal what it was.
func (c *console) close() {
	if c == nil {
		return
	}
	if c.was != nil {
		unix.IoctlSetTermios(0, unix.TCSETS, c.was)
	}
	for _, f := range []*os.File{c.theirs, c.ours, c.master} {
		if f != nil {
			f.Close()
		}
	}
}
