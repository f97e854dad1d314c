package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"vmctr/report/result/isolation"
)

func init() { verbs["work"] = work }

// work waits on ADDRESS for what it is to do: a line over a connection each, of which a
// wrong one gets no answer.
func work(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: inside work ADDRESS")
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT)
	begun()
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	fmt.Println(`{"ready":true}`)
	failed := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err == nil {
				err = answer(c)
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-stop:
		return nil
	}
}

func answer(c net.Conn) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	ask := bufio.NewScanner(c)
	if !ask.Scan() {
		return ask.Err()
	}
	switch ask.Text() {
	case isolation.SurfaceWork:
		hash := make([]byte, 1<<20)
		for range 4 {
			sum := sha256.Sum256(hash)
			copy(hash, sum[:])
		}
		if err := tracedWork(); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	case isolation.SurfacePing:
	default:
		return nil
	}
	_, err := fmt.Fprintln(c, isolation.SurfaceDone)
	return err
}
