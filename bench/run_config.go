package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"vmctr/container"
	"vmctr/images"
	"vmctr/vm"
)

// config is the container's configuration: the image's, with the flags.
func (b *box) config(image imageTree) (*specs.Spec, error) {
	args := append(slices.Clone(image.config.Entrypoint), image.config.Cmd...)
	switch {
	case b.Entrypoint != nil: // the image's command belongs to the image's program
		args = b.command
		if *b.Entrypoint != "" {
			args = append([]string{*b.Entrypoint}, b.command...)
		}
	case len(b.command) > 0:
		args = append(slices.Clone(image.config.Entrypoint), b.command...)
	}
	if len(args) == 0 || args[0] == "" {
		return nil, fmt.Errorf("the image %s names no program: name one after it", image.name)
	}
	who := image.config.User
	if b.User != "" {
		who = b.User
	}
	user, home, err := images.ResolveUser(who, images.ReadFile(image.dirs, "etc/passwd"), images.ReadFile(image.dirs, "etc/group"))
	if err != nil {
		return nil, err
	}
	cwd := "/"
	for _, d := range []string{image.config.WorkingDir, b.Workdir} {
		if d != "" {
			cwd = d
		}
	}

	s := container.DefaultSpec(args, nil, cwd)
	if s.Hostname = b.Hostname; s.Hostname == "" {
		s.Hostname = strings.TrimPrefix(b.run.ID, "bench-")
	}
	if b.Network == "host" && b.Hostname == "" {
		if s.Hostname, err = os.Hostname(); err != nil {
			return nil, err
		}
	}
	s.Process.Env = environment(image.config.Env, b.env, s.Hostname, home, b.TTY)
	s.Process.User = user
	s.Process.Terminal = b.TTY
	s.Process.NoNewPrivileges = b.noNewPrivs
	s.Process.ApparmorProfile = b.apparmor
	s.Root.Readonly = b.ReadOnly
	caps := s.Process.Capabilities
	caps.Bounding, caps.Effective, caps.Permitted = b.capabilities, b.capabilities, b.capabilities
	if user.UID != 0 {
		// What an execve leaves somebody who is not root (capabilities(7)).
		caps.Effective, caps.Permitted = nil, nil
	}
	if s.Linux.Seccomp, err = b.seccomp(b.capabilities); err != nil {
		return nil, err
	}
	if b.Network == "host" {
		removeNamespace(s, specs.NetworkNamespace)
		if isRoot() {
			hostSys(s)
		}
	}
	if !isRoot() {
		container.ToRootless(s)
		if uids, gids, err := container.SubordinateIDs(); err == nil {
			s.Linux.UIDMappings, s.Linux.GIDMappings = uids, gids
		}
	}
	s.Linux.Resources = &b.resources
	if isRoot() || b.limited() {
		// The run's group is the container's: no other is in it.
		s.Linux.CgroupsPath = "/" + b.run.ID
	}
	if b.Userns == "host" {
		removeNamespace(s, specs.UserNamespace)
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	}
	for _, m := range b.mounts {
		if b.mapped() {
			// What is the host's root's, and what the container's root makes
			// there, belongs to both.
			m.Options = append(m.Options, "ridmap")
		}
		s.Mounts = append(s.Mounts, m)
	}
	return s, nil
}

// limited tells whether a limit is asked for.
func (o options) limited() bool {
	return o.resources.Memory != nil || o.resources.CPU != nil || o.resources.Pids != nil
}

// environment is in Docker's order: what every container has, the image's, the
// user's.
func environment(image, given []string, hostname, home string, tty bool) []string {
	all := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=" + hostname}
	if tty {
		all = append(all, "TERM=xterm")
	}
	all = append(all, "HOME="+home)
	var env []string
	for i, e := range slices.Concat(all, image, given) {
		name, _, _ := strings.Cut(e, "=")
		// The last value of a name counts, in the place of the first.
		if at := slices.IndexFunc(env, func(o string) bool { return strings.HasPrefix(o, name+"=") }); i > 0 && at >= 0 {
			env[at] = e
		} else {
			env = append(env, e)
		}
	}
	return env
}

// hostFiles are the contents of /etc/hosts, /etc/hostname and /etc/resolv.conf,
// which belong to a host and not to an image.
func (b *box) hostFiles(s streams) (map[string]string, error) {
	var files = map[string]string{"hostname": b.spec.Hostname + "\n"}
	hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
	if a := b.address(); a.IsValid() {
		hosts += a.String() + "\t" + b.spec.Hostname + "\n"
	}
	resolv, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	switch {
	case b.Network == "host":
		if h, err := os.ReadFile("/etc/hosts"); err == nil {
			hosts = string(h)
		}
	case b.card != nil && b.card.Tap == nil:
		resolv = withServer(resolv, vm.UserDNS)
	default:
		var local bool
		if resolv, local = withoutLocal(resolv); local {
			// systemd-resolved listens there, and writes whom it asks itself.
			if r, err := os.ReadFile("/run/systemd/resolve/resolv.conf"); err == nil {
				resolv, _ = withoutLocal(r)
			}
		}
		if b.Network == "bridge" && !strings.Contains("\n"+string(resolv), "\nnameserver") {
			fmt.Fprintln(s.err, "bench: the container can look up no names: /etc/resolv.conf names no server that is not on this host itself")
		}
	}
	files["hosts"], files["resolv.conf"] = hosts, string(resolv)
	return files, nil
}

// bindFiles makes those files, and shows them in the container.
func (b *box) bindFiles(s streams) error {
	files, err := b.hostFiles(s)
	if err != nil {
		return err
	}
	uid, gid := containerUser(b.spec)
	for _, name := range []string{"resolv.conf", "hostname", "hosts"} {
		dest := "/etc/" + name
		if slices.ContainsFunc(b.mounts, func(m specs.Mount) bool { return filepath.Clean(m.Destination) == dest }) {
			continue
		}
		source := filepath.Join(b.run.Dir, name)
		err := errors.Join(os.WriteFile(source, []byte(files[name]), 0o644), os.Chmod(source, 0o644))
		if isRoot() {
			err = errors.Join(err, os.Chown(source, uid, gid))
		}
		if err != nil {
			return err
		}
		b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: dest, Type: "bind", Source: source, Options: []string{"bind"}})
	}
	return nil
}

// withServer names one name server in the place of all others.
func withServer(resolv []byte, server netip.Addr) []byte {
	rest := fmt.Appendf(nil, "nameserver %s\n", server)
	for line := range strings.Lines(string(resolv)) {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "nameserver" {
			rest = append(rest, line...)
		}
	}
	return rest
}

// withoutLocal leaves out the name servers on the loopback interface, which is
// another one in the container (resolv.conf(5)).
func withoutLocal(resolv []byte) (rest []byte, local bool) {
	for line := range strings.Lines(string(resolv)) {
		f := strings.Fields(line)
		if len(f) > 1 && f[0] == "nameserver" && (strings.HasPrefix(f[1], "127.") || f[1] == "::1") {
			local = true
			continue
		}
		rest = append(rest, line...)
	}
	return rest, local
}
