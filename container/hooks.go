package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vmctr/container/step"
)

// Hooks are programs of whoever configured the container, which the runtime
// runs at fixed points of its life (runtime-spec config.md, "POSIX-platform
// Hooks"; runtime.md, "Lifecycle"). Each gets the container's state as JSON on
// its standard input. A hook that fails ends the container; of one after its end
// only a warning remains.
//
//	prestart, createRuntime   in our namespaces
//	createContainer           in the container's, where the host's tree still is
//	startContainer            in the container, a program of it: with no more
//	                          power than the container's own program has, since
//	                          its file is the image's (CVE-2024-0132 was of a
//	                          hook that had more)
//	poststart, poststop       in our namespaces

// hooksPatience is how long the child waits for the hooks of one point. Each
// hook can have a limit of its own.
const hooksPatience = 5 * time.Minute

// A Warning is an error after which all was done all the same.
type Warning struct{ Err error }

func (w Warning) Error() string { return w.Err.Error() }

// Unwrap gives the error itself.
func (w Warning) Unwrap() error { return w.Err }

// A spawner starts a hook, and gives its pidfd.
type spawner func(ctx context.Context, h specs.Hook, in, out *os.File) (int, error)

// hooksBeforePivot runs those that may still change the container's mounts.
func (c *Container) hooksBeforePivot(ctx context.Context, pid int) error {
	h := c.cfg.Spec.Hooks
	state := state(&c.cfg, specs.StateCreating, pid)
	c.hooked = true
	for _, point := range []struct {
		name  string
		hooks []specs.Hook
		spawn spawner
	}{
		{"prestart", prestart(h), outside},
		{"createRuntime", h.CreateRuntime, outside},
		{"createContainer", h.CreateContainer, inside(pid, hookNamespaces(c.cfg.Spec))},
	} {
		if err := runHooks(ctx, point.name, point.hooks, state, point.spawn); err != nil {
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

// runHooks runs the hooks of one point, in order, up to one that fails.
func runHooks(ctx context.Context, point string, hooks []specs.Hook, state specs.State, spawn spawner) error {
	for i, h := range hooks {
		if err := runHook(ctx, h, state, spawn); err != nil {
			return fmt.Errorf("hooks.%s[%d]: %s: %w", point, i, h.Path, err)
		}
	}
	return nil
}

// poststop runs the hooks of that point, each of them: what they say when they
// fail is a Warning.
func poststop(ctx context.Context, s *specs.Spec, state specs.State) error {
	if s.Hooks == nil {
		return nil
	}
	state.Status, state.Pid = specs.StateStopped, 0
	var errs []error
	for i, h := range s.Hooks.Poststop {
		if err := runHook(ctx, h, state, outside); err != nil {
			errs = append(errs, fmt.Errorf("hooks.poststop[%d]: %s: %w", i, h.Path, err))
		}
	}
	if len(errs) > 0 {
		return Warning{errors.Join(errs...)}
	}
	return nil
}

func runHook(ctx context.Context, h specs.Hook, state specs.State, spawn spawner) error {
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
	return runToEnd(ctx, input, func(ctx context.Context, in, out *os.File) (int, error) { return spawn(ctx, h, in, out) })
}

func hookTool(h specs.Hook) tool {
	return tool{files: []string{h.Path}, args: hookArgs(h), env: h.Env}
}

// outside starts a hook in our namespaces.
func outside(ctx context.Context, h specs.Hook, in, out *os.File) (int, error) {
	return hookTool(h).start(ctx, in, out)
}

// inside starts a hook in those namespaces of process pid, where the root still
// is the host's.
func inside(pid, join int) spawner {
	return func(ctx context.Context, h specs.Hook, in, out *os.File) (int, error) {
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return -1, fmt.Errorf("pidfd_open: %w", err)
		}
		defer unix.Close(pidfd)
		t := hookTool(h)
		if join != 0 {
			t.before = func(p *step.Program) { enter(p, pidfd, join) }
		}
		return t.start(ctx, in, out)
	}
}

// hookNamespaces are those of the container that a createContainer hook runs in.
// Its user namespace is not among them: such hooks keep the runtime's powers. But
// an ordinary user has none over the others except in it.
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

func hookArgs(h specs.Hook) []string {
	if len(h.Args) > 0 {
		return h.Args
	}
	return []string{h.Path}
}

// startHook starts a startContainer hook: as a second program of the container,
// with the privileges of the first.
func (h *Handle) startHook(ctx context.Context, hook specs.Hook, in, out *os.File) (int, error) {
	process := *h.spec.Process
	process.Terminal, process.Cwd = false, "/"
	process.Args, process.Env = hookArgs(hook), hook.Env
	p, err := h.Exec(ctx, Exec{Process: &process, file: hook.Path, Stdin: in, Stdout: out, Stderr: out})
	if err != nil {
		return -1, err
	}
	return p.pidfd, nil
}
