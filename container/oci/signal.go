package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"vmctr/container"
)

func kill(_ context.Context, g *globals, args []string) (int, error) {
	fs := flags("kill")
	all := fs.Bool("all", false, "")
	fs.BoolVar(all, "a", false, "")
	rest, err := parse(fs, args, 1, 2)
	if err != nil {
		return 0, err
	}
	sig := unix.SIGTERM
	if len(rest) == 2 {
		if sig, err = parseSignal(rest[1]); err != nil {
			return 0, err
		}
	}
	h, err := container.Load(g.root, rest[0])
	if err != nil {
		return 0, err
	}
	return 0, h.Kill(sig, *all)
}

// parseSignal reads "9", "KILL" or "SIGKILL".
func parseSignal(s string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if n := unix.SignalNum(name); n != 0 {
		return n, nil
	}
	return 0, errUsage{fmt.Sprintf("kill: %q is no signal", s)}
}

func pause(ctx context.Context, g *globals, args []string) (int, error) {
	h, err := find(g, "pause", args)
	if err != nil {
		return 0, err
	}
	return 0, h.Pause(ctx)
}

func resume(ctx context.Context, g *globals, args []string) (int, error) {
	h, err := find(g, "resume", args)
	if err != nil {
		return 0, err
	}
	return 0, h.Resume(ctx)
}

func remove(ctx context.Context, g *globals, args []string) (int, error) {
	fs := flags("delete")
	force := fs.Bool("force", false, "")
	fs.BoolVar(force, "f", false, "")
	rest, err := parse(fs, args, 1, 1)
	if err != nil {
		return 0, err
	}
	h, err := container.Load(g.root, rest[0])
	if errors.Is(err, container.ErrNotExist) && *force {
		return 0, container.RemoveRest(g.root, rest[0])
	}
	if err != nil {
		return 0, err
	}
	return 0, g.warn(h.Delete(ctx, *force))
}
