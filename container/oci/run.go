package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"vmctr/container"
)

func runContainer(ctx context.Context, g *globals, args []string) (int, error) {
	var c creation
	id, err := c.parse("run", args)
	if err != nil {
		return 0, err
	}
	var s signals
	if !c.detach {
		s = catch()
	}
	h, t, err := c.create(ctx, g, id)
	if err != nil {
		return 0, err
	}
	defer t.close()
	if err := h.Start(ctx); err != nil {
		return 0, errors.Join(err, h.Delete(ctx, true))
	}
	if c.detach {
		return 0, nil
	}
	stop := s.forward(t, func(sig syscall.Signal) { h.Kill(sig, false) })
	status, err := h.Wait(ctx)
	stop()
	t.drain()
	if !c.keep {
		if h, loadErr := container.Load(g.root, id); loadErr == nil {
			err = errors.Join(err, h.Delete(ctx, true))
		}
	}
	return status.ExitCode(), err
}

// signals are those that we were sent.
type signals chan os.Signal

// catch begins to keep signals, until there is somebody to get them.
func catch() signals {
	s := make(signals, 64)
	signal.Notify(s)
	return s
}

// forward passes signals on until stop is called. SIGCHLD is about us, SIGURG is
// what Go's runtime sends itself, and SIGWINCH says that the window of our
// terminal has another size.
func (s signals) forward(t *console, send func(syscall.Signal)) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case sig := <-s:
				switch sig, _ := sig.(syscall.Signal); {
				case sig == unix.SIGWINCH && t != nil:
					t.resize()
				case sig != 0 && sig != unix.SIGCHLD && sig != unix.SIGURG && sig != unix.SIGPIPE:
					send(sig)
				}
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}
