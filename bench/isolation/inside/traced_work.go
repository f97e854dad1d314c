package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// childVerb is what tracedWork's child does: nothing.
const childVerb = "nothing"

func init() { verbs[childVerb] = func([]string) error { return nil } }

// tracedWork does a little of what programs do: with files, memory, a network connection
// to itself, and a child.
func tracedWork() error {
	for _, part := range []struct {
		name string
		do   func() error
	}{{"files", workFiles}, {"memory", workMemory}, {"network", workNetwork}, {"a child", workChild}} {
		if err := part.do(); err != nil {
			return fmt.Errorf("working with %s: %w", part.name, err)
		}
	}
	return nil
}

func workFiles() error {
	// An image need not have it.
	if err := os.MkdirAll("/tmp", 0o777|os.ModeSticky); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/tmp", "work-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	data := bytes.Repeat([]byte("work"), 64<<10)
	for n := range 4 {
		name := filepath.Join(dir, fmt.Sprint(n))
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		if err := errors.Join(err, f.Sync(), f.Close(), os.Rename(name, name+".new")); err != nil {
			return err
		}
		if back, err := os.ReadFile(name + ".new"); err != nil || !bytes.Equal(back, data) {
			return fmt.Errorf("%s does not hold what was written: %w", name, err)
		}
	}
	_, err = os.ReadDir(dir)
	return err
}

func workMemory() error {
	b, err := unix.Mmap(-1, 0, 8<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	return errors.Join(unix.Madvise(b, unix.MADV_DONTNEED), unix.Munmap(b))
}

func workNetwork() error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(c, c)
			err = errors.Join(err, c.Close())
		}
		served <- err
	}()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return err
	}
	data := bytes.Repeat([]byte("work"), 16<<10)
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	back, err := io.ReadAll(c)
	if err := errors.Join(err, <-sent, <-served, c.Close()); err != nil {
		return err
	}
	if !bytes.Equal(back, data) {
		return errors.New("what came back is not what was sent")
	}
	return nil
}

func workChild() error {
	return exec.Command("/proc/self/exe", childVerb).Run()
}
