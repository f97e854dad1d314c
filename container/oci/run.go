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
	var s *signals
	if !c.detach {
		s = catch()
	}
	cfg, err := c.config(id)
	s.wait()
	if err != nil {
		return 0, err
	}
	h, t, err := c.create(ctx, g, cfg)
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
		// Somebody else may have deleted it.
		if deleteErr := g.warn(h.Delete(ctx, true)); !errors.Is(deleteErr, container.ErrNotExist) {
			err = errors.Join(err, deleteErr)
		}
	}
	return status.ExitCode(), err
}

// signals are those that we are sent.
type signals struct {
	sent chan os.Signal
	kept chan struct{} // closed when all of them are kept
}

// catch begins to keep signals, until there is somebody to get them. To ask for
// all of them takes Go's runtime over a millisecond: so it is done while the
// caller reads its configuration.
func catch() *signals {
	s := &signals{make(chan os.Signal, 64), make(chan struct{})}
	go func() {
		signal.Notify(s.sent)
		close(s.kept)
	}()
	return s
}

// wait returns when no signal is lost any more.
func (s *signals) wait() {
	if s != nil {
		<-s.kept
	}
}

// forward passes signals on until stop is called. SIGCHLD is about us, SIGURG is
// what Go's runtime sends itself, and SIGWINCH says that the window of our
// terminal has another size.
func (s *signals) forward(t *console, send func(syscall.Signal)) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case sig := <-s.sent:
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
