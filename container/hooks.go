package container

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// Hooks are programs of whoever configured the container, which the runtime
// runs at fixed points of its life (runtime-spec config.md, "POSIX-platform
// Hooks"). Each gets the container's state as JSON on its standard input. A hook
// that fails ends the start; of those after it has begun, only a warning remains.

// hooksPatience is how long the child waits for the hooks of one point. Each
// hook can have a limit of its own.
const hooksPatience = 5 * time.Minute

// hooksBeforePivot runs those that may still change the container's mounts.
func (c *Container) hooksBeforePivot(ctx context.Context, pid int) error {
	h := c.cfg.Spec.Hooks
	state := state(&c.cfg, specs.StateCreating, pid)
	for _, point := range []struct {
		name  string
		hooks []specs.Hook
		in    bool // in the container's namespaces
	}{
		{"prestart", prestart(h), false},
		{"createRuntime", h.CreateRuntime, false},
		{"createContainer", h.CreateContainer, true},
	} {
		if err := runHooks(ctx, point.name, point.hooks, state, point.in); err != nil {
			return err
		}
	}
	return nil
}

// prestart are hooks of a point that later versions of the specification have
// split into three.
func prestart(h *specs.Hooks) []specs.Hook {
	//lint:ignore SA1019 Docker uses it
	return h.Prestart
}

// runHooks runs the hooks of one point, in order, in the container's
// namespaces or in ours.
func runHooks(ctx context.Context, point string, hooks []specs.Hook, state specs.State, inside bool) error {
	for i, h := range hooks {
		if err := runHook(ctx, h, state, inside); err != nil {
			return fmt.Errorf("hooks.%s[%d]: %s: %w", point, i, h.Path, err)
		}
	}
	return nil
}

func runHook(ctx context.Context, h specs.Hook, state specs.State, inside bool) error {
	limit := hooksPatience
	if h.Timeout != nil {
		limit = time.Duration(*h.Timeout) * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not end within %v", limit))
	defer cancel()
	input, err := json.Marshal(state)
	if err != nil {
		return err
	}
	var opened []int
	defer closeAll(&opened)
	self, err := parent(3, &opened)
	if err != nil {
		return err
	}
	in, err := memfd("state", input)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := memfd("output", nil)
	if err != nil {
		return err
	}
	defer out.Close()
	p := step.New()
	p.Phase("hook")
	end := ending{nfiles: 3, parent: self}
	var told report
	if inside {
		// Its file can be the image's.
		if end.detour, err = openDetour(3, &opened); err != nil {
			return err
		}
		if told, err = newReport(); err != nil {
			return err
		}
		defer told.Close()
		if end.report, err = aside(int(told.w.Fd()), 3, &opened); err != nil {
			return err
		}
		hide(p)
		pidfd, err := unix.PidfdOpen(state.Pid, 0)
		if err != nil {
			return fmt.Errorf("pidfd_open: %w", err)
		}
		defer unix.Close(pidfd)
		enter(p, pidfd, hookNamespaces)
	}
	passFiles(p, arguments([]int{int(in.Fd()), int(out.Fd()), int(out.Fd())}))
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	executeFile(p, []string{h.Path}, args, h.Env, "/", end)
	child, err := p.Clone(ctx, step.Options{Cgroup: -1})
	if err != nil {
		return err
	}
	defer unix.Close(child.PIDFD)
	if inside {
		closeAll(&opened)
		if err := told.await(ctx, p); err != nil {
			wait(ctx, child.PIDFD)
			return err
		}
	}
	status, err := wait(ctx, child.PIDFD)
	if err != nil {
		return err
	}
	if status.ExitCode() != 0 {
		text := make([]byte, 2048)
		n, _ := out.ReadAt(text, 0)
		return fmt.Errorf("%v: %s", status, bytes.TrimSpace(text[:n]))
	}
	return nil
}

// hookNamespaces are those of the container that a hook runs in. Its user
// namespace is not among them: hooks keep the runtime's powers.
const hookNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC
