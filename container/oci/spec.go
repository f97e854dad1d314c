package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container"
)

func spec(_ context.Context, g *globals, args []string) (int, error) {
	fs := flags("spec")
	bundle, forUser := fs.String("bundle", ".", ""), fs.Bool("rootless", false, "")
	fs.StringVar(bundle, "b", ".", "")
	if _, err := parse(fs, args, 0, 0); err != nil {
		return 0, err
	}
	s := example()
	if *forUser {
		// With the host's network, since to join another to it takes power over
		// the host's.
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace })
		container.ToRootless(s)
	}
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return 0, err
	}
	f, err := os.OpenFile(filepath.Join(*bundle, "config.json"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, fmt.Errorf("writing the configuration: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	return 0, errors.Join(err, f.Close())
}

// example is a configuration to begin with: a shell, at a terminal.
func example() *specs.Spec {
	s := container.DefaultSpec([]string{"sh"}, []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"}, "/")
	s.Process.Terminal = true
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}})
	s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}
	// A folder's files belong to the host's root: without a mapping they are
	// the container's root's.
	s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	return s
}

func features(_ context.Context, g *globals, args []string) (int, error) {
	if _, err := parse(flags("features"), args, 0, 0); err != nil {
		return 0, err
	}
	b, err := json.MarshalIndent(container.Features(), "", "    ")
	if err != nil {
		return 0, err
	}
	_, err = fmt.Fprintf(g.stdout, "%s\n", b)
	return 0, err
}
