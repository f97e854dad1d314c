package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"vmctr/bench/harness"
	"vmctr/container"
	"vmctr/container/network"
	"vmctr/container/rootfs"
)

// This program is itself a server for the growth: a process that has done
// nothing else yet, so that no memory and no thread of earlier containers hides
// what one costs.

// serveCommand is the first argument of this program as a server.
const serveCommand = "serve-library"

// libraryServer starts this program as a server.
func (s *setup) libraryServer(name string, veth bool, args ...string) (*server, error) {
	list := []string{serveCommand, s.run.ID, s.run.Dir, name, strconv.FormatBool(veth), s.programs}
	cmd := exec.Command("/proc/self/exe", append(list, args...)...)
	return s.serve("the library", false, cmd, func(start func() error) error { return start() })
}

// serveLibrary is that server: the protocol is that of testdata/limit.c.
func serveLibrary(args []string) (err error) {
	ctx := context.Background()
	s := &setup{run: &harness.Run{ID: args[0], Dir: args[1]}, programs: args[4]}
	name, veth := args[2], args[3] == "true"
	if s.spec, err = spec(); err != nil {
		return err
	}
	if s.dirs, err = s.image(); err != nil {
		return err
	}
	ns, err := container.UserNamespace(ctx, s.spec.Linux)
	if err != nil {
		return err
	}
	s.layers, err = rootfs.OpenLayers(s.dirs, ns)
	if err := errors.Join(err, ns.Close()); err != nil {
		return err
	}
	if veth {
		if s.network, err = network.Open(ctx, s.run.NetworkID(), filepath.Clean(s.run.Dir), netip.Prefix{}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.network.Leave()) }()
	}
	l, err := s.library(name, veth, os.Stdout, args[5:]...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close(), s.layers.Close()) }()
	replies := os.NewFile(3, "replies")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var verb string
		var n int
		if _, err := fmt.Sscan(in.Text(), &verb, &n); err != nil {
			return fmt.Errorf("%q: %w", in.Text(), err)
		}
		switch verb {
		case "s":
			t, err := l.begin(ctx, n)
			if err != nil {
				fmt.Fprintf(replies, "error: %v\n", err)
				continue
			}
			fmt.Fprintln(replies, t.start, l.all[n].PID())
		default:
			if err := l.end(ctx, n, verb == "k"); err != nil {
				fmt.Fprintf(replies, "error: %v\n", err)
				continue
			}
			fmt.Fprintln(replies, 0)
		}
	}
	return nil
}
