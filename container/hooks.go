package container

import (
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
		join  int // the container's namespaces
	}{
		{"prestart", prestart(h), 0},
		{"createRuntime", h.CreateRuntime, 0},
		{"createContainer", h.CreateContainer, hookNamespaces(c.cfg.Spec)},
	} {
		if err := runHooks(ctx, point.name, point.hooks, state, point.join); err != nil {
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

// runHooks runs the hooks of one point, in order, in those namespaces of the
// container and the others of ours.
func runHooks(ctx context.Context, point string, hooks []specs.Hook, state specs.State, join int) error {
	for i, h := range hooks {
		if err := runHook(ctx, h, state, join); err != nil {
			return fmt.Errorf("hooks.%s[%d]: %s: %w", point, i, h.Path, err)
		}
	}
	return nil
}

func runHook(ctx context.Context, h specs.Hook, state specs.State, join int) error {
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
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	r := tool{files: []string{h.Path}, args: args, env: h.Env, input: input}
	if join != 0 {
		pidfd, err := unix.PidfdOpen(state.Pid, 0)
		if err != nil {
			return fmt.Errorf("pidfd_open: %w", err)
		}
		defer unix.Close(pidfd)
		r.inside = true
		r.before = func(p *step.Program) { enter(p, pidfd, join) }
	}
	return r.run(ctx)
}

// hookNamespaces are those of the container that a hook runs in. Its user
// namespace is not among them: hooks keep the runtime's powers. But an ordinary
// user has none over the others except in it.
func hookNamespaces(s *specs.Spec) (flags int) {
	all := uint64(unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC)
	if rootless() {
		all |= unix.CLONE_NEWUSER
	}
	for t, f := range namespaceFlags {
		if has(s, t) {
			flags |= int(all & f)
		}
	}
	return flags
}
